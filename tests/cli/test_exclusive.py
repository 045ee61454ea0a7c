# SPDX-License-Identifier: Apache-2.0
"""Artifacts with a key of their own on the command line: made, seen, shredded alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.client.engine import Engine, running_engine
from tests.client.trees import write_tree


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A store of each test's own: artifacts die in it."""
    with running_engine() as running:
        yield running


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(write_tree(tmp_path / "in", {"a": b"content"}))


@pytest.fixture
def pushed(strongroom: Command, source: str) -> None:
    assert strongroom("push", source, "clinic/alone", "--exclusive").code == 0
    assert strongroom("create", "clinic/made", "--exclusive").out == "clinic/made\n"
    for name in ("clinic/made", "clinic/shared"):
        assert strongroom("push", source, name).code == 0


@pytest.mark.usefixtures("pushed")
def test_what_has_a_key_of_its_own_is_told(strongroom: Command) -> None:
    listed = strongroom("ls", "clinic", "--json").lines
    assert {line["name"]: line["exclusive"] for line in listed} == {
        "clinic/alone": True,
        "clinic/made": True,
        "clinic/shared": False,
    }
    assert strongroom("ls", "clinic").out.splitlines()[1].split()[3:5] == ["own"]
    keys = strongroom("keys", "ls", "clinic")
    names = {line.split()[0] for line in keys.out.splitlines()[1:]}
    assert names == {"clinic", "clinic/alone", "clinic/made"}
    begun = strongroom("keys", "epoch", "clinic/made", "--json").lines
    assert [(line["epoch"], line["artifact"]) for line in begun] == [(1, "made")]
    assert strongroom("keys", "epoch", "clinic").out == "clinic: epoch 1, after 0\n"
    refused = strongroom("keys", "epoch", "clinic/shared", "--after", "0")
    assert (refused.code, "DOMAIN_SHARED" in refused.err) == (16, True)


@pytest.mark.usefixtures("pushed")
def test_one_is_shredded_alone_and_the_rest_goes_on(
    strongroom: Command, source: str, tmp_path: Path
) -> None:
    shown = strongroom("shred", "clinic/alone", "--dry-run")
    assert "clinic/alone: 1 artifact, 1 version" in shown.out

    done = strongroom("shred", "clinic/alone", "--reason", "consent was withdrawn")

    assert done.code == 0
    assert "clinic/alone was shredded, and cannot be brought back" in done.out
    saved = tmp_path / "clinic.alone.shred-receipt.json"
    keys = tmp_path / "keys.json"
    keys.write_text(strongroom("keys", "public").out)
    checked = strongroom("receipt", "verify", str(saved), "--keys", str(keys))
    told = json.loads(checked.out)
    assert (told["project"], told["artifact"]) == ("clinic", "alone")
    assert strongroom("shred", "clinic/alone", "--receipt").code == 0

    for command in (
        ("cat", "clinic/alone@1/a"),
        ("push", source, "clinic/alone"),
        ("create", "clinic/alone", "--exclusive"),
        ("shred", "clinic/alone", "--reason", "again"),
    ):
        dead = strongroom(*command)
        assert (dead.code, "KEY_SHREDDED" in dead.err) == (16, True)
    listed = strongroom("ls", "clinic")
    assert "clinic/alone" not in listed.out
    assert "clinic/alone was shredded: strongroom ls --shredded" in listed.err
    (line,) = strongroom("ls", "--shredded", "--json").lines
    assert (line["name"], line["finished"]) == ("clinic/alone", True)
    for name in ("clinic/made", "clinic/shared"):
        assert strongroom("cat", f"{name}@1/a").out == "content"


@pytest.mark.usefixtures("pushed")
def test_one_that_shares_its_project_s_key_is_refused_with_a_way_out(
    strongroom: Command, source: str
) -> None:
    for command in (
        ("shred", "clinic/shared", "--reason", "r"),
        ("shred", "clinic/shared", "--dry-run"),
        ("push", source, "clinic/shared", "--exclusive"),
        ("create", "clinic/shared", "--exclusive"),
    ):
        refused = strongroom(*command)
        assert (refused.code, "DOMAIN_SHARED" in refused.err) == (16, True)
        assert "strongroom push DIR clinic/NEW --exclusive" in refused.err
    assert strongroom("create", "clinic/shared").code == 0


@pytest.mark.usefixtures("pushed")
def test_a_project_says_how_many_keys_die_with_it(strongroom: Command) -> None:
    shown = strongroom("shred", "clinic", "--dry-run")
    assert "2 KEKs of artifacts" in shown.out

    done = strongroom("shred", "clinic", "--reason", "r", "--json").lines

    (told,) = done
    assert told["further_keks_count"] == 2
