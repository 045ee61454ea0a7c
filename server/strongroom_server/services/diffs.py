# SPDX-License-Identifier: Apache-2.0
"""Comparing two versions: files by digest, tensors by the chunks that hold them.

A tensor whose chunks are the same is the same, so only chunks that differ are
read: comparing two checkpoints moves the bytes of what changed between them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format import safetensors
from strongroom.format.chunking import JOIN_BYTES
from strongroom.format.digest import path_order
from strongroom.format.names import VersionName
from strongroom.format.safetensors import TensorInfo
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.history import Committed
from strongroom_server.core.records import (
    Change,
    DiffSummary,
    FileChange,
    FileRecord,
    TensorChange,
)
from strongroom_server.core.scope import Scope
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.contents import files_of, pages_of
from strongroom_server.repository.repository import Artifact, Repository

_SUFFIX: Final = ".safetensors"
#: Bytes that are compared at a time.
_COMPARE_BYTES: Final = 4 * 1024 * 1024
#: Chunks up to this size may hold thousands of small tensors; they are read once.
_SHARED_BYTES: Final = 2 * JOIN_BYTES

#: A part of a chunk: the chunk, the offset in its plaintext, and the length.
_Run = tuple[ChunkRef, int, int]


@dataclass(slots=True)
class _Counts:
    added: int = 0
    removed: int = 0
    modified: int = 0
    unchanged: int = 0
    shared_bytes: int = 0


class Diffs:
    """Compares versions of one artifact."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def diff(
        self,
        base: VersionName,
        target: VersionName,
        *,
        include_unchanged: bool,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[FileChange | DiffSummary]:
        """Yield how each file differs, in byte order of path, then the summary.

        Args:
            base: The older version.
            target: The newer one.
            include_unchanged: Whether unchanged files and tensors are told, too.
            check: Called again and again, since one file may take hours; raises
                once nobody waits for the answer.

        Raises:
            InvalidArgumentError: The versions are of different artifacts.
            NotFoundError: One of them does not exist.
        """
        if base.artifact != target.artifact:
            raise InvalidArgumentError(
                f"{base.short} and {target.short} are of different artifacts",
                reason=Reason.ARGUMENT_INVALID,
            )
        artifact, newer = self._repository.version(target)
        _, older = self._repository.version(base)
        counts = _Counts()
        shared: frozenset[PageRef] = frozenset()
        if not include_unchanged:
            shared = self._shared_pages(artifact, older, newer, counts)
        for left, right in self._paired(artifact, older, newer, shared):
            check()
            change = self._compare(artifact.scope, left, right, counts, check)
            if include_unchanged:
                yield change
            elif change.change is not Change.UNCHANGED:
                tensors = tuple(
                    item for item in change.tensors
                    if item.change is not Change.UNCHANGED
                )  # fmt: skip
                yield FileChange(
                    change.path, change.change, change.base, change.target, tensors
                )
        yield DiffSummary(
            artifact.version_record(older),
            artifact.version_record(newer),
            counts.added,
            counts.removed,
            counts.modified,
            counts.unchanged,
            counts.shared_bytes,
        )

    def _shared_pages(
        self, artifact: Artifact, older: Committed, newer: Committed, counts: _Counts
    ) -> frozenset[PageRef]:
        """Count the files of pages that both versions have, and return these pages.

        Nothing in them differs, so they need not be read: comparing two versions
        of a million files costs what changed between them.
        """
        known = frozenset(pages_of(self._repository, artifact, older))
        shared = known.intersection(pages_of(self._repository, artifact, newer))
        counts.unchanged += sum(page.file_count for page in shared)
        counts.shared_bytes += sum(page.size_bytes for page in shared)
        return shared

    def _paired(
        self,
        artifact: Artifact,
        older: Committed,
        newer: Committed,
        without: frozenset[PageRef],
    ) -> Iterator[tuple[FileEntry | None, FileEntry | None]]:
        left_files = files_of(self._repository, artifact, older, without=without)
        right_files = files_of(self._repository, artifact, newer, without=without)
        left, right = next(left_files, None), next(right_files, None)
        while left or right:
            if right is None or (
                left and path_order(left.path) < path_order(right.path)
            ):
                yield left, None
                left = next(left_files, None)
            elif left is None or path_order(right.path) < path_order(left.path):
                yield None, right
                right = next(right_files, None)
            else:
                yield left, right
                left, right = next(left_files, None), next(right_files, None)

    def _compare(
        self,
        scope: Scope,
        left: FileEntry | None,
        right: FileEntry | None,
        counts: _Counts,
        check: Callable[[], None],
    ) -> FileChange:
        if left is None or right is None:
            return _only_one(left, right, counts)
        same_bytes = left.digest == right.digest
        known = {ref.chunk_id for ref in left.chunks}
        counts.shared_bytes += sum(
            ref.plain_bytes for ref in right.chunks if ref.chunk_id in known
        )
        tensors: tuple[TensorChange, ...] = ()
        if same_bytes and left.executable == right.executable:
            counts.unchanged += 1
            change = Change.UNCHANGED
        else:
            counts.modified += 1
            change = Change.MODIFIED
            if not same_bytes and right.path.endswith(_SUFFIX):
                chunks = self._repository.chunks
                tensors = _compare_tensors(
                    _Content(chunks, scope, left), _Content(chunks, scope, right), check
                )
        return FileChange(right.path, change, _record(left), _record(right), tensors)


class _Content:
    """The bytes of one file, as far as they are needed."""

    def __init__(self, chunks: ChunkReader, scope: Scope, entry: FileEntry) -> None:
        self._chunks = chunks
        self._scope = scope
        self._entry = entry
        #: The chunk of small tensors that was read last.
        self._shared: tuple[ChunkRef, memoryview] | None = None

    def tensors(self) -> Sequence[TensorInfo]:
        """Return the file's tensors.

        Raises:
            ValueError: It is no safetensors file.
        """
        size_bytes = self._entry.size_bytes
        prefix = self._read(min(safetensors.PREFIX_BYTES, size_bytes))
        size = safetensors.parse_header_size(prefix, size_bytes)
        return safetensors.parse_tensors(self._read(size), size_bytes)

    def runs(self, tensor: TensorInfo) -> Iterator[_Run]:
        """Yield which parts of which chunks hold a tensor, in order."""
        return self._entry.ranges(tensor.start, tensor.size_bytes)

    def read_run(self, run: _Run) -> memoryview:
        """Return the plaintext of a part of a chunk."""
        ref, offset, length = run
        if ref.plain_bytes > _SHARED_BYTES:
            return self._chunks.read_range(self._scope, ref, offset, length)
        if self._shared is None or self._shared[0] != ref:
            self._shared = ref, self._chunks.read(self._scope, ref)
        return self._shared[1][offset : offset + length]

    def _read(self, length: int) -> bytes:
        parts = [
            self._chunks.read_range(self._scope, *run)
            for run in self._entry.ranges(0, length)
        ]
        return b"".join(parts)


def _compare_tensors(
    left: _Content, right: _Content, check: Callable[[], None]
) -> tuple[TensorChange, ...]:
    try:
        old = {tensor.name: tensor for tensor in left.tensors()}
        new = {tensor.name: tensor for tensor in right.tensors()}
    except ValueError:
        return ()  # one of them is no safetensors file: no tensors to compare
    changes = []
    # As they lie in the newer file, so that neighbours are read together.
    for name in [*new, *(old.keys() - new.keys())]:
        check()
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            shown, change = after or before, Change.ADDED if after else Change.REMOVED
        elif (before.dtype, before.shape) != (after.dtype, after.shape):
            shown, change = after, Change.MODIFIED
        else:
            same = _same_bytes((left, before), (right, after), check)
            shown, change = after, Change.UNCHANGED if same else Change.MODIFIED
        if shown is None:
            raise AssertionError(name)
        changes.append(
            TensorChange(name, change, shown.dtype, shown.shape, shown.size_bytes)
        )
    return tuple(sorted(changes, key=lambda item: item.tensor))


def _same_bytes(
    left: tuple[_Content, TensorInfo],
    right: tuple[_Content, TensorInfo],
    check: Callable[[], None],
) -> bool:
    # A chunk that both share, at the same place in the tensor, is not read.
    for old, new in _in_step(left[0].runs(left[1]), right[0].runs(right[1])):
        if (old[0].chunk_id, old[1]) == (new[0].chunk_id, new[1]):
            continue
        check()
        if left[0].read_run(old) != right[0].read_run(new):
            return False
    return True


def _in_step(
    left: Iterator[_Run], right: Iterator[_Run]
) -> Iterator[tuple[_Run, _Run]]:
    """Cut two runs of chunks, equally long, into pieces that lie in one chunk each."""
    old, new = next(left, None), next(right, None)
    while old is not None and new is not None:
        size = min(old[2], new[2], _COMPARE_BYTES)
        yield (old[0], old[1], size), (new[0], new[1], size)
        old = _rest(old, size) or next(left, None)
        new = _rest(new, size) or next(right, None)


def _rest(run: _Run, size_bytes: int) -> _Run | None:
    ref, offset, length = run
    if length == size_bytes:
        return None
    return ref, offset + size_bytes, length - size_bytes


def _only_one(
    left: FileEntry | None, right: FileEntry | None, counts: _Counts
) -> FileChange:
    if right is not None:
        counts.added += 1
        return FileChange(right.path, Change.ADDED, None, _record(right), ())
    if left is None:
        raise AssertionError
    counts.removed += 1
    return FileChange(left.path, Change.REMOVED, _record(left), None, ())


def _record(entry: FileEntry) -> FileRecord:
    return FileRecord(entry.path, entry.size_bytes, entry.digest, entry.executable)
