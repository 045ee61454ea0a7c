# SPDX-License-Identifier: Apache-2.0
"""Drills on a real stack: a good one, one by schedule, one that finds a rotten pack."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Of examples/, which is on the path of tests.
from tamper import PROBE_BYTES, find_stored_byte, flipped

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3 import S3Settings
from strongroom_server.adapters.s3.locked import open_locked
from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.backup_store import BACKUP_BUCKET, BACKUP_WRITER
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.seaweed import REGION
from tests.support.cli import STRONGROOM, LiveStack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

SIZE = 300_000


def drills(stack: LiveStack) -> list[dict[str, object]]:
    return stack.check("drill", "ls", "--json").lines


def find_pack(stack: LiveStack) -> tuple[str, bytes]:
    """Return the pack of the backup that holds the random file: key and bytes."""
    layout = StackLayout(stack.root)
    keys = json.loads(layout.backup_credentials(BACKUP_WRITER).read_text())
    port = AddressBook(layout.addresses).port("backup-s3")
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{port}",
        region=REGION,
        bucket=BACKUP_BUCKET,
        prefix="",
        access_key=keys["access_key"],
        secret_key=keys["secret_key"],
    )
    with open_locked(settings, SystemClock()) as bucket:
        [item] = [
            item
            for item in bucket.first_versions("packs/")
            if SIZE <= item.size_bytes < 2 * SIZE
        ]
        data = bucket.get(item.key, version_id=item.version_id, max_bytes=2 * SIZE)
    return item.key, data


@contextmanager
def scheduled(stack: LiveStack, folder: Path) -> Iterator[Path]:
    """Have a server that drills by itself in place of the stack's; yield its log."""
    settings, log = folder / "scheduled.toml", folder / "scheduled.log"
    written = (stack.root / "server/server.toml").read_text()
    settings.write_text(f"{written}\n[drill]\nevery_s = 3600\n")
    os.kill(stack.pid("server"), signal.SIGKILL)
    program = str(STRONGROOM.with_name("strongroom-server"))
    command = [program, "serve", "--config", str(settings)]
    with (
        log.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=file) as server,
    ):
        try:
            wait_until(lambda: stack.run("whoami").code == 0, timeout_s=30)
            yield log
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture
def stack(own_backed_stack: LiveStack, tmp_path: Path) -> LiveStack:
    """A stack with one version and a backup of it."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "weights.bin").write_bytes(os.urandom(SIZE))
    own_backed_stack.check("push", str(tree), "demo/model", "--kind", "weights")
    own_backed_stack.check("backup", "create")
    return own_backed_stack


def check_on_demand(stack: LiveStack, folder: Path) -> None:
    """Run a drill that is good, and check its report with public keys alone."""
    saved, keys = folder / "drill.json", folder / "keys.json"
    good = stack.check("drill", "run", "--out", str(saved), "--json").summary
    assert (good["passed"], good["canary"]) == (True, "ABSENT")
    assert [item["name"] for item in good["versions"]] == ["demo/model@1"]
    keys.write_text(stack.check("keys", "public").out)
    checked = stack.check("drill", "verify", str(saved), "--keys", str(keys))
    assert json.loads(checked.out)["passed"] is True


def test_drills_pass_until_a_pack_of_the_backup_rots(
    stack: LiveStack, tmp_path: Path
) -> None:
    check_on_demand(stack, tmp_path)
    stack.check("backup", "create")  # this one has the canary
    pack, data = find_pack(stack)
    probe = data[len(data) // 2 :][:PROBE_BYTES]
    with scheduled(stack, tmp_path) as log:
        # The drill on demand was just now: the schedule waits for an hour.
        assert len(drills(stack)) == 1
        assert stack.check("drill", "run", "--json").summary["canary"] == "GOOD"
        stack.check("doctor")

        with flipped(find_stored_byte(stack.root / "backup-seaweed", probe)):
            bad = stack.run("drill", "run")

            assert bad.code == 14
            assert f"! {pack}  CHUNK_CORRUPT" in bad.out
            assert "demo/model@1 weights.bin" in bad.out
            alarm = stack.run("doctor")
            assert alarm.code == 14
            assert pack in alarm.out
            # As the runbook says: what has rotted is copied anew, and then it is good.
            stack.check("backup", "create", "--read-all")
            assert stack.check("drill", "run", "--json").summary["passed"] is True
        assert '"event": "drill_failed"' in log.read_text()
        stack.check("doctor")


def test_a_server_drills_by_its_schedule(stack: LiveStack, tmp_path: Path) -> None:
    with scheduled(stack, tmp_path):
        wait_until(lambda: len(drills(stack)) == 1, timeout_s=30)

        [drill] = drills(stack)
        assert (drill["scheduled"], drill["passed"]) == (True, True)
        listed = stack.run(
            *("audit", "ls", "--json"),
            environ={
                "STRONGROOM_SERVER_CONFIG": str(stack.root / "server/server.toml")
            },
        )
        runs = [line for line in listed.lines if line.get("action") == "drill.run"]
        assert [line["phase"] for line in runs] == ["intent", "outcome"]
