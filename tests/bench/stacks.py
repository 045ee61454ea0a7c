# SPDX-License-Identifier: Apache-2.0
"""A stack of its own for a benchmark: OpenBao, SeaweedFS, one Strongroom server.

And, if a case wants one, a sidecar beside them.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from strongroom.config import ClientSettings, load_settings
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.seaweed import (
    ADMIN,
    BUCKET,
    REGION,
    SeaweedFS,
    StoreCredentials,
)
from tests.bench.measuring import BenchError, Watched

STRONGROOM: Final = Path(sys.executable).with_name("strongroom")
#: Where the peers put what they store.
PEER_BUCKET: Final = "peers"
_STACK_TIMEOUT_S: Final = 180.0


@dataclass(frozen=True)
class BenchStack:
    """A stack that runs.

    Attributes:
        root: Its folder.
        watched: Its processes.
        endpoint: The URL of the S3 gateway.
        credentials: Of the administrator, which the peers are given.
        client_file: The settings of our own commands.
    """

    root: Path
    watched: Watched
    endpoint: str
    credentials: StoreCredentials
    client_file: Path
    _weed: SeaweedFS

    @property
    def environ(self) -> dict[str, str]:
        """The environment of our own commands."""
        return {
            **plain_environment(),
            "STRONGROOM_CONFIG": str(self.client_file),
        }

    @property
    def settings(self) -> ClientSettings:
        """The settings of our own clients in this process."""
        return load_settings(config_file=self.client_file)

    @property
    def vault_audit(self) -> Path:
        """Where OpenBao writes down what it is asked."""
        return StackLayout(self.root).vault / "audit.log"

    def with_sidecar(self) -> "BenchStack":
        """Start a sidecar, unless it runs; return the stack as seen through it."""
        _dev(self.root, "sidecar")
        return replace(
            self,
            watched=_watched(self.root, self._weed.metrics),
            client_file=StackLayout(self.root).sidecar_client,
        )

    @property
    def peer_environ(self) -> dict[str, str]:
        """The environment of a peer's commands: it may use the store."""
        return {
            **plain_environment(),
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def stored_bytes(self, bucket: str = BUCKET, prefix: str = "") -> int:
        """Sum up all objects below a prefix, in all their versions."""
        return sum(size for _, size in self.objects(bucket, prefix))

    def objects(
        self, bucket: str = BUCKET, prefix: str = ""
    ) -> Iterator[tuple[str, int]]:
        """Yield key and size of each version of each object below a prefix."""
        client: Any = self._weed.client(ADMIN)
        try:
            pages = client.get_paginator("list_object_versions").paginate(
                Bucket=bucket, Prefix=prefix
            )
            for page in pages:
                for row in page.get("Versions", ()):
                    yield row["Key"], int(row["Size"])
        finally:
            client.close()


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[BenchStack]:
    """Run a stack in a new folder; stop it at the end."""
    root = folder.resolve()
    try:
        # In here, so that what an interrupted start has started is stopped, too.
        _dev(root, "up")
        layout = StackLayout(root)
        weed = SeaweedFS(layout, AddressBook(layout.addresses))
        # Plain objects that are overwritten must not count twice, or be lost.
        weed.make_bucket(PEER_BUCKET, versioning=True, lock=False)
        yield BenchStack(
            root,
            _watched(root, weed.metrics),
            weed.endpoint,
            weed.credentials(ADMIN),
            layout.client_settings,
            weed,
        )
    finally:
        _dev(root, "down")


def plain_environment() -> dict[str, str]:
    """Return the environment without settings that point to other stores."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STRONGROOM_", "AWS_", "RESTIC_"))
    }


def _watched(root: Path, metrics: str) -> Watched:
    processes = json.loads(_dev(root, "status"))["processes"]
    pids = {item["name"]: int(item["pid"]) for item in processes}
    store = [pid for name, pid in pids.items() if name.startswith("store-")]
    sidecar = pids.get("sidecar", 0)
    return Watched(pids["server"], store, sidecar, (pids["vault"],), metrics)


def _dev(root: Path, verb: str) -> str:
    done = subprocess.run(
        [STRONGROOM, "dev", verb, "--dir", str(root), "--json"],
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_STACK_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"strongroom dev {verb} failed: {done.stderr[-2000:]}")
    return done.stdout
