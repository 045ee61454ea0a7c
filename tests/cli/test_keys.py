# SPDX-License-Identifier: Apache-2.0
"""The life of keys on the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.format.names import ProjectName
from strongroom_server.core import layout
from tests.cli.conftest import Command
from tests.client.engine import Engine, running_engine
from tests.client.trees import write_tree


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A store of each test's own: its keys are all that is looked at."""
    with running_engine() as running:
        yield running


@pytest.fixture
def pushed(strongroom: Command, tmp_path: Path) -> None:
    source = str(write_tree(tmp_path / "in", {"a": b"content"}))
    for name in ("one/a", "two/a"):
        assert strongroom("push", source, name).code == 0


def plant(engine: Engine, number: int, data: bytes) -> str:
    world = engine.world
    scope = world.repository.projects.get(ProjectName("one")).scope
    key = layout.slot_key(scope.domain, 0, number)
    world.bucket.put_new(key, data)
    return key


@pytest.mark.usefixtures("pushed")
def test_keys_are_rotated_wrapped_again_and_retired(strongroom: Command) -> None:
    before = strongroom("keys", "ls")
    assert before.out.count("1 of 1") == 3
    assert "(the store)" in before.out
    assert "3 slots, 0 on an old version" in before.err

    assert "3 KEKs rotated" in strongroom("keys", "rotate").out
    assert "strongroom keys rewrap" in strongroom("keys", "ls").err
    refused = strongroom("keys", "retire")
    assert refused.code == 16
    assert "KEK_VERSION_IN_USE" in refused.err

    wrapped = strongroom("keys", "rewrap")
    assert wrapped.code == 0
    assert "3 slots wrapped again" in wrapped.out
    assert "slots/s" in wrapped.out
    assert "version 2: 3 slots, 0 on an old version" in wrapped.out
    assert wrapped.out.endswith("0 slots on an old version\n")

    assert "3 KEKs retired" in strongroom("keys", "retire").out
    assert "3 KEKs had no older version" in strongroom("keys", "retire").out
    assert strongroom("cat", "one/a@1/a").code == 0


@pytest.mark.usefixtures("pushed")
def test_everything_is_told_in_json(strongroom: Command) -> None:
    rotated = strongroom("keys", "rotate", "one", "--json").lines[-1]
    wrapped = strongroom("keys", "rewrap", "--json").lines
    retired = strongroom("keys", "retire", "--json").lines[-1]
    entries = strongroom("keys", "ls", "--json").lines

    assert rotated["rotated_count"] == 1
    summary, proof = wrapped[-2:]
    assert (summary["rewrapped_count"], summary["current_count"]) == (1, 2)
    assert summary["rate_per_s"] > 0
    assert proof["message_type"] == "proof"
    assert (proof["complete"], proof["old_count"], proof["slot_count"]) == (True, 0, 3)
    assert [item["version"] for item in proof["versions"]] == [1, 2]
    assert (retired["retired_count"], retired["done_count"]) == (1, 2)
    assert {entry["project"] for entry in entries} == {"", "one", "two"}
    [one] = [entry for entry in entries if entry["project"] == "one"]
    assert (one["kek_version"], one["oldest_kek_version"], one["slot"]) == (2, 2, 1)
    assert one["state"] == "CURRENT"


@pytest.mark.usefixtures("pushed")
def test_a_planted_slot_is_named(strongroom: Command, engine: Engine) -> None:
    scope = engine.world.repository.projects.get(ProjectName("one")).scope
    good = next(
        data
        for item, data in engine.world.bucket.objects()
        if item.key == layout.slot_key(scope.domain, 0, 0)
    )
    key = plant(engine, 999, good.replace(b"memory:v1:", b"memory:v5:"))

    listed = strongroom("keys", "ls", "one")
    wrapped = strongroom("keys", "rewrap")

    assert f"! {key} does not open, and was passed over" in listed.out
    assert wrapped.code == 0
    assert "1 newer slot passed over" in wrapped.out


@pytest.mark.usefixtures("pushed")
def test_a_domain_of_which_no_slot_opens_fails_the_proof(
    strongroom: Command, engine: Engine
) -> None:
    scope = engine.world.repository.projects.get(ProjectName("one")).scope
    for item, _ in list(engine.world.bucket.objects()):
        if item.key == layout.slot_key(scope.domain, 0, 0):
            engine.world.bucket.corrupt(item.key, item.version_id, b"rotten")

    wrapped = strongroom("keys", "rewrap")

    assert wrapped.code == 14
    assert "KEY_SLOT_CORRUPT" in wrapped.err
    assert "DOES NOT OPEN" in strongroom("keys", "ls").out


@pytest.mark.usefixtures("pushed")
def test_a_new_epoch_is_made_once(strongroom: Command, tmp_path: Path) -> None:
    made = strongroom("keys", "epoch", "one")
    assert made.out == "one: epoch 1, after 0\n"
    assert strongroom("keys", "epoch", "one", "--json").lines[-1]["epoch"] == 2

    source = str(write_tree(tmp_path / "more", {"a": b"content", "b": b"more"}))
    assert strongroom("push", source, "one/a").code == 0

    listed = strongroom("keys", "ls", "one", "--json").lines
    assert [entry["epoch"] for entry in listed] == [0, 1, 2]
    assert strongroom("verify", "one/a").code == 0


@pytest.mark.usefixtures("pushed")
def test_an_epoch_whose_slots_are_gone_is_told_and_gone_on_behind(
    strongroom: Command, engine: Engine
) -> None:
    assert strongroom("keys", "epoch", "one").code == 0
    world = engine.world
    scope = world.repository.projects.get(ProjectName("one")).scope
    for item, _ in world.bucket.objects():
        if item.key == layout.slot_key(scope.domain, 1, 0):
            world.bucket.delete_version(item.key, item.version_id)
    world.repository.keyring.forget_domains()

    listed = strongroom("keys", "ls", "one")
    again = strongroom("keys", "epoch", "one", "--json")
    behind = strongroom("keys", "epoch", "one", "--after", "1")

    assert "DOES NOT OPEN" in listed.out.splitlines()[-1]
    assert (again.code, again.error["reason"]) == (14, "KEY_SLOT_MISSING")
    assert "--after 1" in again.error["hint"]
    assert behind.out == "one: epoch 2, after 1\n"


def test_a_project_that_is_not_there_has_no_keys(strongroom: Command) -> None:
    for command in ("ls", "rotate", "rewrap", "retire", "epoch"):
        result = strongroom("keys", command, "nowhere")
        assert result.code == 10
        assert "PROJECT_NOT_FOUND" in result.err


def test_a_time_that_is_none_is_refused(strongroom: Command) -> None:
    assert strongroom("keys", "rotate", "--older-than", "soon").code == 2
