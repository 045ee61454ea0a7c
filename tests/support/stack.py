# SPDX-License-Identifier: Apache-2.0
"""Real OpenBao and real SeaweedFS for tests, by the code of the development stack.

`running_bao(tmp)` and `running_weed(tmp)` are context managers; `tmp` is a folder
of their own. Start each once per session (about two seconds and one second), and
give each test its own names: a bucket, a project.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.provisioning import (
    CLIENTS_APPROLE,
    SERVER_APPROLE,
    approle,
    provision,
)
from strongroom_server.dev.seaweed import (
    ADMIN,
    BUCKET,
    REMOVER,
    SHREDDER,
    TENANT,
    SeaweedFS,
    StoreCredentials,
)
from strongroom_server.dev.vault_client import VaultClient


@dataclass(frozen=True)
class BaoForTests:
    """An OpenBao that is unsealed and provisioned like the development stack's.

    Attributes:
        layout: The paths of the folder that it lies in.
        address: Its URL; the port stays the same over `stop` and `start`.
        ca_file: Vouches for the listener.
        root_token: May do everything.
        role_id_file, secret_id_file: The server's AppRole, with its real policy.
        client_role_id_file, client_secret_id_file: May issue client certificates.
        audit_file: OpenBao's own audit log, JSON lines.
    """

    bao: OpenBao
    layout: StackLayout
    address: str
    ca_file: Path
    root_token: str
    role_id_file: Path
    secret_id_file: Path
    client_role_id_file: Path
    client_secret_id_file: Path
    audit_file: Path

    @property
    def pid(self) -> int | None:
        """Its process, for `kill -STOP` and the like; None if it does not run."""
        return self.bao.process.pid

    def client(self, token: str | None = None) -> VaultClient:
        """Give raw access; as root unless another token is given."""
        return self.bao.client(self.root_token if token is None else token)

    def server_client(self) -> VaultClient:
        """Give raw access with a fresh token of the server's AppRole."""
        return approle(self.layout, SERVER_APPROLE).log_in(self.client(""))

    def stop(self) -> None:
        """End the process; what it stored stays."""
        self.bao.process.stop()

    def start(self) -> None:
        """Start it again and unseal it."""
        self.bao.start()
        self.bao.unseal()

    def seal(self) -> None:
        """Seal it: it goes on answering, with 503."""
        self.client().write("sys/seal")

    def unseal(self) -> None:
        """Unseal it and wait until it serves again."""
        self.bao.unseal()


@dataclass(frozen=True)
class WeedForTests:
    """A SeaweedFS with an administrator and a tenant.

    Attributes:
        endpoint: The URL of its S3 API; stays the same over `stop` and `start`.
        region: To be used in signatures.
        admin: Credentials that may do everything.
        strongroom: Credentials that may read, write and list in each bucket.
        remover: Credentials that may remove versions that a sweep may remove.
        shredder: Credentials that may remove versions of key slots.
        credentials_file: Strongroom's as the server reads them.
    """

    weed: SeaweedFS
    endpoint: str
    region: str
    admin: StoreCredentials
    strongroom: StoreCredentials
    remover: StoreCredentials
    shredder: StoreCredentials
    credentials_file: Path

    @property
    def pid(self) -> int | None:
        """The process of the S3 gateway; None if it does not run."""
        return self.weed.processes[-1].pid

    def make_bucket(
        self, name: str, *, versioning: bool = True, lock: bool = False
    ) -> str:
        """Make a bucket, and give its name back."""
        self.weed.make_bucket(name, versioning=versioning, lock=lock)
        return name

    def client(self, identity: str = TENANT) -> Any:  # noqa: ANN401 - no types
        """Give a boto3 client; the caller closes it."""
        return self.weed.client(identity)

    def stop(self) -> None:
        """End the processes; what they stored stays."""
        self.weed.stop()

    def start(self) -> None:
        """Start them again, and wait until they store."""
        self.weed.start()
        self.weed.ensure_bucket()


@contextlib.contextmanager
def running_bao(tmp: Path) -> Iterator[BaoForTests]:
    """Run an OpenBao in `tmp` (about two seconds until it is ready)."""
    layout = StackLayout(tmp.resolve())
    bao = OpenBao(layout, AddressBook(layout.addresses))
    try:
        bao.start()
        bao.unseal()
        root_token = bao.take_root_token() or ""
        provision(bao.client(root_token), layout)
        bao.confirm_initialised()
        server, clients = (
            approle(layout, name) for name in (SERVER_APPROLE, CLIENTS_APPROLE)
        )
        yield BaoForTests(
            bao=bao,
            layout=layout,
            address=bao.address,
            ca_file=layout.vault_ca,
            root_token=root_token,
            role_id_file=server.role_id_file,
            secret_id_file=server.secret_id_file,
            client_role_id_file=clients.role_id_file,
            client_secret_id_file=clients.secret_id_file,
            audit_file=layout.vault / "audit.log",
        )
    finally:
        bao.process.stop()


@contextlib.contextmanager
def running_weed(tmp: Path) -> Iterator[WeedForTests]:
    """Run a SeaweedFS in `tmp` (about one second until it is ready).

    The bucket `strongroom` exists, versioned and with Object Lock.
    """
    layout = StackLayout(tmp.resolve())
    weed = SeaweedFS(layout, AddressBook(layout.addresses), granted="*")
    try:
        weed.start()
        weed.ensure_bucket()
        yield WeedForTests(
            weed=weed,
            endpoint=weed.endpoint,
            region="us-east-1",
            admin=weed.credentials(ADMIN),
            strongroom=weed.credentials(TENANT),
            remover=weed.credentials(REMOVER),
            shredder=weed.credentials(SHREDDER),
            credentials_file=layout.store_credentials(TENANT),
        )
    finally:
        weed.stop()


__all__ = ["BUCKET", "BaoForTests", "WeedForTests", "running_bao", "running_weed"]
