# SPDX-License-Identifier: Apache-2.0
"""Vault is destroyed and restored from its own backup: what is then read, and what not.

A real OpenBao, its real snapshots, and the commands of docs/operations.md.
"""

import hashlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disaster.site import kill
from tests.disaster.vault import StackVault
from tests.support.cli import LiveStack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

#: Until a running server has found its way back to Vault.
PATIENCE_S = 30.0


class Site:
    """A stack, what was pushed to it, and its Vault."""

    def __init__(self, folder: Path) -> None:
        self.live = LiveStack(folder / ".strongroom", folder=folder)
        self.folder = folder
        self.vault = StackVault(self.live.root)
        self.settings = str(self.live.root / "server/server.toml")

    def push(self, name: str, data: bytes) -> None:
        tree = self.folder / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "file").write_bytes(data)
        self.live.check("push", str(tree), name)

    def digest(self, name: str) -> str:
        out = self.folder / "out"
        self.live.check("pull", name, str(out))
        try:
            return hashlib.sha256((out / "file").read_bytes()).hexdigest()
        finally:
            shutil.rmtree(out)

    def restart(self) -> None:
        """Let the server forget keys that it holds."""
        kill(self.live.pid("server"), signal.SIGTERM)
        self.live.up()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("vault"))
    made.live.up()
    try:
        yield made
    finally:
        made.live.down()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_vault_restored_from_its_snapshot_opens_all_that_its_keys_protect(
    site: Site,
) -> None:
    snapshot = site.folder / "vault.snap"
    site.push("vision/model", b"before the snapshot" * 1000)
    site.vault.snapshot(snapshot)
    site.push("vision/model", b"behind the snapshot" * 1000)

    site.vault.destroy()
    site.vault.restore(snapshot)

    # The server has not been started anew: it finds back by itself.
    late = ("push", str(site.folder / "tree"), "vision/late")
    wait_until(lambda: site.live.run(*late).code == 0, timeout_s=PATIENCE_S)
    checked = site.live.check("vault", "check", "--config", site.settings, "--json")
    assert checked.summary["problem_count"] == 0
    assert checked.summary["opened_count"] == checked.summary["slot_count"] == 2
    site.restart()
    assert site.digest("vision/model@1") == sha256(b"before the snapshot" * 1000)
    assert site.digest("vision/model@2") == sha256(b"behind the snapshot" * 1000)
    site.live.check("audit", "verify", "--config", site.settings)
    site.live.check("verify", "vision/model")


def test_a_snapshot_that_is_older_than_a_project_costs_that_project_and_says_so(
    site: Site,
) -> None:
    snapshot = site.folder / "old.snap"
    site.push("kept/model", b"kept" * 1000)
    site.vault.snapshot(snapshot)
    site.push("late/model", b"late" * 1000)
    site.push("kept/model", b"kept, too" * 1000)

    site.vault.roll_back(snapshot)

    checked = site.live.run("vault", "check", "--config", site.settings)
    assert checked.code == 16, checked
    [told] = [line for line in checked.out.splitlines() if line.startswith("!")]
    assert "KEK_MISSING" in told
    kek = told.partition("does not have the key ")[2]
    assert kek.startswith("sr.")
    assert "no older snapshot has it" in checked.out
    site.restart()
    refused = site.live.run("pull", "late/model", str(site.folder / "none"))
    assert (refused.code, "KEK_MISSING" in refused.err) == (16, True), refused
    assert kek in refused.err
    # Nothing else suffers, and nobody makes a key of that name in passing.
    assert site.digest("kept/model@2") == sha256(b"kept, too" * 1000)
    assert site.live.run("push", str(site.folder / "tree"), "late/model").code == 16
    assert site.live.run("vault", "check", "--config", site.settings).code == 16


def test_a_backup_is_compared_only_where_there_are_backups(site: Site) -> None:
    asked = ("vault", "check", "--config", site.settings, "--backup", "newest")

    refused = site.live.run(*asked)

    assert (refused.code, "name no backup bucket" in refused.err) == (2, True), refused
