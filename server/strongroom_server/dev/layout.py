# SPDX-License-Identifier: Apache-2.0
"""Where everything of a stack lies: the one place that knows its paths."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StackLayout:
    """The paths of one stack.

    Attributes:
        root: The stack's folder, absolute.
    """

    root: Path

    @property
    def addresses(self) -> Path:
        """The chosen ports."""
        return self.root / "stack.json"

    @property
    def lock(self) -> Path:
        """Held by the one command that changes the stack."""
        return self.root / "lock"

    @property
    def vault(self) -> Path:
        """All of OpenBao: configuration, TLS, data, keys, audit log."""
        return self.root / "vault"

    @property
    def vault_ca(self) -> Path:
        """The certificate that vouches for OpenBao's listener, and for that only."""
        return self.vault / "tls" / "ca.crt"

    @property
    def unseal_record(self) -> Path:
        """The key that unseals OpenBao."""
        return self.vault / "unseal.json"

    def approle(self, name: str) -> tuple[Path, Path]:
        """The files with role id and secret id of one AppRole."""
        folder = self.vault / "approle" / name
        return folder / "role_id", folder / "secret_id"

    @property
    def people(self) -> Path:
        """A folder for each person: what stands in for memory and phone."""
        return self.vault / "people"

    @property
    def login_client(self) -> Path:
        """What the identity provider knows the command line as."""
        return self.vault / "login_client_id"

    @property
    def store(self) -> Path:
        """All of SeaweedFS: configuration, credentials, data."""
        return self.root / "seaweed"

    def store_credentials(self, identity: str) -> Path:
        """The access key and secret key of one S3 identity."""
        return self.store / f"{identity}.json"

    @property
    def backup_store(self) -> Path:
        """All of the SeaweedFS that backups lie in."""
        return self.root / "backup-seaweed"

    def backup_credentials(self, identity: str) -> Path:
        """The access key and secret key of one of its S3 identities."""
        return self.backup_store / f"{identity}.json"

    @property
    def server(self) -> Path:
        """All of the Strongroom server: configuration, index, audit log, socket."""
        return self.root / "server"

    @property
    def server_settings(self) -> Path:
        """What the server is started with."""
        return self.server / "server.toml"

    @property
    def assignments(self) -> Path:
        """Who has which role where."""
        return self.server / "assignments.toml"

    @property
    def policies(self) -> Path:
        """Access policies beside those that come with the server."""
        return self.server / "policies"

    @property
    def operator_credentials(self) -> Path:
        """Whose security keys the server believes."""
        return self.server / "operator-credentials.toml"

    @property
    def telemetry(self) -> Path:
        """Spans of server and clients, as JSON lines."""
        return self.root / "telemetry"

    @property
    def data_socket(self) -> Path:
        """Where the server shares memory with readers on this machine."""
        return self.server / "data.sock"

    @property
    def sidecar(self) -> Path:
        """All of the sidecar: configuration, socket, cache."""
        return self.root / "sidecar"

    @property
    def sidecar_settings(self) -> Path:
        """What the sidecar is started with."""
        return self.sidecar / "sidecar.toml"

    @property
    def sidecar_client(self) -> Path:
        """The settings of who calls through the sidecar."""
        return self.sidecar / "client.toml"

    @property
    def client_settings(self) -> Path:
        """What `strongroom.connect()` finds by itself."""
        return self.root / "client.toml"

    def client(self, account: str) -> Path:
        """Certificate, key and CA of one service account; settings of a person."""
        return self.root / "client" / account
