# SPDX-License-Identifier: Apache-2.0
"""What a command says that cannot do what it was asked, in text and in JSON."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strongroom.errors import ERROR_BY_CODE
from tests.support.cli import TIMEOUT_S, LiveStack, Result

_WHY = re.compile(
    r"  why:  (?P<code>[A-Z_]+) (?P<reason>[A-Z_]+)"
    r"(, trace (?P<trace>[0-9a-f]{32}))?(, audit (?P<audit>\S+))?"
)
_FIELDS = {
    "message_type", "code", "reason", "message", "hint", "metadata", "retriable",
    "trace_id", "audit_id", "exit_code",
}  # fmt: skip
#: Commands that write bytes, not lines.
_WITHOUT_JSON = {"cat"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A command line, and what it runs with besides the stack's settings."""

    args: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a command must end.

    Attributes:
        exit_code: As `strongroom --help` documents it.
        reason: The stable cause.
        says: What the message must mention.
        traced: Whether it was a call's answer, so that its trace must be named.
        otherwise: How it may end instead, if another cause is met first.
    """

    exit_code: int
    reason: str
    says: Sequence[str] = ()
    traced: bool = True
    otherwise: "Refusal | None" = None


def check_refused(
    stack: LiveStack,
    refusal: Refusal,
    *args: str,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a command, in text and in JSON at once, that must be refused.

    Returns:
        The fields of its `exit_error`, or those of its three lines.
    """
    return check_all_refused(stack, refusal, [Asked(args, environ or {})])[0]


def check_all_refused(
    stack: LiveStack, refusal: Refusal, asked: Sequence[Asked]
) -> list[dict[str, Any]]:
    """Run commands at once that must all be refused; one error for each."""
    started = [
        (place, form, start(stack, item, form))
        for place, item in enumerate(asked)
        for form in (("",) if item.args[0] in _WITHOUT_JSON else ("", "--json"))
    ]
    # All of them end before the first is judged.
    ended = [
        (place, form, Result(process.returncode, out, err))
        for place, form, process in started
        for out, err in [process.communicate(timeout=TIMEOUT_S)]
    ]
    records: dict[int, dict[str, Any]] = {}
    for place, form, result in ended:
        record = read_json(result) if form else read_lines(result)
        _compare(record, result, refusal)
        records[place] = record
    return [records[place] for place in range(len(asked))]


def start(stack: LiveStack, asked: Asked, *more: str) -> subprocess.Popen[str]:
    """Start a command and return at once."""
    command = [*asked.args, *(item for item in more if item)]
    joined = LiveStack(stack.root, {**stack.environ, **asked.environ})
    return joined.start(*command)


def read_lines(result: Result) -> dict[str, Any]:
    """Check that a command said three lines and nothing else; return their fields."""
    assert not result.out, result
    lines = result.err.splitlines()
    assert len(lines) == 3, result.err
    what, why, what_next = lines
    assert re.fullmatch(r"strongroom: \S.+", what), what
    match = _WHY.fullmatch(why)
    assert match, why
    assert re.fullmatch(r"  next: \S.+", what_next), what_next
    return {
        "code": match["code"],
        "reason": match["reason"],
        "message": what.removeprefix("strongroom: "),
        "hint": what_next.removeprefix("  next: "),
        "trace_id": match["trace"] or "",
        "exit_code": result.code,
    }


def read_json(result: Result) -> dict[str, Any]:
    """Check that a command ended with one `exit_error`; return its fields."""
    assert {line["message_type"] for line in result.lines} <= {"status"}, result
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    record: dict[str, Any] = json.loads(lines[0])
    assert record.keys() == _FIELDS
    assert record["message_type"] == "exit_error"
    return record


def _compare(record: dict[str, Any], result: Result, refusal: Refusal) -> None:
    assert "Traceback" not in result.out + result.err
    other = refusal.otherwise
    if other is not None and record["reason"] == other.reason:
        refusal = other
    assert record["reason"] == refusal.reason, (record, result)
    assert result.code == record["exit_code"] == refusal.exit_code, result
    assert ERROR_BY_CODE[record["code"]].exit_code == refusal.exit_code, result
    for text in refusal.says:
        assert text in record["message"], (text, record)
    if refusal.traced:
        assert re.fullmatch("[0-9a-f]{32}", record["trace_id"]), record
