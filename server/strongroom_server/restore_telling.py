# SPDX-License-Identifier: Apache-2.0
"""What `strongroom-server restore` says: lines for people, or JSON for programs."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from strongroom.errors import StrongroomError
from strongroom_server.core.restore_records import (
    RestorePlan,
    RestoreProgress,
    RestoreReport,
)
from strongroom_server.core.scope import format_id
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.services.backups import counts_of
from strongroom_server.services.restoring import HeldVersion

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024
_BACKUPS: Final = (
    "BACKUP", "BEGUN", "RECOVERY POINT", "PROTECTED UNTIL", "VERSIONS", "SIZE", "OF",
    "NOTES",
)  # fmt: skip
_VERSIONS: Final = ("VERSION", "COMMITTED", "FILES", "SIZE", "DIGEST", "REFS", "BY")
_DIGEST_CHARS: Final = len("sha256:") + 12


class Telling:
    """Tells in lines, for people or for programs."""

    def __init__(self, write: Callable[[str], object], *, as_json: bool) -> None:
        self._as_json = as_json
        self._write = write

    def progress(self, item: RestoreProgress) -> None:
        """Tell how far it is."""
        if self._as_json:
            self._json("status", asdict(item))
            return
        of = f" of {_size(item.total_bytes)}" if item.total_bytes else ""
        self.line(
            f"{item.stage}; in all {_size(item.done_bytes)}{of} in "
            f"{_counted(item.done_count, 'object or file', 'objects or files')}"
        )

    def plan(self, plan: RestorePlan) -> None:
        """Tell what would be done."""
        if self._as_json:
            self._json("plan", asdict(plan))
            return
        for line in _plan_lines(plan):
            self.line(line)

    def report(self, report: RestoreReport, receipt: str) -> None:
        """Tell what was done, and how it is proved."""
        if self._as_json:
            shown = asdict(replace(report, seconds=round(report.seconds, 3)))
            self._json("restored", {**shown, "receipt": receipt})
            return
        for line in _report_lines(report, receipt):
            self.line(line)

    def backups(
        self, backups: Iterable[SavedBackup], untrusted: Mapping[int, StrongroomError]
    ) -> None:
        """Tell which backups there are, and then what is none, and why.

        Args:
            backups: Each is forgotten once it is told.
            untrusted: By number; may be filled while `backups` is walked.
        """
        rows = []
        for saved in backups:
            if self._as_json:
                self._json("backup", _backup(saved))
            rows.append(_backup_row(saved))
        if not self._as_json:
            self._table(_BACKUPS, rows)
        for number, error in sorted(untrusted.items(), reverse=True):
            if self._as_json:
                told = {"number": number, "problem": error.message}
                self._json("untrusted", told)
            else:
                self.line(f"! {number} is no backup: {error.message}")

    def held(self, versions: Sequence[HeldVersion], damaged: Sequence[str]) -> None:
        """Tell what a backup holds, and what of it could not be read."""
        if self._as_json:
            for version in versions:
                self._json("version", asdict(version))
            for line in damaged:
                self._json("damaged", {"problem": line})
            return
        self._table(_VERSIONS, [_version_row(version) for version in versions])
        for line in damaged:
            self.line(f"! not readable: {line}")

    def header(self, saved: SavedBackup) -> None:
        """Tell which backup it is."""
        if self._as_json:
            self._json("backup", _backup(saved))
            return
        root = saved.root
        self.line(
            f"backup {saved.number}, begun {_time(root.create_time)}, recovery point "
            f"{_time(root.newest_commit_time)}, of {_of(root.is_whole)}"
        )

    def line(self, text: str) -> None:
        """Write a line, which cannot steer the terminal, whoever wrote parts of it."""
        clean = (c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
        self._write("".join(clean) + "\n")

    def _table(self, heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        if not rows:
            return
        widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
        for row in (heading, *rows):
            cells = (x.ljust(width) for x, width in zip(row, widths, strict=True))
            self.line("  ".join(cells).rstrip())

    def _json(self, message_type: str, body: dict[str, Any]) -> None:
        line = {"message_type": message_type, **body}
        self._write(json.dumps(line, default=_shown) + "\n")


def _plan_lines(plan: RestorePlan) -> Iterator[str]:
    yield (
        f"backup {plan.backup} of {_time(plan.create_time)}, newest commit "
        f"{_time(plan.recovery_point)}"
    )
    yield _scope(plan.is_part)
    held = ", and by a legal hold" if plan.is_held else ""
    yield f"locked until {_time(plan.protected_until)}{held}"
    versions = _counted(plan.version_count, "version")
    yield f"{versions}, {_size(plan.size_bytes)} to write"
    if plan.object_count:
        objects = _counted(plan.object_count, "stored object")
        yield f"{objects}, {plan.there_count} there already"
    else:
        yield _counted(plan.file_count, "file")
    yield f"about {plan.estimated_s:.1f} s at the rate of a sample just read"
    for kek in plan.keks:
        numbers = ", ".join(map(str, kek.versions))
        state = f"MISSING: {kek.problem}" if kek.problem else "there"
        yield f"KEK {kek.kek}, versions {numbers}: {state}"
    yield "nothing was changed (--dry-run)"


def _report_lines(report: RestoreReport, receipt: str) -> Iterator[str]:
    yield (
        f"restored {_counted(report.version_count, 'version')} from backup "
        f"{report.backup} in {report.seconds:.1f} s: {report.copied_count} copied "
        f"({_size(report.copied_bytes)}), {report.there_count} there already"
    )
    yield _scope(report.is_part)
    yield f"recovery point: {_time(report.recovery_point)}"
    for line in report.damaged:
        yield f"NOT RESTORED: {line}"
    if report.damaged_count > len(report.damaged):
        left = report.damaged_count - len(report.damaged)
        yield f"NOT RESTORED: {left} more, which are not named"
    yield f"receipt, for `strongroom receipt verify`: {receipt}"


def _backup(saved: SavedBackup) -> dict[str, Any]:
    root = saved.root
    artifacts, versions = counts_of(root.journals)
    return {
        "number": saved.number,
        "create_time": root.create_time,
        "newest_commit_time": root.newest_commit_time,
        "protected_until": saved.protected_until,
        "held": saved.is_held,
        "mode": root.mode,
        "root_digest": saved.root_digest,
        "whole": root.is_whole,
        "project_ids": [format_id(project) for project in root.scope],
        "artifact_ids": [format_id(artifact) for _, artifact in root.artifacts],
        "artifact_count": artifacts,
        "version_count": versions,
        "object_count": root.object_count,
        "size_bytes": root.size_bytes,
        "missing_count": root.missing_count,
    }


def _backup_row(saved: SavedBackup) -> tuple[str, ...]:
    root = saved.root
    notes = ["held"] if saved.is_held else []
    if root.missing_count:
        notes.append(f"{root.missing_count} lost by the store")
    return (
        str(saved.number),
        _time(root.create_time),
        _time(root.newest_commit_time),
        _time(saved.protected_until),
        str(counts_of(root.journals)[1]),
        _size(root.size_bytes),
        _of(root.is_whole),
        ", ".join(notes),
    )


def _version_row(version: HeldVersion) -> tuple[str, ...]:
    return (
        version.name,
        _time(version.create_time),
        str(version.file_count),
        _size(version.size_bytes),
        version.digest[:_DIGEST_CHARS],
        ", ".join(version.refs),
        version.actor,
    )


def _scope(is_part: bool) -> str:  # noqa: FBT001
    return f"that backup is of {_of(not is_part)}"


def _of(is_whole: bool) -> str:  # noqa: FBT001
    return "the whole store" if is_whole else "a part of the store, as chosen then"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, StrEnum):
        return value.value
    raise TypeError(value)


def _time(time: datetime | None) -> str:
    return "none" if time is None else f"{time:%Y-%m-%d %H:%M:%SZ}"


def _counted(count: int, thing: str, things: str = "") -> str:
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def _size(size_bytes: int) -> str:
    size, unit = float(size_bytes), "B"
    for larger in _UNITS[1:]:
        if size < _STEP:
            break
        size, unit = size / _STEP, larger
    return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
