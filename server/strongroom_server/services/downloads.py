# SPDX-License-Identifier: Apache-2.0
"""Reading a version: authenticated bytes, fetched ahead of the reader."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
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
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.records import (
    FileBlock,
    FileEnded,
    FileStarted,
    TransferItem,
    VersionRecord,
)
from strongroom_server.core.scope import Scope
from strongroom_server.repository.manifests import path_not_found
from strongroom_server.repository.repository import Artifact, Repository

BLOCK_BYTES: Final = 1024 * 1024
MAX_PATHS: Final = 1000
#: Plaintext that is fetched ahead of the reader, in bytes and in chunks.
AHEAD_BYTES: Final = 48 * 1024 * 1024
AHEAD_CHUNKS: Final = 64


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of one chunk that the reader wants."""

    ref: ChunkRef
    offset_bytes: int
    length_bytes: int
    file_offset_bytes: int


class Downloads:
    """Opens versions for reading."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

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
        manifest = self._repository.manifests.load(
            artifact.scope, artifact.journal.artifact, version
        )
        entries = self._select(artifact, manifest, paths)
        record = artifact.version_record(version)
        if not offset_bytes and not length_bytes:
            return Download(self._repository, record, artifact.scope, entries, None)
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
        )

    def _select(
        self, artifact: Artifact, manifest: Manifest, paths: Sequence[str]
    ) -> Iterator[FileEntry]:
        """Return the files of these paths, each once, in byte order.

        Every path is looked up before the first file is handed out.
        """
        manifests, scope = self._repository.manifests, artifact.scope
        if not paths:
            return manifests.entries(scope, manifest)
        # A path below another one of the list is already in it.
        chosen: list[str] = []
        for path in sorted(set(paths), key=path_order):
            if not any(item.endswith("/") and path.startswith(item) for item in chosen):
                chosen.append(path)
        for path in chosen:
            if next(manifests.entries(scope, manifest, path=path), None) is None:
                raise path_not_found(path)
        return (
            entry
            for path in chosen
            for entry in manifests.entries(scope, manifest, path=path)
        )


class Download:
    """A version being read. Used by one thread; a context manager."""

    def __init__(
        self,
        repository: Repository,
        version: VersionRecord,
        scope: Scope,
        entries: Iterator[FileEntry],
        part: tuple[int, int] | None,
    ) -> None:
        self._repository = repository
        self._scope = scope
        self._entries = entries
        self._part = part
        self._ahead: deque[Future[memoryview]] = deque()
        self.version = version

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
        steps = self._steps()
        pending: deque[tuple[FileEntry, TransferItem | _Piece]] = deque()
        ahead = 0
        more = True
        while more or pending:
            while more and ahead < AHEAD_BYTES and len(pending) < AHEAD_CHUNKS:
                step = next(steps, None)
                if step is None:
                    more = False
                    break
                pending.append(step)
                if isinstance(step[1], _Piece):
                    ahead += step[1].length_bytes
                    self._fetch(step[1])
            if not pending:
                continue
            entry, item = pending.popleft()
            if isinstance(item, _Piece):
                yield from self._blocks(entry, item)
                ahead -= item.length_bytes
            else:
                yield item

    def close(self) -> None:
        """Stop fetching ahead."""
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()

    def _steps(self) -> Iterator[tuple[FileEntry, TransferItem | _Piece]]:
        for entry in self._entries:
            yield (
                entry,
                FileStarted(
                    entry.path, entry.size_bytes, entry.executable, entry.digest
                ),
            )
            start, length = self._part or (0, entry.size_bytes)
            for piece in _pieces(entry, start, length):
                yield entry, piece
            yield entry, FileEnded("" if self._part else entry.digest)

    def _fetch(self, piece: _Piece) -> None:
        self._ahead.append(
            self._repository.executor.submit(
                self._repository.chunks.read_range,
                self._scope,
                piece.ref,
                piece.offset_bytes,
                piece.length_bytes,
            )
        )

    def _blocks(self, entry: FileEntry, piece: _Piece) -> Iterator[FileBlock]:
        try:
            plaintext = self._ahead.popleft().result()
        except IntegrityError as error:
            raise damaged_file(error, self.version, entry.path) from error
        for start in range(0, len(plaintext), BLOCK_BYTES):
            block = plaintext[start : start + BLOCK_BYTES]
            yield FileBlock(piece.file_offset_bytes + start, block)


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


def _pieces(entry: FileEntry, start: int, length: int) -> Iterator[_Piece]:
    position = start
    for ref, offset, size in entry.ranges(start, length):
        yield _Piece(ref, offset, size, position)
        position += size


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
