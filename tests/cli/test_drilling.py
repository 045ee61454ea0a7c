# SPDX-License-Identifier: Apache-2.0
"""Drills on the command line, and a report that is checked offline."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom_server.rpc.drill_servicer import DrillServicer
from tests.cli.conftest import Command
from tests.client.engine import Engine, running_engine
from tests.support.drills import DrillWorld
from tests.support.samples import filled
from tests.support.world import World


@pytest.fixture
def stores() -> list[DrillWorld]:
    """The store that is served, once it is."""
    return []


@pytest.fixture
def engine(stores: list[DrillWorld]) -> Iterator[Engine]:
    """A store of each test's own, with backups."""

    def drills(world: World) -> DrillServicer:
        stores.append(DrillWorld(world, world.clock))
        return DrillServicer(stores[0].drills)

    with running_engine(drills) as running:
        running.world.push({"a.bin": filled("a", 100_000), "b": b"small"})
        stores[0].back_up()
        yield running


@pytest.fixture
def store(engine: Engine, stores: list[DrillWorld]) -> DrillWorld:
    return stores[0]


@pytest.mark.usefixtures("store")
def test_a_drill_shows_what_was_restored_and_how_fast(strongroom: Command) -> None:
    done = strongroom("drill", "run")

    assert done.code == 0
    assert "ok demo/minilm@1  2 files, 97.7 KiB" in done.out
    for name in ("canary", "all of it would take", "newest commit was", "took"):
        assert name in done.out
    assert "good" in done.out
    assert "recovery_time_ms is reckoned" in done.err


@pytest.mark.usefixtures("store")
def test_a_drill_is_told_as_json(strongroom: Command) -> None:
    done = strongroom("drill", "run", "--json")

    told = done.lines[-1]
    assert told["message_type"] == "drill"
    assert (told["number"], told["passed"], told["canary"]) == (1, True, "GOOD")
    assert [item["name"] for item in told["versions"]] == ["demo/minilm@1"]
    assert "report" not in told
    assert told["recovery_time_ms"] >= 0


def test_a_failed_drill_ends_with_14_and_names_the_object(
    strongroom: Command, store: DrillWorld
) -> None:
    pack = store.rot(next(iter(store.packs_of("demo/minilm"))))

    done = strongroom("drill", "run")

    assert done.code == 14
    assert f"! {pack}  CHUNK_CORRUPT" in done.out
    assert "demo/minilm@1" in done.out
    assert "FAILED" in done.out
    assert pack in done.err
    assert "DRILL_FAILED" in done.err
    shown = strongroom("drill", "show", "1")
    assert shown.code == 0
    assert f"! {pack}  CHUNK_CORRUPT" in shown.out


def test_drills_are_listed_the_newest_first(
    strongroom: Command, store: DrillWorld
) -> None:
    nothing = strongroom("drill", "ls")
    assert (nothing.code, nothing.out) == (0, "")
    assert "strongroom drill run" in nothing.err
    for _ in range(3):
        strongroom("drill", "run", "--backup", "1")
    store.rot_all("packs/")
    strongroom("drill", "run")

    listed = strongroom("drill", "ls").out.splitlines()
    told = strongroom("drill", "ls", "--limit", "2", "--json").lines

    assert listed[0].split()[:4] == ["DRILL", "BEGAN", "BACKUP", "RESULT"]
    assert [line.split()[0] for line in listed[1:]] == ["4", "3", "2", "1"]
    assert "FAILED" in listed[1]
    assert "good" in listed[2]
    assert [line["number"] for line in told] == [4, 3]


@pytest.mark.usefixtures("store")
def test_a_report_is_saved_and_checked_offline(
    strongroom: Command, tmp_path: Path
) -> None:
    saved, keys = tmp_path / "drill.json", tmp_path / "keys.json"
    assert strongroom("drill", "run", "--out", str(saved)).code == 0
    keys.write_text(strongroom("keys", "public").out)

    checked = strongroom("drill", "verify", str(saved), "--keys", str(keys))

    assert checked.code == 0
    assert "good: signed with keys of this store" in checked.err
    told = json.loads(checked.out)
    assert (told["number"], told["passed"], told["canary"]) == (1, True, "good")
    # The same report again is found in the file; another one is refused.
    assert strongroom("drill", "show", "1", "--out", str(saved)).code == 0
    assert strongroom("drill", "run", "--out", str(saved)).code == 11
    nowhere = str(tmp_path / "none" / "drill.json")
    assert strongroom("drill", "show", "1", "--out", nowhere).code == 2

    saved.write_bytes(saved.read_bytes().replace(b"A", b"B", 1))
    altered = strongroom("drill", "verify", str(saved), "--keys", str(keys))
    assert altered.code == 14
    assert "It was altered, or these are another store's keys" in altered.err


def test_what_is_no_report_or_no_keys_is_refused(
    strongroom: Command, tmp_path: Path
) -> None:
    junk = tmp_path / "junk"
    junk.write_text("{}")

    no_keys = strongroom("drill", "verify", str(junk), "--keys", str(junk))
    no_file = strongroom("drill", "verify", str(tmp_path / "x"), "--keys", str(junk))

    assert no_keys.code == 2
    assert "strongroom keys public" in no_keys.err
    assert no_file.code == 2


@pytest.mark.usefixtures("store")
def test_what_is_not_there_is_told(strongroom: Command) -> None:
    assert strongroom("drill", "show", "9").code == 10
    missing = strongroom("drill", "run", "--backup", "9")

    assert missing.code == 10
    assert "BACKUP_NOT_FOUND" in missing.err
