# SPDX-License-Identifier: Apache-2.0
"""Killed servers: whatever a version lists reads back whole."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import LiveStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

KILLS = 20
ARTIFACT = "demo/killed"


def fill(folder: Path, seed: int) -> None:
    """Write a tree of small files and a big one, different for each seed."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "many").mkdir(parents=True)
    for number in range(150):
        (folder / f"many/{number:03d}").write_bytes(b"%d %d\n" % (seed, number) * 500)
    (folder / "big.bin").write_bytes(os.urandom(24 * 1024 * 1024))


def test_twenty_kills_lose_nothing_and_double_nothing(
    own_stack: LiveStack,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    tree = tmp_path / "tree"
    fill(tree, 0)
    started = time.monotonic()
    own_stack.check("push", str(tree), ARTIFACT, "--json")
    whole_s = time.monotonic() - started
    acknowledged = {1}
    cut_off = 0

    for kill in range(KILLS):
        fill(tree, kill + 1)
        pid = own_stack.pid("server")
        push = own_stack.start("push", str(tree), ARTIFACT, "--json")
        # From before the first byte until after the last one.
        time.sleep(0.1 + whole_s * kill / KILLS)
        if push.poll() is None:
            cut_off += 1
        else:
            # The machine has less to do than when the first push was timed.
            whole_s *= 0.8
        os.kill(pid, signal.SIGKILL)
        # The client tries again with the same request id meanwhile.
        own_stack.up()
        out, _ = push.communicate(timeout=90)
        if push.returncode == 0:
            version = json.loads(out.splitlines()[-1])["version"]
            assert version not in acknowledged
            acknowledged.add(version)
    report = own_stack.check("verify", ARTIFACT, "--json").summary

    assert cut_off >= KILLS // 2
    assert report["damaged_count"] == 0
    # Every acknowledged version is there, and what was not acknowledged was
    # made at most once.
    log = own_stack.check("log", ARTIFACT, "--json").lines
    versions = [line["version"] for line in log if line.get("action") == "COMMIT"]
    assert acknowledged <= set(versions)
    assert len(set(versions)) == len(versions) <= KILLS + 1
    record_property("kills", f"{KILLS}, {cut_off} in the middle of a push: {report}")
