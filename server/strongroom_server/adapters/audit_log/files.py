# SPDX-License-Identifier: Apache-2.0
"""The audit log's directory: its files, their check, and what a crash left there.

`audit.jsonl` grows; `audit-<first number>.jsonl` are full; `log-id` names the log;
`audit.torn-<number>` holds what a crash left of a line; `shipped` is a note of what
the store holds. All files must stay: the chain begins in the oldest.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import (
    IntegrityError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core import canonical
from strongroom_server.core.audit import (
    GENESIS,
    MAX_LINE_BYTES,
    line_digest,
    verify_lines,
)
from strongroom_server.ports import Entropy

CURRENT_NAME: Final = "audit.jsonl"
ID_NAME: Final = "log-id"
LOCK_NAME: Final = "audit.lock"
MARK_NAME: Final = "shipped"
OPEN_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW

_ID: Final = re.compile(r"[0-9a-f]{8}\Z")


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What a check of a whole audit log found; `digest` is the last line's.

    `torn_bytes` is a line that has not ended: a crash, or a writer at work.
    """

    log_id: str
    file_count: int
    event_count: int
    digest: str
    torn_bytes: int


@dataclass(slots=True)
class ChainEnd:
    """Where the chain ends: what is durable, and nothing else."""

    number: int
    prev: str
    first_number: int
    size_bytes: int


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what the disk refuses into our error; nothing else passes by here."""
    try:
        yield
    except StrongroomError:
        raise
    except OSError as error:
        raise refusal(error.strerror or type(error).__name__) from error


def refusal(cause: str) -> UnavailableError:
    """Return the error for an event that cannot be made durable."""
    return UnavailableError(
        f"the audit log cannot be written: {cause}",
        reason=Reason.AUDIT_UNAVAILABLE,
        hint="Make room on the audit log's disk; nothing else has to be done.",
        cause=cause,
    )


def read_lines(directory: Path) -> Iterator[bytes]:
    """Yield every line in order, each with its line feed; a torn one has none.

    Raises:
        UnavailableError: The files cannot be read (AUDIT_UNAVAILABLE).
    """
    for path in _files(directory):
        with disk_errors(), path.open("rb") as file:
            yield from file


def lines_from(directory: Path, start: int) -> Iterator[bytes]:
    """Yield the whole lines from number `start` on, without their line feeds.

    Raises:
        IntegrityError: A line is damaged (AUDIT_CORRUPT).
        UnavailableError: The files cannot be read (AUDIT_UNAVAILABLE).
    """
    for line in _whole(read_lines(directory), []):
        try:
            number = canonical.decode_object(line[:-1], MAX_LINE_BYTES)["number"]
        except (canonical.MalformedError, KeyError) as error:
            message = f"a line of the audit log in {directory} is damaged"
            raise IntegrityError(message, reason=Reason.AUDIT_CORRUPT) from error
        if number >= start:
            yield line[:-1]


def read_mark(directory: Path) -> bytes:
    """Return what `write_mark` wrote; nothing, if that is lost."""
    try:
        with disk_errors():
            return (directory / MARK_NAME).read_bytes()
    except UnavailableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return b""
        raise


def write_mark(directory: Path, mark: bytes) -> None:
    """Replace the mark; without waiting for the disk, since it may be lost."""
    temporary = directory / f"{MARK_NAME}.new"
    with disk_errors():
        temporary.write_bytes(mark)
        temporary.replace(directory / MARK_NAME)


def verify_audit_log(directory: Path) -> AuditSummary:
    """Check every line of every file in `directory`, oldest first.

    Raises:
        IntegrityError: Names the first entry that is damaged, missing or out of
            order (AUDIT_CORRUPT).
        UnavailableError: The files cannot be read (AUDIT_UNAVAILABLE).
    """
    with disk_errors():
        log_id = _read_id(directory)
    torn: list[bytes] = []
    count, last = 0, GENESIS
    for number, digest in verify_lines(_whole(read_lines(directory), torn)):
        count, last = number + 1, digest
    return AuditSummary(
        log_id, len(_files(directory)), count, last, sum(map(len, torn))
    )


def _whole(lines: Iterator[bytes], torn: list[bytes]) -> Iterator[bytes]:
    """Yield the lines; if the very last one has no end, put it into `torn`."""
    previous: bytes | None = None
    for line in lines:
        if previous is not None:
            yield previous
        previous = line
    if previous is not None and previous.endswith(b"\n"):
        yield previous
    elif previous is not None:
        torn.append(previous)


def _files(directory: Path) -> list[Path]:
    current = directory / CURRENT_NAME
    return sorted(directory.glob("audit-*.jsonl")) + [current] * current.exists()


def full_name(first_number: int) -> str:
    """Return the name of a full file; names sort as the chain runs."""
    return f"audit-{first_number:020d}.jsonl"


def own(directory: Path) -> int:
    """Return a descriptor that keeps other processes out until it is closed."""
    flags = os.O_RDWR | os.O_CREAT | OPEN_FLAGS
    fd = os.open(directory / LOCK_NAME, flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise UnavailableError(
            f"another process writes the audit log in {directory}",
            reason=Reason.AUDIT_UNAVAILABLE,
            hint="Stop the other server, or give this one a directory of its own.",
            directory=directory,
        ) from error
    return fd


def load_or_make_id(directory: Path, entropy: Entropy) -> str:
    """Return the log's id, 8 hex digits, made with the log and never changed."""
    if (directory / ID_NAME).exists() or _files(directory):
        return _read_id(directory)
    log_id = entropy.token_bytes(4).hex()
    _write_new(directory, ID_NAME, log_id.encode() + b"\n")
    return log_id


def _read_id(directory: Path) -> str:
    try:
        log_id = (directory / ID_NAME).read_bytes().strip().decode("ascii", "replace")
    except FileNotFoundError as error:
        if not _files(directory):
            raise
        message = f"the audit log in {directory} has lost its {ID_NAME}"
        raise IntegrityError(
            message, reason=Reason.AUDIT_CORRUPT, directory=directory
        ) from error
    if not _ID.match(log_id):
        message = f"the audit log in {directory} has a damaged {ID_NAME}"
        raise IntegrityError(message, reason=Reason.AUDIT_CORRUPT, directory=directory)
    return log_id


def recover(directory: Path) -> tuple[ChainEnd, int]:
    """Check the last file; return the chain's end and how many torn bytes it had.

    Torn bytes are put aside and cut off; the cut is durable with the next event.

    Raises:
        IntegrityError: The file, or its link to the one before, is damaged.
    """
    number, prev = _end_of_full_files(directory)
    current = directory / CURRENT_NAME
    if not current.exists():
        return ChainEnd(number, prev, number, 0), 0
    first_number = number
    torn: list[bytes] = []
    with current.open("rb") as file:
        lines = _whole(iter(file), torn)
        for last, digest in verify_lines(lines, number=number, prev=prev):
            number, prev = last + 1, digest
    torn_bytes = sum(map(len, torn))
    size_bytes = current.stat().st_size - torn_bytes
    if torn_bytes:
        _write_new(directory, f"audit.torn-{number}", b"".join(torn))
        os.truncate(current, size_bytes)
    return ChainEnd(number, prev, first_number, size_bytes), torn_bytes


def _end_of_full_files(directory: Path) -> tuple[int, str]:
    """Return the number and `prev` that the current file begins with.

    Only the last line is read: it was checked when it was written, and a check of
    the whole log is `verify_audit_log`.
    """
    full = sorted(directory.glob("audit-*.jsonl"))
    if not full:
        return 0, GENESIS
    with full[-1].open("rb") as file:
        file.seek(max(0, full[-1].stat().st_size - MAX_LINE_BYTES - 1))
        line = b"".join(file.read().splitlines(keepends=True)[-1:])
    try:
        body = canonical.decode_object(line.rstrip(b"\n"), MAX_LINE_BYTES)
        number = int(body["number"])
    except (canonical.MalformedError, KeyError, ValueError, TypeError) as error:
        message = f"the last entry of {full[-1].name} is damaged"
        raise IntegrityError(message, reason=Reason.AUDIT_CORRUPT) from error
    return number + 1, line_digest(line)


def write_fully(fd: int, data: bytes) -> None:
    """Write all of `data`; the kernel may take it in parts."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_new(directory: Path, name: str, data: bytes) -> None:
    """Make a file that is there whole, or not at all."""
    temporary = directory / f"{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | OPEN_FLAGS
    fd = os.open(temporary, flags, 0o600)
    try:
        write_fully(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(directory / name)
    sync_directory(directory)
