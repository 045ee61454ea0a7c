# SPDX-License-Identifier: Apache-2.0
"""The site that disasters strike: a development stack with backups, and its owner.

Recovery goes by the commands that docs/operations.md names, as processes; what is
done here beside them is the disaster, and looking at what is there afterwards.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.backup_store import BackupSeaweedFS
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.seaweed import ADMIN, SeaweedFS
from tests.disaster.contents import Contents
from tests.disaster.vault import StackVault
from tests.support.cli import LiveStack, Result

SERVER_PROGRAM: Final = Path(sys.executable).with_name("strongroom-server")
#: No command of a recovery takes longer.
TIMEOUT_S: Final = 300.0


class CommandFailedError(Exception):
    """A documented command did not do what it is for."""


@dataclass
class Site:
    """A running stack with backups, and what its owner has written.

    Attributes:
        live: The stack.
        folder: For what the owner keeps beside it.
        contents: What was written.
        vault: Its OpenBao.
        thorough: Whether to take minutes more.
        commands: What was run to recover, in order.
    """

    live: LiveStack
    folder: Path
    contents: Contents
    vault: StackVault
    thorough: bool = False
    commands: list[str] = field(default_factory=list)

    @property
    def layout(self) -> StackLayout:
        """Where the stack's files lie."""
        return StackLayout(self.live.root.resolve())

    @property
    def settings(self) -> Path:
        """The server's settings."""
        return self.layout.server_settings

    def strongroom(self, *args: str) -> Result:
        """Run `strongroom ARGS`, which must succeed."""
        return self._checked("strongroom", args, self.live.run(*args))

    def server_program(self, *args: str) -> Result:
        """Run `strongroom-server ARGS`, which must succeed."""
        process = self.start_server_program(*args)
        out, err = process.communicate(timeout=TIMEOUT_S)
        result = Result(process.returncode, out, err)
        return self._checked("strongroom-server", args, result)

    def start_server_program(self, *args: str) -> "subprocess.Popen[str]":
        """Start `strongroom-server ARGS`, and return at once."""
        return subprocess.Popen(
            [SERVER_PROGRAM, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.live.variables(None),
        )

    def up(self) -> None:
        """Start whatever is down, as an operator does."""
        self.strongroom("dev", "up", "--dir", str(self.live.root))

    @property
    def server_pid(self) -> int | None:
        """The server's process, if it runs."""
        pid = self.live.processes()["server"]["pid"]
        return None if pid is None else int(pid)

    def kill_server(self) -> None:
        """End the server, which has no time to tidy up."""
        kill(self.server_pid)

    def stop_server(self) -> None:
        """Stop the server, if it runs, and let it end as it wants to."""
        kill(self.server_pid, signal.SIGTERM)

    def lose_index(self) -> None:
        """Remove all that the server keeps beside the bucket, but its audit log."""
        shutil.rmtree(self.layout.server / "index", ignore_errors=True)

    def lay_audit_aside(self) -> None:
        """Keep the server's own audit log as evidence, and give it a new folder.

        It knows more than a store that was restored as of a backup.
        """
        evidence = self.folder / f"audit-{time.monotonic_ns()}"
        (self.layout.server / "audit").rename(evidence)

    def back_up(self) -> int:
        """Take a backup; return its number."""
        result = self.strongroom("backup", "create", "--json")
        return int(result.summary["backup"]["number"])

    @property
    def store(self) -> SeaweedFS:
        """Where the primary is."""
        return SeaweedFS(self.layout, AddressBook(self.layout.addresses))

    @property
    def backup_store(self) -> BackupSeaweedFS:
        """Where the backups are."""
        return BackupSeaweedFS(self.layout, AddressBook(self.layout.addresses))

    @contextmanager
    def primary(self) -> Iterator[Any]:
        """Give a client of the primary bucket that may do everything."""
        client = self.store.client(ADMIN)
        try:
            yield client
        finally:
            client.close()

    def primary_objects(self) -> list[tuple[str, str]]:
        """Return key and version id of all there is in the primary."""
        return versions_in(self.store)

    def backup_packs(self) -> list[tuple[str, str]]:
        """Return key and version id of every pack in the backup bucket."""
        found = versions_in(self.backup_store)
        return [item for item in found if item[0].startswith("packs/")]

    def _checked(self, program: str, args: tuple[str, ...], result: Result) -> Result:
        self.commands.append(re.sub(r"/\S*/", "…/", f"{program} {' '.join(args)}"))
        if result.code != 0:
            said = result.err[-2000:] or result.out[-2000:]
            message = f"{self.commands[-1]} ended with {result.code}: {said}"
            raise CommandFailedError(message)
        return result


@contextmanager
def running_site(*, thorough: bool = False) -> Iterator[Site]:
    """Yield a site with contents; nothing of it is left afterwards."""
    # A short path, for the sockets.
    with tempfile.TemporaryDirectory(prefix="disaster-") as name:
        root = Path(name) / ".strongroom"
        folder = Path(name) / "owner"
        folder.mkdir()
        live = LiveStack(root, backups=True, folder=folder)
        live.up()
        try:
            contents = Contents(root / "client.toml", folder)
            contents.begin()
            yield Site(live, folder, contents, StackVault(root), thorough)
        finally:
            live.down()


def versions_in(weed: SeaweedFS) -> list[tuple[str, str]]:
    """Return key and version id of all there is in a bucket, delete markers too."""
    found: list[tuple[str, str]] = []
    client = weed.client(ADMIN)
    pages = client.get_paginator("list_object_versions").paginate(Bucket=weed.bucket)
    for page in pages:
        for kind in ("Versions", "DeleteMarkers"):
            found += [(item["Key"], item["VersionId"]) for item in page.get(kind, ())]
    client.close()
    return found


def kill(pid: int | None, number: int = signal.SIGKILL) -> None:
    """Send a process a signal, and wait until it has ended; harmless without one."""
    if pid is not None:
        os.kill(pid, number)
        wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone."""
    deadline = time.monotonic() + TIMEOUT_S
    while Path(f"/proc/{pid}").exists():
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2]
        if state.split()[0] == "Z":
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)
