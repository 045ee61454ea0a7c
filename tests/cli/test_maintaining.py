# SPDX-License-Identifier: Apache-2.0
"""Sweeps and the index on the command line."""

import json
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom_server.core.sweep_plan import SweepPlan
from tests.cli.conftest import Command
from tests.client.engine import Engine, running_engine
from tests.client.trees import read_tree, write_tree


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A store of each test's own: a sweep is about all that is in one."""
    with running_engine() as running:
        yield running


def push(strongroom: Command, folder: Path, name: str, *contents: bytes) -> None:
    for content in contents:
        pushed = strongroom(
            "push", str(write_tree(folder / "in", {"a": content})), name
        )
        assert pushed.code == 0, pushed.err


def deleted(strongroom: Command, tmp_path: Path) -> list[bytes]:
    """Push two versions, and delete the first for good."""
    contents = [random.randbytes(50_000) for _ in range(2)]
    push(strongroom, tmp_path, "demo/swept", *contents)
    strongroom("policy", "set", "demo/swept", "--trash-days", "0")
    assert strongroom("delete", "demo/swept@1", "--reason", "leaked").code == 0
    return contents


def test_a_plan_changes_nothing_and_says_what_would_go(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    deleted(strongroom, tmp_path)
    before = engine.world.keys()
    path = tmp_path / "plan.json"

    planned = strongroom("sweep", "--plan", str(path))

    assert planned.code == 0
    assert engine.world.keys() == before
    assert "demo/swept@1" in planned.out
    assert "may go for good" in planned.out
    assert f"strongroom sweep --apply {path}" in planned.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert strongroom("sweep", "--plan", str(path)).code == 11


def test_plans_free_space_and_what_is_needed_stays(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    contents = deleted(strongroom, tmp_path)
    packs = set(engine.world.keys("packs/"))

    summaries = []
    for number in range(4):
        path = str(tmp_path / f"plan-{number}.json")
        planned = strongroom("sweep", "--plan", path, "--json")
        applied = strongroom("sweep", "--apply", path, "--reason", "weekly", "--json")
        assert (planned.code, applied.code) == (0, 0), planned.err + applied.err
        summaries.append(applied.lines[-1])

    assert sum(summary["removed_count"] for summary in summaries) > 0
    assert strongroom("undelete", "demo/swept@1").code == 16
    assert sum(summary["removed_bytes"] for summary in summaries) >= 50_000
    assert summaries[-1]["removed_count"] == summaries[-1]["condemned_count"] == 0
    assert packs - set(engine.world.keys("packs/"))
    gone = strongroom("pull", "demo/swept@1", str(tmp_path / "gone"))
    kept = strongroom("pull", "demo/swept@2", str(tmp_path / "kept"))
    assert (gone.code, kept.code) == (16, 0)
    assert "VERSION_PURGED" in gone.err
    assert read_tree(tmp_path / "kept") == {"a": contents[1]}
    assert strongroom("verify", "demo/swept@2").code == 0
    assert "gone: 1" in strongroom("log", "demo/swept").out
    explained = strongroom("explain", "demo/swept").out
    assert [line.split()[:3] for line in explained.splitlines()[1:]] == [
        ["=", "2", "live"],
        ["!", "1", "gone"],
    ]
    back = strongroom("undelete", "demo/swept@1", "--json")
    assert (back.code, back.error["reason"]) == (16, "VERSION_PURGED")


def test_sweeps_that_took_no_version_do_not_fill_the_log(
    strongroom: Command, tmp_path: Path
) -> None:
    push(strongroom, tmp_path, "demo/untouched", b"1")
    deleted(strongroom, tmp_path)
    for number in range(2):
        path = str(tmp_path / f"plan-{number}.json")
        strongroom("sweep", "--plan", path)
        assert strongroom("sweep", "--apply", path).code == 0

    short = strongroom("log", "demo/untouched")
    whole = strongroom("log", "demo/untouched", "--all")
    lines = strongroom("log", "demo/untouched", "--json").lines

    swept = [line for line in lines if line["action"] == "FENCE"]
    assert swept
    assert "swept" not in short.out
    assert f"{len(swept)} sweep" in short.err
    assert "left out; --all shows all" in short.err
    assert (len(whole.out.splitlines()), whole.err) == (len(lines), "")


def test_an_altered_plan_is_refused(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    deleted(strongroom, tmp_path)
    path = tmp_path / "plan.json"
    strongroom("sweep", "--plan", str(path))
    plan = json.loads(path.read_bytes())
    plan["purge"][0][2] = 2
    path.write_text(json.dumps(plan))
    before = engine.world.keys()

    refused = strongroom("sweep", "--apply", str(path), "--json")

    assert (refused.code, refused.error["reason"]) == (2, "ARGUMENT_INVALID")
    assert engine.world.keys() == before


def test_a_plan_of_another_store_is_refused(
    strongroom: Command, tmp_path: Path
) -> None:
    deleted(strongroom, tmp_path)
    with running_engine() as other:
        *_, plan = other.world.sweeping.plan(None)
        assert isinstance(plan, SweepPlan)
        path = tmp_path / "plan.json"
        path.write_bytes(other.world.sweeping.encode(plan))

    refused = strongroom("sweep", "--apply", str(path), "--json")

    assert (refused.code, refused.error["reason"]) == (16, "PLAN_STALE")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--plan", "a", "--apply", "b"],
        ["--apply", "b", "--project", "demo"],
    ],
)
def test_a_sweep_is_planned_or_applied(strongroom: Command, args: list[str]) -> None:
    result = strongroom("sweep", *args, "--json")

    assert (result.code, result.error["code"]) == (2, "INVALID_ARGUMENT")


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b'{"trash": 1}'])
def test_what_is_no_plan_is_refused(
    strongroom: Command, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)

    result = strongroom("sweep", "--apply", str(path), "--json")

    assert (result.code, result.error["code"]) == (2, "INVALID_ARGUMENT")


def test_a_version_is_told_as_gone_only_when_it_is(
    strongroom: Command, tmp_path: Path
) -> None:
    deleted(strongroom, tmp_path)
    path = str(tmp_path / "plan.json")
    strongroom("sweep", "--plan", path)

    applied = strongroom("sweep", "--apply", path)

    assert "0 versions gone" in applied.out
    assert "1 version can still be undeleted" in applied.out
    assert "gone for good" not in applied.out
    assert strongroom("undelete", "demo/swept@1").code == 0


def test_a_plan_that_is_not_there_is_not_found(
    strongroom: Command, tmp_path: Path
) -> None:
    result = strongroom("sweep", "--apply", str(tmp_path / "absent"), "--json")

    assert (result.code, result.error["code"]) == (10, "NOT_FOUND")


def test_a_policy_sends_old_versions_to_the_trash(
    strongroom: Command, tmp_path: Path
) -> None:
    push(strongroom, tmp_path, "demo/policy", b"1", b"2", b"3")
    strongroom("ref", "move", "demo/policy", "prod", "1")
    strongroom("policy", "set", "demo/policy", "--keep-last", "1")
    path = str(tmp_path / "plan.json")

    planned = strongroom("sweep", "--plan", path, "--project", "demo")
    applied = strongroom("sweep", "--apply", path)

    assert "demo/policy@2" in planned.out
    assert "to the trash" in planned.out
    assert "demo/policy@1" not in planned.out
    assert "1 version to the trash" in applied.out
    states = strongroom("ls", "demo/policy", "--versions").out
    assert ["trash" in line for line in states.splitlines()[1:]] == [False, True, False]


def test_the_index_is_built_anew(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    push(strongroom, tmp_path, "demo/indexed", random.randbytes(50_000))

    text = strongroom("index", "rebuild")
    as_json = strongroom("index", "rebuild", "--json").lines[-1]
    again = strongroom("push", str(tmp_path / "in"), "demo/again", "--json").lines[-1]

    assert text.code == 0
    assert "0 damaged" in text.out
    assert as_json["chunk_count"] >= 1
    assert as_json["record_count"] >= 2
    assert again["stored_bytes"] < 50_000, "its chunks are known again"
