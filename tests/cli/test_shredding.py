# SPDX-License-Identifier: Apache-2.0
"""Shredding on the command line, and a receipt that is checked offline."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.client.engine import Engine, running_engine
from tests.client.trees import write_tree


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A store of each test's own: projects die in it."""
    with running_engine() as running:
        yield running


@pytest.fixture
def pushed(
    strongroom: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(write_tree(tmp_path / "in", {"a": b"content"}))
    for name in ("doomed/a", "doomed/b", "kept/a"):
        assert strongroom("push", source, name).code == 0
    assert strongroom("ref", "move", "doomed/a", "prod", "1").code == 0


@pytest.mark.usefixtures("pushed")
def test_a_dry_run_shows_what_would_die(strongroom: Command) -> None:
    shown = strongroom("shred", "doomed", "--dry-run")

    assert shown.code == 0
    assert "latest=1, prod=1" in shown.out
    assert "doomed: 2 artifacts, 2 versions, 3 refs" in shown.out
    assert "nothing was changed" in shown.err
    assert strongroom("cat", "doomed/a@1/a").code == 0
    (line,) = strongroom("shred", "doomed", "--dry-run", "--json").lines
    assert (line["artifact_count"], line["held_count"]) == (2, 0)


@pytest.mark.usefixtures("pushed")
def test_the_receipt_is_shown_saved_and_checked_offline(
    strongroom: Command, tmp_path: Path
) -> None:
    done = strongroom("shred", "doomed", "--reason", "ticket 4711")

    assert done.code == 0
    assert "doomed was shredded, and cannot be brought back" in done.out
    assert "ticket 4711" in done.out
    saved = tmp_path / "doomed.shred-receipt.json"
    assert f"receipt: {saved.name}" in done.out
    assert strongroom("shred", "doomed", "--receipt").code == 0
    assert len(list(tmp_path.glob("*shred-receipt*"))) == 1
    (told,) = strongroom("shred", "doomed", "--receipt", "--json").lines
    assert (told["project"], told["version_count"]) == ("doomed", 2)

    keys = tmp_path / "keys.json"
    keys.write_text(strongroom("keys", "public").out)
    checked = strongroom("receipt", "verify", str(saved), "--keys", str(keys))
    assert checked.code == 0
    assert json.loads(checked.out)["reason"] == "ticket 4711"
    saved.write_bytes(saved.read_bytes().replace(b"A", b"B", 1))
    altered = strongroom("receipt", "verify", str(saved), "--keys", str(keys))
    assert altered.code == 14
    assert "It was altered, or these are another store's keys" in altered.err
    assert "good: signed with keys of this store" in checked.err

    read = strongroom("cat", "doomed/a@1/a")
    assert read.code == 16
    assert "KEY_SHREDDED" in read.err
    assert "strongroom shred NAME --receipt" in read.err
    assert strongroom("cat", "kept/a@1/a").code == 0


@pytest.mark.usefixtures("pushed")
def test_what_is_shredded_already_is_told_and_nothing_is_asked(
    strongroom: Command,
) -> None:
    first = strongroom("shred", "doomed", "--reason", "r")
    again = strongroom("shred", "doomed", "--reason", "r")

    assert first.code == 0
    assert "would die with" in first.err
    assert again.code == 16
    assert "KEY_SHREDDED" in again.err
    assert "strongroom shred doomed --receipt" in again.err


@pytest.mark.usefixtures("pushed")
def test_what_was_shredded_is_listed(strongroom: Command) -> None:
    empty = strongroom("ls", "--shredded")
    strongroom("shred", "doomed", "--reason", "ticket 4711")

    listed = strongroom("ls", "--shredded")
    (told,) = strongroom("ls", "--shredded", "--json").lines

    assert (empty.code, empty.out) == (0, "")
    heading, line = listed.out.splitlines()
    assert heading.split() == ["NAME", "SHREDDED", "STATE", "REQUESTER", "REASON"]
    assert re.match(r"doomed +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ ", line)
    assert line.endswith('"ticket 4711"')
    assert (told["name"], told["finished"]) == ("doomed", True)
    assert strongroom("ls", "doomed", "--shredded").code == 2
    assert "doomed" not in strongroom("ls").out


@pytest.mark.usefixtures("pushed")
def test_the_receipts_times_are_printed_as_all_times_are(strongroom: Command) -> None:
    done = strongroom("shred", "doomed", "--reason", "r")

    assert re.search(
        r"^effective from +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$", done.out, re.MULTILINE
    )


@pytest.mark.usefixtures("pushed")
def test_what_excludes_each_other_is_refused(strongroom: Command) -> None:
    assert strongroom("shred", "doomed", "--reason", "r", "--dry-run").code == 2
    assert strongroom("shred", "doomed", "--receipt", "--dry-run").code == 2


@pytest.mark.usefixtures("pushed")
def test_an_older_file_is_not_written_over(strongroom: Command, tmp_path: Path) -> None:
    (tmp_path / "doomed.shred-receipt.json").write_text("something else")
    taken = tmp_path / "taken"
    taken.write_text("mine")

    assert strongroom("shred", "doomed", "--reason", "r").code == 0
    refused = strongroom("shred", "doomed", "--receipt", "--out", str(taken))
    chosen = strongroom("shred", "doomed", "--receipt", "--out", str(tmp_path / "out"))
    nowhere = strongroom("shred", "doomed", "--receipt", "--out", str(taken / "x"))

    assert (tmp_path / "doomed.shred-receipt.json").read_text() == "something else"
    assert (tmp_path / "doomed.shred-receipt-1.json").exists()
    assert (refused.code, taken.read_text()) == (11, "mine")
    assert chosen.code == 0
    assert (tmp_path / "out").read_bytes() == (
        (tmp_path / "doomed.shred-receipt-1.json").read_bytes()
    )
    assert nowhere.code == 2


@pytest.mark.usefixtures("pushed")
def test_what_cannot_be_shredded_is_told(strongroom: Command) -> None:
    assert strongroom("shred", "doomed").code == 2
    assert strongroom("shred", "nothing", "--reason", "r").code == 10
    assert strongroom("shred", "doomed", "--receipt").code == 10
    assert strongroom("hold", "set", "doomed/b", "--reason", "case 7").code == 0

    held = strongroom("shred", "doomed", "--reason", "r")
    shown = strongroom("shred", "doomed", "--dry-run")

    assert held.code == 16
    assert "LEGAL_HOLD" in held.err
    assert "doomed/b" in held.err
    assert "1 artifact under a legal hold" in shown.out
    assert strongroom("cat", "doomed/a@1/a").code == 0


def test_what_is_no_receipt_or_no_keys_is_told(
    strongroom: Command, tmp_path: Path
) -> None:
    junk = tmp_path / "junk"
    junk.write_text("{}")
    keys = tmp_path / "keys"
    keys.write_text('{"format": 1, "keys": [], "type": "strongroom-signing-keys"}')

    assert strongroom("receipt", "verify", str(junk), "--keys", str(junk)).code == 2
    assert strongroom("receipt", "verify", str(junk), "--keys", str(keys)).code == 14
    gone = str(tmp_path / "gone")
    assert strongroom("receipt", "verify", gone, "--keys", str(keys)).code == 2
