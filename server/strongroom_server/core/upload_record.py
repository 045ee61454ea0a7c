# SPDX-License-Identifier: Apache-2.0
"""Upload records: how far an upload has come, so that another server can go on.

An upload's records are numbered from 0 without a gap. Each goes on from one before
it, not always the last one: an attempt that was given up may leave records behind
that nobody goes on from. What is durable is what the newest record and those that
it goes on from add up to.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.format.digest import PREFIX, parse_digest, path_order
from strongroom.format.names import check_path
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import MAX_PAGE_BYTES, FileEntry
from strongroom_server.core.index_segment import check_format, format_refs, parse_refs
from strongroom_server.core.scope import format_id, parse_id
from strongroom_server.core.sealing import ObjectKind, object_error

FORMAT: Final = 1
#: What one record adds at most, unless it is one file of more chunks.
MAX_FILES: Final = 10_000
MAX_CHUNKS: Final = 65_536
#: MAX_FILES files with the longest paths, or one file whose page is the longest.
MAX_RECORD_BYTES: Final = MAX_PAGE_BYTES + 32 * 1024 * 1024
#: The number that a first record goes on from.
NO_RECORD: Final = -1
_ATTEMPT: Final = re.compile(r"[0-9a-f]{32}\Z")
_FILE_FIELDS: Final = 5
_OPEN_FIELDS: Final = 5
_FIELDS: Final = {
    "format": int, "artifact": str, "request_id": str, "attempt": str,
    "after": int, "after_digest": str, "ended": int, "sweep_epoch": int,
    "files": list, "open": list, "refs": dict,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenPart:
    """What a record adds to the file that was open when it was written.

    Attributes:
        path: The file's path.
        size_bytes: The size that the file will have.
        executable: Its mode.
        first_chunk: How many of its chunks earlier records hold.
        chunks: The durable chunks behind those.
    """

    path: str
    size_bytes: int
    executable: bool
    first_chunk: int
    chunks: tuple[ChunkRef, ...]


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One record of an upload.

    Attributes:
        artifact: The 18-byte id of the artifact.
        request_id: The request id, which names the upload.
        attempt: Which attempt wrote it; random, 32 hex digits.
        after: The number of the record that it goes on from, or NO_RECORD.
        after_digest: The SHA-256 of that record as stored; b"" if there is none.
        ended: Whether the attempt ended with this record.
        sweep_epoch: The sweep epoch by which the attempt shared chunks.
        files: The files that became durable since then, in order.
        open: What became durable of the file behind them, if anything.
    """

    artifact: bytes
    request_id: str
    attempt: str
    after: int
    after_digest: bytes
    ended: bool
    sweep_epoch: int
    files: tuple[FileEntry, ...]
    open: OpenPart | None


@dataclass(slots=True)
class UploadState:
    """What the records of an upload add up to.

    Attributes:
        files: The durable files, in byte order of path.
        open: The durable beginning of the file behind them, if any.
    """

    files: list[FileEntry] = field(default_factory=list)
    open: OpenPart | None = None

    def take(self, record: UploadRecord) -> None:
        """Take in the record that goes on from what is here.

        Raises:
            IntegrityError: It does not fit (RECORD_CORRUPT).
        """
        paths = [path_order(entry.path) for entry in record.files]
        if self.files:
            paths.insert(0, path_order(self.files[-1].path))
        if any(left >= right for left, right in pairwise(paths)):
            raise _malformed()
        self.files.extend(record.files)
        here = self.open
        if here is not None and record.files:
            # The file that was open has ended, or another attempt left it out.
            here = None
        part = record.open
        if part is not None and part.first_chunk:
            fits = here is not None and (
                (here.path, here.size_bytes, here.executable, len(here.chunks))
                == (part.path, part.size_bytes, part.executable, part.first_chunk)
            )
            if here is None or not fits:
                raise _malformed()
            part = OpenPart(
                part.path,
                part.size_bytes,
                part.executable,
                0,
                here.chunks + part.chunks,
            )
        self.open = part or here
        self._check_open()

    def _check_open(self) -> None:
        if self.open is None:
            return
        size_bytes = sum(ref.plain_bytes for ref in self.open.chunks)
        behind = not self.files or path_order(self.files[-1].path) < path_order(
            self.open.path
        )
        if size_bytes > self.open.size_bytes or not behind:
            raise _malformed()


def upload_name(artifact: bytes, request_id: str) -> str:
    """Return what the id of an upload is derived from."""
    return f"{format_id(artifact)}\0{request_id}"


def format_record(record: UploadRecord) -> dict[str, Any]:
    """Return the body of a record, ready to be encrypted."""
    part = record.open
    refs = [ref for entry in record.files for ref in entry.chunks]
    if part is not None:
        refs.extend(part.chunks)
    return {
        "format": FORMAT,
        "artifact": format_id(record.artifact),
        "request_id": record.request_id,
        "attempt": record.attempt,
        "after": record.after,
        "after_digest": record.after_digest.hex(),
        "ended": int(record.ended),
        "sweep_epoch": record.sweep_epoch,
        "files": format_files(record.files),
        "open": []
        if part is None
        else [
            part.path,
            part.size_bytes,
            int(part.executable),
            part.first_chunk,
            len(part.chunks),
        ],
        "refs": format_refs(refs),
    }


def format_files(files: Iterable[FileEntry]) -> list[list[object]]:
    """Return the files of a record; their chunks stand beside them, in order."""
    return [
        [
            entry.path,
            entry.size_bytes,
            parse_digest(entry.digest),
            int(entry.executable),
            len(entry.chunks),
        ]
        for entry in files
    ]


def parse_record(body: Mapping[str, Any], number: int) -> UploadRecord:
    """Return the record of a decrypted body.

    Args:
        body: As `open_object` returned it.
        number: The number that the record lies under.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        _check_format(body.get("format"))
        return _parse(body, number)
    except (ValueError, TypeError, KeyError, InvalidArgumentError) as error:
        raise _malformed() from error


def _check_format(number: object) -> None:
    if type(number) is not int or number < FORMAT:
        raise ValueError(number)
    if number > FORMAT:
        raise PreconditionError(
            f"an upload record has format {number}; this release reads {FORMAT}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
            format=number,
        )


def _parse(body: Mapping[str, Any], number: int) -> UploadRecord:
    if set(body) != set(_FIELDS) or any(
        type(body[key]) is not kind for key, kind in _FIELDS.items()
    ):
        raise ValueError(sorted(body))
    after, digest = body["after"], bytes.fromhex(body["after_digest"])
    if digest.hex() != body["after_digest"] or not _ATTEMPT.match(body["attempt"]):
        raise ValueError(body["after_digest"])
    ended = body["ended"]
    if (
        not NO_RECORD <= after < number
        or len(digest) != (0 if after == NO_RECORD else 32)
        or ended not in {0, 1}
        or body["sweep_epoch"] < 0
        or len(body["files"]) > MAX_FILES
    ):
        raise ValueError(after)
    if set(body["refs"]) != {"format", "packs", "chunks"}:
        raise ValueError(sorted(body["refs"]))
    check_format(body["refs"]["format"], "an upload record's list of chunks")
    refs = iter(parse_refs(body["refs"]))
    files = parse_files(body["files"], refs)
    part = _parse_open(body["open"], refs) if body["open"] else None
    if next(refs, None) is not None:
        raise ValueError(files)
    return UploadRecord(
        parse_id(body["artifact"]),
        body["request_id"],
        body["attempt"],
        after,
        digest,
        ended == 1,
        body["sweep_epoch"],
        files,
        part,
    )


def parse_files(
    items: Iterable[object], refs: Iterable[ChunkRef]
) -> tuple[FileEntry, ...]:
    """Return the files that `format_files` wrote.

    Args:
        items: As it returned them.
        refs: An iterator over the record's chunks; those of the files are taken.

    Raises:
        ValueError: They are malformed; callers name the object.
        TypeError: As ValueError.
        InvalidArgumentError: As ValueError.
    """
    return tuple(_parse_file(item, refs) for item in items)


def _parse_file(item: object, refs: Iterable[ChunkRef]) -> FileEntry:
    path, size, executable, chunks = _parse_head(item, _FILE_FIELDS, mode=3)
    digest = _list(item)[2]
    found = tuple(islice(refs, chunks))
    if len(found) != chunks or sum(ref.plain_bytes for ref in found) != size:
        raise ValueError(path)
    if not isinstance(digest, str):
        raise TypeError(path)
    return FileEntry(
        path, size, PREFIX + parse_digest(PREFIX + digest), executable, found
    )


def _parse_open(item: object, refs: Iterable[ChunkRef]) -> OpenPart:
    path, size, executable, chunks = _parse_head(item, _OPEN_FIELDS, mode=2)
    first = _list(item)[3]
    found = tuple(islice(refs, chunks))
    if len(found) != chunks or type(first) is not int or first < 0:
        raise ValueError(path)
    return OpenPart(path, size, executable, first, found)


def _parse_head(item: object, count: int, *, mode: int) -> tuple[str, int, bool, int]:
    """Return path, size, mode and number of chunks of a file of a record."""
    fields = _list(item)
    if len(fields) != count:
        raise ValueError(fields)
    path, size, executable, chunks = fields[0], fields[1], fields[mode], fields[-1]
    numbers = (size, executable, chunks)
    if not isinstance(path, str) or any(type(value) is not int for value in numbers):
        raise TypeError(fields)
    check_path(path)
    if size < 0 or chunks < 0 or executable not in {0, 1}:
        raise ValueError(fields)
    return path, size, executable == 1, chunks


def _list(item: object) -> Sequence[Any]:
    if not isinstance(item, list):
        raise ValueError(item)  # noqa: TRY004 -- stored bytes, not a caller's bug
    return item


def _malformed() -> IntegrityError:
    return object_error(ObjectKind.UPLOAD)
