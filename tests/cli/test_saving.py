# SPDX-License-Identifier: Apache-2.0
"""Saving signed statements, and reading times, as all commands do."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from strongroom.cli.saving import parse_time, save_new
from strongroom.errors import AlreadyExistsError, InvalidArgumentError

HINT = "another one"


def test_a_statement_is_saved_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "statement.json"

    assert save_new(path, b"signed", hint=HINT) == path
    assert save_new(path, b"signed", hint=HINT) == path

    assert path.read_bytes() == b"signed"


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "statement.json"
    path.write_bytes(b"other")

    with pytest.raises(AlreadyExistsError, match="holds something else") as caught:
        save_new(path, b"signed", hint=HINT)

    assert (caught.value.hint, path.read_bytes()) == (HINT, b"other")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be written") as caught:
        save_new(tmp_path / "none" / "statement.json", b"signed", hint=HINT)

    assert caught.value.hint == HINT


def test_a_time_is_in_utc_unless_it_says_otherwise() -> None:
    noon = datetime(2027, 1, 31, 12, tzinfo=UTC)

    assert parse_time(" 2027-01-31T12:00 ") == noon
    assert parse_time("2027-01-31T12:00Z") == noon
    east = timezone(timedelta(hours=2))
    assert parse_time("2027-01-31T14:00+02:00") == noon.astimezone(east)


@pytest.mark.parametrize("text", ["", "yesterday", "2027-02-30", "x" * 1000])
def test_what_is_no_time_is_refused_shortly(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no time") as caught:
        parse_time(text)

    assert len(caught.value.message) < 120
