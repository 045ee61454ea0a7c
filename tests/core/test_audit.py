# SPDX-License-Identifier: Apache-2.0
"""Audit lines: chained, canonical, and any change names the first bad line."""

from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.audit import (
    GENESIS,
    AuditEvent,
    Phase,
    format_line,
    line_digest,
    verify_lines,
)
from tests.support.damage import each_bit_flipped

EVENT = AuditEvent(
    "2026-11-01T12:00:00.000000+00:00",
    Phase.CALL,
    "0" * 32,
    "spiffe://strongroom.test/ns/a/sa/b/job/c",
    "version.read",
    "/strongroom.v1.ArtifactService/ReadVersion",
    "abc",
    "",
    "allow",
    "developers",
    "OK",
    "",
    "1" * 32,
    (("bytes", "17"),),
)


def log_of(count: int) -> list[bytes]:
    lines: list[bytes] = []
    prev = GENESIS
    for number in range(count):
        event = replace(EVENT, call_id=f"{number:032x}")
        lines.append(format_line(event, number=number, prev=prev))
        prev = line_digest(lines[-1])
    return lines


def first_bad(lines: list[bytes]) -> int | None:
    """The number of the first line that is refused."""
    number = 0
    try:
        for number, _ in verify_lines(lines):  # noqa: B007 - the last good one
            pass
    except IntegrityError as error:
        return int(error.metadata["number"])
    return None


def test_a_log_verifies_and_goes_on_from_any_line() -> None:
    lines = log_of(5)

    numbers = list(verify_lines(lines))

    assert [number for number, _ in numbers] == [0, 1, 2, 3, 4]
    assert list(verify_lines(lines[3:], number=3, prev=numbers[2][1])) == numbers[3:]


def test_no_flipped_bit_goes_unnoticed() -> None:
    lines = log_of(3)

    for damaged in each_bit_flipped(lines[1]):
        assert first_bad([lines[0], damaged, lines[2]]) in {1, 2}


@pytest.mark.parametrize("place", range(4))
def test_a_line_that_is_gone_doubled_or_moved_is_named(place: int) -> None:
    lines = log_of(5)

    gone = lines[:place] + lines[place + 1 :]
    doubled = lines[: place + 1] + lines[place:]
    moved = [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]

    assert first_bad(gone) == place
    assert first_bad(doubled) == place + 1
    assert first_bad(moved) == place


def test_a_line_without_its_end_is_torn() -> None:
    lines = log_of(2)

    assert first_bad([lines[0], lines[1][:-1]]) == 1


def test_a_log_that_starts_elsewhere_is_refused() -> None:
    assert first_bad(log_of(3)[1:]) == 0


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"{}\n", b"x" * 9000 + b"\n"])
def test_a_line_that_is_none_is_refused(line: bytes) -> None:
    assert first_bad([line]) == 0
    with pytest.raises(IntegrityError) as caught:
        list(verify_lines([line]))
    assert caught.value.reason is Reason.AUDIT_CORRUPT
