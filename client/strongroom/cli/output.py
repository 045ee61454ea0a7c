# SPDX-License-Identifier: Apache-2.0
"""What the command line prints: tables or JSON lines, and errors in three lines.

Data goes to standard output, everything said to a person to standard error.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.format.names import ArtifactName

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP: Final = 1024


class Output:
    """Prints as one command was asked to."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def record(self, message_type: str, value: object) -> None:
        """Print one JSON line, if JSON was asked for."""
        if self.as_json:
            fields = to_json(value)
            body = fields if isinstance(fields, dict) else {"value": fields}
            print(json.dumps({"message_type": message_type, **body}), flush=True)

    def line(self, text: str) -> None:
        """Print one line of data, if text was asked for."""
        if not self.as_json:
            print(printable(text))

    def say(self, text: str) -> None:
        """Tell a person something, unless they asked for quiet or JSON."""
        if not self.as_json and not self.quiet:
            print(printable(text), file=sys.stderr)

    def insist(self, text: str) -> None:
        """Tell a person what they cannot do without, unless they asked for JSON."""
        if not self.as_json:
            print(printable(text), file=sys.stderr, flush=True)

    def table(
        self,
        rows: Sequence[Sequence[str]],
        *,
        right: Sequence[int] = (),
        heading: Sequence[str] = (),
    ) -> None:
        """Print rows in columns, below a heading if there is one and any row.

        Columns in `right` are aligned to the right. Quiet output has no heading: it
        is what scripts read.
        """
        if self.as_json or not rows:
            return
        head = [heading] if heading and not self.quiet else []
        clean = [[printable(cell) for cell in row] for row in (*head, *rows)]
        widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
        for row in clean:
            cells = (
                cell.rjust(width) if index in right else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            print("  ".join(cells).rstrip())


def to_json(value: object) -> object:
    """Return a value of the SDK as JSON knows values."""
    result = value
    match value:
        case ArtifactName():
            result = value.short
        case Enum():
            result = value.value
        case datetime():
            result = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mapping():
            result = {str(key): to_json(item) for key, item in value.items()}
        case tuple() | list():
            result = [to_json(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            names = (field.name for field in dataclasses.fields(value))
            result = {name: to_json(getattr(value, name)) for name in names}
        case _:
            pass
    return result


def format_size(size_bytes: int) -> str:
    """Return a size as people read it: `87.1 MiB`."""
    size = float(size_bytes)
    for unit in _UNITS[:-1]:
        if size < _STEP:
            return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} {_UNITS[-1]}"


def counted(count: int, thing: str, things: str = "") -> str:
    """Return a count with its noun: `1 file`, `2 files`."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def format_time(time: datetime) -> str:
    """Return a time as people read it, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def short_digest(digest: str) -> str:
    """Return enough of a digest to name a version by it."""
    return digest[: len("sha256:") + 12]


def printable(text: str) -> str:
    """Return text that cannot steer the terminal, whoever wrote it.

    It stays on its line, or a message could pass itself off as the next entry.
    """
    return "".join(
        char if char.isprintable() else f"\\x{ord(char):02x}" for char in text
    )


def print_error(error: StrongroomError, *, as_json: bool) -> None:
    """Print an error on standard error: what, why, and what to run next."""
    if as_json:
        line = {
            "message_type": "exit_error",
            "code": error.code,
            "reason": error.reason.value,
            "message": error.message,
            "hint": error.hint,
            "metadata": error.metadata,
            "retriable": error.retriable,
            "trace_id": error.trace_id,
            "audit_id": error.audit_id,
            "exit_code": error.exit_code,
        }
        print(json.dumps(line), file=sys.stderr)
        return
    why = [f"{error.code} {error.reason.value}"]
    if error.trace_id:
        why.append(f"trace {error.trace_id}")
    if error.audit_id:
        why.append(f"audit {error.audit_id}")
    last = error.hint or (
        "Try again in a moment." if error.retriable else "strongroom doctor"
    )
    message = printable(error.message.replace("\n", " "))
    print(f"strongroom: {message}", file=sys.stderr)
    print(f"  why:  {printable(', '.join(why))}", file=sys.stderr)
    print(f"  next: {printable(last)}", file=sys.stderr)
