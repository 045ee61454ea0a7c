# SPDX-License-Identifier: Apache-2.0
"""Reading a version: authenticated bytes, fetched ahead of the reader.

How far ahead depends on the others: all downloads share one budget of bytes. One
that finds nothing left goes on alone, a small piece at a time, so that no reader,
however slow, keeps another from reading.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Final, Self

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    OutOfRangeError,
    Reason,
)
from strongroom.format.digest import path_order
from strongroom.format.names import VersionName, check_path
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed
from strongroom_server.core.records import (
    FileBlock,
    FileEnded,
    FileStarted,
    TransferItem,
    VersionRecord,
)
from strongroom_server.core.scope import Scope
from strongroom_server.repository.contents import files_of, load_manifest
from strongroom_server.repository.manifests import path_not_found
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.services.downloads.hedging import Fetch, Pace

BLOCK_BYTES: Final = 1024 * 1024
MAX_PATHS: Final = 1000
#: What one download fetches ahead of its reader: it begins no further piece once
#: it holds so many bytes of plaintext, or so many steps.
AHEAD_BYTES: Final = 48 * 1024 * 1024
AHEAD_STEPS: Final = 64
#: The bytes of a piece for which the budget had no room.
SMALL_PIECE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of one chunk that the reader wants."""

    ref: ChunkRef
    offset_bytes: int
    length_bytes: int
    file_offset_bytes: int

    def split(self, length_bytes: int) -> "tuple[_Piece, _Piece | None]":
        """Return the piece's first bytes, and the rest if there is one."""
        if self.length_bytes <= length_bytes:
            return self, None
        rest = replace(
            self,
            offset_bytes=self.offset_bytes + length_bytes,
            length_bytes=self.length_bytes - length_bytes,
            file_offset_bytes=self.file_offset_bytes + length_bytes,
        )
        return replace(self, length_bytes=length_bytes), rest


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A piece on its way, and how much of the budget it holds."""

    piece: _Piece
    plaintext: Fetch[memoryview]
    taken_bytes: int


#: What comes next, of which file.
_Step = tuple[FileEntry, FileStarted | FileEnded | _Piece]


class Downloads:
    """Opens versions for reading."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._pace = Pace()

    def open(
        self,
        name: VersionName,
        *,
        paths: Sequence[str],
        offset_bytes: int = 0,
        length_bytes: int = 0,
    ) -> "Download":
        """Resolve a version and what to read of it.

        Args:
            name: The version.
            paths: Files, or directories with a trailing slash; empty means all.
            offset_bytes: Where to start; only with exactly one file.
            length_bytes: How many bytes; 0 means to the end.

        Raises:
            NotFoundError: The version or a path does not exist.
            OutOfRangeError: The offset lies past the end of the file.
            InvalidArgumentError: The paths or the range are malformed.
        """
        _check(paths, offset_bytes, length_bytes)
        artifact, version = self._repository.version(name)
        load_manifest(self._repository, artifact, version)
        entries = self._select(artifact, version, paths)
        record = artifact.version_record(version)
        if not offset_bytes and not length_bytes:
            return Download(
                self._repository, record, artifact.scope, entries, None, pace=self._pace
            )
        entry = next(entries)
        if offset_bytes > entry.size_bytes:
            raise OutOfRangeError(
                f"offset {offset_bytes} lies past the end of {entry.path!r}, "
                f"{entry.size_bytes} bytes",
                offset_bytes=offset_bytes,
                size_bytes=entry.size_bytes,
                path=entry.path,
            )
        rest = entry.size_bytes - offset_bytes
        length = min(length_bytes, rest) if length_bytes else rest
        return Download(
            self._repository,
            record,
            artifact.scope,
            iter([entry]),
            (offset_bytes, length),
            pace=self._pace,
        )

    def _select(
        self, artifact: Artifact, version: Committed, paths: Sequence[str]
    ) -> Iterator[FileEntry]:
        """Return the files of these paths, each once, in byte order.

        Every path is looked up before the first file is handed out.
        """
        files = partial(files_of, self._repository, artifact, version)
        if not paths:
            return files()
        # A path below another one of the list is already in it, and comes right
        # behind it in byte order.
        chosen: list[str] = []
        folder = ""
        for path in sorted(set(paths), key=path_order):
            if folder and path.startswith(folder):
                continue
            folder = path if path.endswith("/") else ""
            chosen.append(path)
        for path in chosen:
            if next(files(path=path), None) is None:
                raise path_not_found(path)
        return (entry for path in chosen for entry in files(path=path))


class Download:
    """A version being read. Used by one thread; a context manager."""

    def __init__(
        self,
        repository: Repository,
        version: VersionRecord,
        scope: Scope,
        entries: Iterator[FileEntry],
        part: tuple[int, int] | None,
        *,
        pace: Pace,
    ) -> None:
        self._repository = repository
        self._scope = scope
        self._pace = pace
        self._steps = _steps(entries, part)
        self._not_begun: _Step | None = None
        self._ahead: deque[tuple[FileEntry, FileStarted | FileEnded | _Fetch]] = deque()
        self._ahead_bytes = 0
        self.version = version
        #: Fetches that took so long that a second one was begun.
        self.hedged_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def items(self) -> Iterator[TransferItem]:
        """The files, each as a start, blocks of at most 1 MiB, and an end.

        Raises:
            IntegrityError: Stored bytes do not authenticate; names the file and
                version. Nothing unverified was handed out before.
        """
        self._fetch_ahead()
        while self._ahead:
            entry, item = self._ahead[0]
            if isinstance(item, _Fetch):
                yield from self._blocks(entry, item)
                self._forget(item)
            else:
                yield item
            self._ahead.popleft()
            self._fetch_ahead()

    def close(self) -> None:
        """Stop fetching ahead, and give back what was taken of the budget."""
        for _, item in self._ahead:
            if isinstance(item, _Fetch):
                item.plaintext.cancel()
                self._forget(item)
        self._ahead.clear()

    def _fetch_ahead(self) -> None:
        while len(self._ahead) < AHEAD_STEPS and self._ahead_bytes < AHEAD_BYTES:
            step = self._not_begun or next(self._steps, None)
            self._not_begun = None
            if step is None:
                return
            entry, item = step
            if not isinstance(item, _Piece):
                self._ahead.append((entry, item))
                continue
            fetch, rest = self._begin(item)
            if fetch is not None:
                self._ahead.append((entry, fetch))
            if rest is not None:
                self._not_begun = (entry, rest)
                return

    def _begin(self, piece: _Piece) -> tuple[_Fetch | None, _Piece | None]:
        """Fetch a piece, or what may be fetched of it; return what is left."""
        rest = None
        taken_bytes = piece.length_bytes
        if not self._repository.read_budget.try_take(taken_bytes):
            if self._ahead_bytes:
                return None, piece
            # Nothing is under way, and others' readers may be slow: go on alone.
            taken_bytes = 0
            piece, rest = piece.split(SMALL_PIECE_BYTES)
        try:
            fetch = Fetch(
                partial(
                    self._repository.executor.submit,
                    self._repository.chunks.read_range,
                    self._scope,
                    piece.ref,
                    piece.offset_bytes,
                    piece.length_bytes,
                ),
                pace=self._pace,
                clock=self._repository.clock,
            )
        except RuntimeError:  # The threads have ended, and with them the server.
            self._repository.read_budget.give_back(taken_bytes)
            raise
        self._ahead_bytes += piece.length_bytes
        return _Fetch(piece, fetch, taken_bytes), rest

    def _forget(self, fetch: _Fetch) -> None:
        self._ahead_bytes -= fetch.piece.length_bytes
        self._repository.read_budget.give_back(fetch.taken_bytes)

    def _blocks(self, entry: FileEntry, fetch: _Fetch) -> Iterator[FileBlock]:
        try:
            plaintext = fetch.plaintext.result()
        except IntegrityError as error:
            raise damaged_file(error, self.version, entry.path) from error
        finally:
            self.hedged_count += fetch.plaintext.hedged
        for start in range(0, len(plaintext), BLOCK_BYTES):
            # What was fetched ahead of a shredding is not handed out behind it.
            self._repository.keyring.graves.check(self._scope)
            block = plaintext[start : start + BLOCK_BYTES]
            yield FileBlock(fetch.piece.file_offset_bytes + start, block)


def damaged_file(
    error: IntegrityError, version: VersionRecord, path: str
) -> IntegrityError:
    """Return an integrity error that says which file of which version it hit."""
    return IntegrityError(
        f"file {path!r} of {version.name.short} cannot be read: {error.message}",
        reason=error.reason,
        hint=f"Run `strongroom verify {version.name.short}`; restore the pack from "
        "a backup, or roll the ref back.",
        **{**error.metadata, "path": path, "version": version.name.short},
    )


def _steps(
    entries: Iterator[FileEntry], part: tuple[int, int] | None
) -> Iterator[_Step]:
    for entry in entries:
        yield (
            entry,
            FileStarted(entry.path, entry.size_bytes, entry.executable, entry.digest),
        )
        start, length = part or (0, entry.size_bytes)
        position = start
        for ref, offset, size in entry.ranges(start, length):
            yield entry, _Piece(ref, offset, size, position)
            position += size
        yield entry, FileEnded("" if part else entry.digest)


def _check(paths: Sequence[str], offset_bytes: int, length_bytes: int) -> None:
    for path in paths:
        check_path(path.removesuffix("/"))
    problem = ""
    if len(paths) > MAX_PATHS:
        problem = f"{len(paths)} paths are more than {MAX_PATHS}"
    elif offset_bytes < 0 or length_bytes < 0:
        problem = "offset_bytes and length_bytes must not be negative"
    elif (offset_bytes or length_bytes) and (len(paths) != 1 or paths[0].endswith("/")):
        problem = "offset_bytes and length_bytes need exactly one file"
    if problem:
        raise InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
