# SPDX-License-Identifier: Apache-2.0
"""OpenBao as a process of the stack: configured, initialised, unsealed."""

import base64
import shutil
from pathlib import Path

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.dev.addresses import HOST, AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.private_files import (
    make_private_folder,
    read_record,
    write_private,
    write_record,
)
from strongroom_server.dev.processes import ManagedProcess, ProcessSpec
from strongroom_server.dev.programs import bao_program
from strongroom_server.dev.vault_client import VaultClient
from strongroom_server.dev.vault_tls import ensure_vault_tls

_START_TIMEOUT_S = 60.0
_PORTS = ("vault", "vault-cluster")
# Answers of `sys/health`: active; sealed and others have codes of their own.
_ACTIVE = 200

_CONFIGURATION = """\
storage "raft" {{
  path                   = "{folder}/data"
  node_id                = "dev"
  performance_multiplier = 1
}}

listener "tcp" {{
  address         = "{host}:{port}"
  cluster_address = "{host}:{cluster_port}"
  tls_cert_file   = "{folder}/tls/tls.crt"
  tls_key_file    = "{folder}/tls/tls.key"
  tls_min_version = "tls13"
}}

# OpenBao answers no request that it cannot write to its audit log. Since 2.7 the
# devices stand here: the API cannot add or remove them.
audit "file" "strongroom" {{
  description = "Every request, secrets replaced by keyed hashes."
  options {{
    file_path = "audit.log"
    mode      = "0600"
  }}
}}

api_addr          = "https://{host}:{port}"
cluster_addr      = "https://{host}:{cluster_port}"
ui                = true
max_lease_ttl     = "768h"
default_lease_ttl = "1h"
log_format        = "json"
log_level         = "info"
"""


class OpenBao:
    """The one OpenBao of a stack.

    Args:
        layout: Where its files lie.
        addresses: Where its ports are kept.
    """

    def __init__(self, layout: StackLayout, addresses: AddressBook) -> None:
        self._layout = layout
        self._addresses = addresses
        self._root_token: str | None = None
        # Written before OpenBao is initialised, removed when it is provisioned.
        self._initialising = layout.vault / "initialising"

    @property
    def port(self) -> int:
        """Where the API listens."""
        return self._addresses.port("vault")

    @property
    def address(self) -> str:
        """The API's URL."""
        return f"https://{HOST}:{self.port}"

    @property
    def process(self) -> ManagedProcess:
        """The process, running or not."""
        folder = self._layout.vault
        config = folder / "config.hcl"
        spec = ProcessSpec(
            name="vault",
            command=(str(bao_program()), "server", f"-config={config}"),
            cwd=folder,
            port=self.port,
        )
        return ManagedProcess(spec, self._layout.root, Reason.KEY_SERVICE_UNAVAILABLE)

    def client(self, token: str = "") -> VaultClient:
        """Give a client that trusts this OpenBao."""
        return VaultClient(self.port, self._layout.vault_ca, token)

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers.

        Raises:
            UnavailableError: It did not start; with the end of its log.
        """
        if self._initialising.exists():
            self._discard_unfinished()
        if self.process.pid is None:
            self._prepare()
        process = self.process
        process.start()
        process.wait_until(self._answers, _START_TIMEOUT_S, "did not answer")

    def unseal(self) -> None:
        """Initialise it if it is new, unseal it if it is sealed, wait until active.

        Raises:
            PreconditionError: It is initialised, but its key is not in the folder.
            UnavailableError: It did not become active.
        """
        client = self.client()
        _, seal = client.exchange("GET", "sys/seal-status")
        if not seal.get("initialized"):
            self._initialise(client)
        _, seal = client.exchange("GET", "sys/seal-status")
        if seal.get("sealed"):
            client.write("sys/unseal", {"key": self.unseal_key()})
        self.process.wait_until(self.is_active, _START_TIMEOUT_S, "is not active")

    def is_active(self) -> bool:
        """Say whether it is unsealed and serves."""
        try:
            status, _ = self.client().exchange("GET", "sys/health")
        except UnavailableError:
            return False
        return status == _ACTIVE

    def unseal_key(self) -> str:
        """Read the key that unseals this OpenBao and can make a root token.

        Raises:
            PreconditionError: It is not there.
        """
        return str(read_record(self._layout.unseal_record)["unseal_key"])

    def take_root_token(self) -> str | None:
        """Give away the root token of the initialisation that was just made.

        None if OpenBao was initialised earlier. The caller must revoke it.
        """
        token, self._root_token = self._root_token, None
        return token

    def make_root_token(self, client: VaultClient) -> str:
        """Make a root token out of the unseal key; the caller must revoke it.

        Args:
            client: With a token that may use `sys/generate-root-token`.

        Raises:
            PreconditionError: Refused, or the key is not this OpenBao's.
        """
        path = "sys/generate-root-token"
        client.exchange("DELETE", f"{path}/attempt")
        attempt = client.write_for_data(f"{path}/attempt")
        body = {"key": self.unseal_key(), "nonce": attempt["nonce"]}
        answer = client.write_for_data(f"{path}/update", body)
        encoded = str(answer["encoded_token"])
        token = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
        pad = str(attempt["otp"]).encode()
        return bytes(a ^ b for a, b in zip(token, pad, strict=True)).decode()

    def confirm_initialised(self) -> None:
        """Note that OpenBao is provisioned: from now on its store is kept.

        Until then a start begins from nothing: without the root token, which is
        never written down, a half-provisioned OpenBao cannot be finished, and
        nothing can have been encrypted under its keys.
        """
        self._initialising.unlink(missing_ok=True)

    def _prepare(self) -> None:
        self._addresses.choose(_PORTS)
        folder = make_private_folder(self._layout.vault)
        ensure_vault_tls(folder / "tls")
        make_private_folder(folder / "data")
        configuration = _CONFIGURATION.format(
            folder=_hcl_text(folder),
            host=HOST,
            port=self.port,
            cluster_port=self._addresses.port("vault-cluster"),
        )
        write_private(folder / "config.hcl", configuration)

    def _discard_unfinished(self) -> None:
        self.process.stop()
        shutil.rmtree(self._layout.vault / "data", ignore_errors=True)
        shutil.rmtree(self._layout.vault / "approle", ignore_errors=True)
        shutil.rmtree(self._layout.people, ignore_errors=True)
        self._layout.login_client.unlink(missing_ok=True)
        (self._layout.vault / "provisioned.json").unlink(missing_ok=True)
        self._layout.unseal_record.unlink(missing_ok=True)
        self._initialising.unlink()

    def _answers(self) -> bool:
        try:
            self.client().exchange("GET", "sys/seal-status")
        except UnavailableError:
            return False
        return True

    def _initialise(self, client: VaultClient) -> None:
        """Initialise with one key share; the root token is never written down."""
        if self._layout.unseal_record.exists():
            raise PreconditionError(
                f"{self._layout.unseal_record} is there, but the OpenBao that it "
                "belongs to is not: its data folder was removed",
                reason=Reason.KEY_SERVICE_SEALED,
                hint="Put vault/data back, or delete the stack's folder.",
                path=self._layout.unseal_record,
            )
        write_private(self._initialising, "")
        answer = client.write("sys/init", {"secret_shares": 1, "secret_threshold": 1})
        keys = answer["keys_base64"]
        if not isinstance(keys, list):
            raise self.process.failure("gave no unseal key")
        write_record(self._layout.unseal_record, {"unseal_key": keys[0]})
        self._root_token = str(answer["root_token"])


def _hcl_text(path: Path) -> str:
    """Escape a path for a quoted HCL string."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${")
