# SPDX-License-Identifier: Apache-2.0
"""Times that somebody gives to `strongroom audit`: each means what it says, or is none.

Entries that are left out because a time was misread look like entries that there are
not.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from strongroom.cli.program import run
from strongroom.errors import InvalidArgumentError
from strongroom_server.reconcile_commands import given_time, shown_time

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("", None),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T12:00Z", NOON),
        ("2026-11-23T12:00", NOON),
        ("2026-11-23T12:00:00.000000Z", NOON),
        ("2026-11-23T21:00+09:00", NOON.astimezone(timezone(timedelta(hours=9)))),
        # As the commands themselves print it.
        ("2026-11-23 12:00:00Z", NOON),
        (shown_time(NOON), NOON),
    ],
)
def test_a_time_is_read_in_every_form_that_is_shown(
    text: str, time: datetime | None
) -> None:
    assert given_time(text) == time


@pytest.mark.parametrize("text", ["yesterday", "2026-23-11", "7d", "12:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no time"):
        given_time(text)


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_no_entries_are_left_out_by_what_is_no_time(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(["audit", "ls", "--config", "none.toml", option, "yesterday"]) == 2

    assert "'yesterday' is no time" in capsys.readouterr().err
