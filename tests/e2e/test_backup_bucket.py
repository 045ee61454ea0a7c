# SPDX-License-Identifier: Apache-2.0
"""A real stack with a backup bucket: its checks, and what shredding does there."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import strongroom
from strongroom.config import load_settings
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.backup_store import BACKUP_BUCKET, BackupSeaweedFS
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.seaweed import ADMIN
from tests.support.cli import LiveStack

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

START_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """A stack with backups, where a program may shred alone."""
    with tempfile.TemporaryDirectory(prefix="own-") as name:
        live = LiveStack(Path(name) / ".strongroom", backups=True)
        live.up()
        try:
            with lax_server(live):
                yield live
        finally:
            live.down()


@contextlib.contextmanager
def lax_server(stack: LiveStack) -> Iterator[None]:
    """Run the stack's server without the shipped rules: people are others' tests."""
    os.kill(stack.pid("server"), signal.SIGTERM)
    until_s = time.monotonic() + START_TIMEOUT_S
    while stack.processes()["server"]["pid"] is not None:
        assert time.monotonic() < until_s
        time.sleep(0.1)
    folder = stack.root / "server"
    text = (folder / "server.toml").read_text("utf-8")
    lax = text.replace("[access]\n", "[access]\nshipped_rules = false\n")
    (folder / "lax.toml").write_text(lax, "utf-8")
    command = (sys.executable, "-I", "-m", "strongroom_server", "serve")
    with subprocess.Popen(
        (*command, "--config", "lax.toml"), cwd=folder, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while stack.run("doctor").code:
                assert process.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.5)
            yield
        finally:
            process.terminate()


def slots(stack: LiveStack) -> set[str]:
    """Return the keys of all slots in the backup bucket."""
    layout = StackLayout(stack.root.resolve())
    weed = BackupSeaweedFS(layout, AddressBook(layout.addresses))
    admin = weed.client(ADMIN)
    found = admin.list_object_versions(Bucket=BACKUP_BUCKET, Prefix="keys/")
    admin.close()
    keys = {row["Key"] for row in found.get("Versions", ())}
    return {key for key in keys if not key.startswith("keys/probe/")}


def test_doctor_proves_the_locks_and_the_credentials(stack: LiveStack) -> None:
    said = stack.check("doctor", "--json").out.splitlines()
    lines = [json.loads(line) for line in said]

    checks = {item["check"]: item["ok"] for item in lines if "check" in item}
    assert {name for name in checks if name.startswith("backup.")} == {
        f"backup.{name}"
        for name in (
            *("clock", "lock", "lock_extend", "lock_shorten", "lock_delete"),
            *("bypass", "delete", "hide", "configure", "shredder"),
        )
    }
    assert all(checks.values())


def test_what_is_shredded_leaves_the_backup_too(
    stack: LiveStack, tmp_path: Path
) -> None:
    (tmp_path / "w").write_bytes(b"secret weights " * 1000)
    settings = load_settings(environ={}, config_file=stack.root / "client.toml")
    with strongroom.Client(settings) as client:
        for name in ("doomed/model", "kept/model"):
            client.push(tmp_path, name)
        stack.check("backup", "create")
        before = slots(stack)

        receipt = client.shred_project("doomed", reason="the contract ended")

    told = receipt.told()
    assert told["backup_slots_removed"] == told["slots_removed"]
    assert told["backup_slots_removed_count"] == 1
    assert (told["backup_slots_locked"], told["backup_problem"]) == ([], "")
    assert slots(stack) == before - set(told["slots_removed"])
    assert slots(stack)
