# SPDX-License-Identifier: Apache-2.0
"""Backups on the command line, and a root that is checked offline."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom_server.rpc import backup_servicer
from strongroom_server.services.backups import Backups
from tests.cli.conftest import Command
from tests.client.engine import Engine, running_engine
from tests.support.backups import BackedUp
from tests.support.samples import filled
from tests.support.world import World


@pytest.fixture
def stores() -> list[BackedUp]:
    """The store that is served, once it is."""
    return []


@pytest.fixture
def engine(stores: list[BackedUp]) -> Iterator[Engine]:
    """A store of each test's own, with a backup bucket."""

    def backups(world: World) -> Backups:
        stores.append(BackedUp(world))
        return stores[0].backups

    with running_engine(backups=backups) as running:
        running.world.push({"a.bin": filled("a", 100_000), "b": b"small"})
        yield running


@pytest.fixture
def store(engine: Engine, stores: list[BackedUp]) -> BackedUp:
    return stores[0]


@pytest.mark.usefixtures("store")
def test_a_backup_is_taken_listed_and_shown(strongroom: Command) -> None:
    taken = strongroom("backup", "create")
    assert taken.code == 0
    assert "backup 1: 1 version of 1 artifact" in taken.out
    assert "protected until" in taken.out

    again = strongroom("backup", "create", "--json")
    assert again.lines[-1]["message_type"] == "summary"
    assert again.lines[-1]["copied_count"] == 0

    assert strongroom("backup", "ls").out.splitlines()[1].split()[0] == "2"
    assert len(strongroom("backup", "ls", "--json").lines) == 2
    shown = strongroom("backup", "show", "1").out
    assert "the whole store" in shown
    assert "compliance" in shown
    version = strongroom("show", "demo/minilm@1").out
    assert "protected until" in version
    assert strongroom("backup", "show", "9").code == 10


@pytest.mark.usefixtures("store")
def test_it_is_told_that_older_ones_are_not_listed(
    strongroom: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        strongroom("backup", "create")
    assert "older" not in strongroom("backup", "ls").out
    monkeypatch.setattr(backup_servicer, "MAX_BACKUPS", 1)

    listed = strongroom("backup", "ls").out.splitlines()

    assert listed[1].split()[0] == "3"
    assert listed[2:] == ["and 2 older ones"]


@pytest.mark.usefixtures("store")
def test_a_part_of_the_store_is_backed_up(strongroom: Command) -> None:
    assert strongroom("backup", "create", "--project", "demo").code == 0
    assert strongroom("backup", "create", "--artifact", "demo/minilm").code == 0

    assert strongroom("backup", "ls").out.count("1 chosen") == 2
    assert strongroom("backup", "create", "--project", "none").code == 10
    assert strongroom("backup", "create", "--artifact", "Bad Name/x").code == 2


def test_damage_ends_with_14_and_is_named(strongroom: Command, store: BackedUp) -> None:
    strongroom("backup", "create")
    assert strongroom("backup", "verify").code == 0
    row = next(iter(store.records.rows(store.records.load(1).root)))
    store.bucket.lose(row.key, row.version_id)

    failed = strongroom("backup", "verify", "1")

    assert failed.code == 14
    assert f"! {row.key}" in failed.out
    assert "not whole" in failed.err
    assert "strongroom backup create --read-all" in failed.err
    told = strongroom("backup", "verify", "--json").lines
    assert [item["message_type"] for item in told] == ["finding", "summary"]


@pytest.mark.usefixtures("store")
def test_locks_are_extended_and_holds_set_and_lifted(strongroom: Command) -> None:
    strongroom("backup", "create")
    until = strongroom("backup", "ls", "--json").lines[0]["protected_until"]
    later = f"{int(until[:4]) + 1}{until[4:10]}"

    assert later in strongroom("backup", "extend", "1", "--until", later).out
    assert strongroom("backup", "extend", "1", "--until", later).code == 2
    assert strongroom("backup", "extend", "1", "--until", "soon").code == 2
    assert "held" in strongroom("backup", "hold", "1").out
    assert "held" in strongroom("backup", "ls").out
    assert "no longer" in strongroom("backup", "hold", "1", "--lift").out


@pytest.mark.usefixtures("store")
def test_a_saved_root_is_checked_with_public_keys_alone(
    strongroom: Command, tmp_path: Path
) -> None:
    strongroom("backup", "create")
    root, keys = tmp_path / "root.json", tmp_path / "keys.json"
    keys.write_text(strongroom("keys", "public").out)

    assert strongroom("backup", "show", "--out", str(root)).code == 0
    assert strongroom("backup", "show", "--out", str(root)).code == 0
    good = strongroom("backup", "prove", str(root), "--keys", str(keys))

    assert good.code == 0
    assert json.loads(good.out)["number"] == 1
    root.write_bytes(root.read_bytes().replace(b'"payload":"', b'"payload":"A'))
    assert strongroom("backup", "prove", str(root), "--keys", str(keys)).code == 14
    assert strongroom("backup", "prove", str(root), "--keys", str(root)).code == 2
    assert strongroom("backup", "show", "--out", str(root)).code == 11


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("number", ["0", "-1"])
@pytest.mark.parametrize(
    "args",
    [
        ("backup", "show"),
        ("backup", "verify"),
        ("backup", "hold"),
        ("backup", "extend", "--until", "2099-01-01"),
        ("drill", "run", "--backup"),
        ("restore", "demo/minilm", "--backup"),
        ("restore", "demo/minilm", "--dry-run", "--backup"),
    ],
)
def test_no_number_but_none_at_all_stands_for_the_newest_backup(
    strongroom: Command, args: tuple[str, ...], number: str
) -> None:
    """A script that fills in an empty variable gets no backup it did not name."""
    strongroom("backup", "create")
    given = (number,) if args[-1] == "--backup" else ("--", number)

    refused = strongroom(*args, *given)

    assert refused.code == 2
    assert f"there is no backup {number}" in refused.err
    assert "strongroom backup ls" in refused.err
