# SPDX-License-Identifier: Apache-2.0
"""The parts of a stack: what each needs to be up, and how it is doing."""

import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from typing import Protocol

from strongroom.errors import Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.s3 import S3Settings, open_s3
from strongroom_server.dev.addresses import AddressBook, is_listening
from strongroom_server.dev.backup_store import BACKUP, BackupSeaweedFS
from strongroom_server.dev.client_certificates import (
    ACCOUNTS,
    ensure_client_certificates,
)
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.people import PEOPLE
from strongroom_server.dev.private_files import make_private_folder, write_if_changed
from strongroom_server.dev.probing import is_serving
from strongroom_server.dev.processes import ManagedProcess, ProcessSpec
from strongroom_server.dev.provisioning import ensure_provisioned
from strongroom_server.dev.seaweed import BUCKET, REGION, TENANT, SeaweedFS
from strongroom_server.dev.security_keys import provide_keys
from strongroom_server.dev.settings_files import (
    client_settings,
    owner_policy,
    person_settings,
    role_assignments,
    security_key_file,
    server_ports,
    server_settings,
)
from strongroom_server.dev.sidecar import SIDECAR, SidecarComponent
from strongroom_server.repository.store import open_store

#: The health of a process that does what it is for.
OK = "ok"
_SERVER_START_TIMEOUT_S = 90.0
_SWEEP = "STRONGROOM__SWEEP__"

Report = Callable[[str], None]


class Component(Protocol):
    """One part of a stack."""

    name: str

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """Its processes, in the order in which they start."""

    def up(self, report: Report) -> None:
        """Start or mend it, and wait until it works.

        Args:
            report: Is told, in a few words, what was done.

        Raises:
            PreconditionError: What lies in the folder does not allow it.
            UnavailableError: A process did not start, or does not work.
        """

    def health(self, process: ManagedProcess) -> str:
        """Say how one of its running processes is doing: `ok`, or what is wrong."""


class VaultComponent:
    """OpenBao, with what the stack needs in it, and the clients' certificates."""

    name = "vault"

    def __init__(self, layout: StackLayout, addresses: AddressBook) -> None:
        self._layout = layout
        self._bao = OpenBao(layout, addresses)

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """OpenBao's one process."""
        return (self._bao.process,)

    def up(self, report: Report) -> None:
        """Start, unseal and provision OpenBao; issue the clients' certificates."""
        self._bao.start()
        self._bao.unseal()
        if ensure_provisioned(self._bao, self._layout):
            report("vault: engines, keys and policies applied, root token revoked")
        issued = ensure_client_certificates(self._bao.client(), self._layout)
        if issued:
            report(f"vault: certificates issued for {', '.join(issued)}")

    def health(self, process: ManagedProcess) -> str:  # noqa: ARG002
        """Say whether OpenBao is unsealed and serves."""
        return OK if self._bao.is_active() else "sealed or not answering"


class StoreComponent:
    """SeaweedFS with the bucket."""

    name = "store"
    make: type[SeaweedFS] = SeaweedFS

    def __init__(self, layout: StackLayout, addresses: AddressBook) -> None:
        self._addresses = addresses
        self._weed = self.make(layout, addresses)

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """SeaweedFS's four processes."""
        return self._weed.processes

    def up(self, report: Report) -> None:  # noqa: ARG002
        """Start SeaweedFS, make the bucket, and store something."""
        self._weed.start()
        self._weed.ensure_bucket()

    def health(self, process: ManagedProcess) -> str:
        """Say whether a process listens; of the gateway, whether it lists."""
        if process.spec.name == self._weed.processes[-1].spec.name:
            return OK if self._weed.is_ready() else "does not list the bucket"
        port = self._addresses.port(f"{process.spec.name}-grpc")
        return OK if is_listening(port) else "does not listen"


class BackupComponent(StoreComponent):
    """SeaweedFS with the bucket of backups."""

    name = BACKUP
    make = BackupSeaweedFS


def sweep_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a server is told of an environment: how patient sweeps are.

    Everything else is in `server.toml`; nobody tries out a sweep for a day.
    """
    return {key: text for key, text in environ.items() if key.startswith(_SWEEP)}


class ServerComponent:
    """The Strongroom server, with its settings and those of its clients."""

    name = "server"

    def __init__(self, layout: StackLayout, addresses: AddressBook) -> None:
        self._layout = layout
        self._addresses = addresses
        self._weed = SeaweedFS(layout, addresses)

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """The server's one process."""
        settings = str(self._layout.server_settings)
        spec = ProcessSpec(
            name="server",
            command=(
                *(sys.executable, "-I", "-m", "strongroom_server"),
                *("serve", "--config", settings),
            ),
            cwd=self._layout.server,
            port=self._addresses.port("server-data"),
            environ=sweep_settings(os.environ),
            stop_timeout_s=30.0,
        )
        return (ManagedProcess(spec, self._layout.root, Reason.TRANSPORT),)

    def up(self, report: Report) -> None:
        """Write the settings, start the server, and wait until it serves.

        A server that runs with other settings (a port of Vault had to change, for
        instance) is started anew.
        """
        if self.processes[0].pid is None:
            self._addresses.choose(server_ports(self._layout))
        if self._write_settings() and self.processes[0].stop():
            report("server: settings changed, starting it anew")
        process = self.processes[0]
        process.start()
        process.wait_until(self._serves, _SERVER_START_TIMEOUT_S, "did not serve")
        self._write_people()

    def health(self, process: ManagedProcess) -> str:  # noqa: ARG002
        """Say whether the server's health service answers SERVING."""
        return OK if self._serves() else "not serving"

    def _write_settings(self) -> bool:
        """Write what needs no server; say whether the server's own changed."""
        layout, addresses = self._layout, self._addresses
        make_private_folder(layout.telemetry)
        if not layout.assignments.exists():
            make_private_folder(layout.policies)
            write_if_changed(layout.policies / "owner.cedar", owner_policy())
            write_if_changed(layout.assignments, role_assignments())
        for account in ACCOUNTS:
            text = client_settings(layout, addresses, account)
            write_if_changed(layout.client(account) / "client.toml", text)
        keys = {name: security_key_file(layout, name) for name in PEOPLE}
        provide_keys(keys, layout.operator_credentials)
        text = client_settings(layout, addresses, next(iter(ACCOUNTS)))
        write_if_changed(layout.client_settings, text)
        settings = server_settings(layout, addresses, self._weed.endpoint)
        return write_if_changed(layout.server_settings, settings)

    def _write_people(self) -> None:
        """Write people's settings, which pin the store: it is made by its server."""
        layout, addresses = self._layout, self._addresses
        store_id = _store_id(self._weed)
        for name in PEOPLE:
            text = person_settings(layout, addresses, name, store_id=store_id)
            write_if_changed(layout.client(name) / "client.toml", text)

    def _serves(self) -> bool:
        return is_serving(self._addresses.port("server-health"))


def _store_id(weed: SeaweedFS) -> str:
    """Read the store's id from its bucket, for it is not to be a server's word."""
    credentials = weed.credentials(TENANT)
    settings = S3Settings(
        endpoint=weed.endpoint,
        region=REGION,
        bucket=BUCKET,
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
    )
    with open_s3(settings, SystemClock()) as blobs:
        return open_store(blobs, SystemEntropy()).hex()


def endpoint_of(layout: StackLayout) -> str:
    """Read from `client.toml` where clients find the server; empty if not there."""
    try:
        settings = tomllib.loads(layout.client_settings.read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return str(settings.get("endpoint", ""))


def make_component(name: str, layout: StackLayout, book: AddressBook) -> Component:
    """Make one component by its name: `vault`, `store`, `backup`, `server`, `sidecar`.

    Raises:
        KeyError: There is no such component (a caller's bug).
    """
    makers: dict[str, Callable[[StackLayout, AddressBook], Component]] = {
        "vault": VaultComponent,
        "store": StoreComponent,
        BACKUP: BackupComponent,
        "server": ServerComponent,
        SIDECAR: SidecarComponent,
    }
    return makers[name](layout, book)
