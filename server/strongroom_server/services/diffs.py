# SPDX-License-Identifier: Apache-2.0
"""Comparing two versions: files by digest, tensors by the chunks that hold them.

A tensor whose chunks are the same is the same, so only chunks that differ are
read: comparing two checkpoints moves the bytes of what changed between them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format import safetensors
from strongroom.format.digest import path_order
from strongroom.format.names import VersionName
from strongroom.format.safetensors import TensorInfo
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed
from strongroom_server.core.records import (
    Change,
    DiffSummary,
    FileChange,
    FileRecord,
    TensorChange,
)
from strongroom_server.core.scope import Scope
from strongroom_server.repository.repository import Artifact, Repository

_SUFFIX: Final = ".safetensors"
#: Bytes that are compared at a time.
_COMPARE_BYTES: Final = 4 * 1024 * 1024

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
        self, base: VersionName, target: VersionName, *, include_unchanged: bool
    ) -> Iterator[FileChange | DiffSummary]:
        """Yield how each file differs, in byte order of path, then the summary.

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
        for left, right in self._paired(artifact, older, newer):
            change = self._compare(artifact.scope, left, right, counts)
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

    def _paired(
        self, artifact: Artifact, older: Committed, newer: Committed
    ) -> Iterator[tuple[FileEntry | None, FileEntry | None]]:
        left_files = self._entries(artifact, older)
        right_files = self._entries(artifact, newer)
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

    def _entries(self, artifact: Artifact, version: Committed) -> Iterator[FileEntry]:
        manifests, scope = self._repository.manifests, artifact.scope
        manifest = manifests.load(scope, artifact.journal.artifact, version)
        return manifests.entries(scope, manifest)

    def _compare(
        self,
        scope: Scope,
        left: FileEntry | None,
        right: FileEntry | None,
        counts: _Counts,
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
                tensors = self._compare_tensors(scope, left, right)
        return FileChange(right.path, change, _record(left), _record(right), tensors)

    def _compare_tensors(
        self, scope: Scope, left: FileEntry, right: FileEntry
    ) -> tuple[TensorChange, ...]:
        try:
            old = {tensor.name: tensor for tensor in self._tensors(scope, left)}
            new = {tensor.name: tensor for tensor in self._tensors(scope, right)}
        except ValueError:
            return ()  # one of them is no safetensors file: no tensors to compare
        return tuple(
            self._compare_tensor(scope, (left, old), (right, new), name)
            for name in sorted(old.keys() | new.keys())
        )

    def _compare_tensor(
        self,
        scope: Scope,
        left: tuple[FileEntry, Mapping[str, TensorInfo]],
        right: tuple[FileEntry, Mapping[str, TensorInfo]],
        name: str,
    ) -> TensorChange:
        old, new = left[1].get(name), right[1].get(name)
        if old is None or new is None:
            shown, change = new or old, Change.ADDED if new else Change.REMOVED
        elif (old.dtype, old.shape) != (new.dtype, new.shape):
            shown, change = new, Change.MODIFIED
        else:
            same = self._same_bytes(
                scope, (left[0], old.start), (right[0], new.start), new.size_bytes
            )
            shown, change = new, Change.UNCHANGED if same else Change.MODIFIED
        if shown is None:
            raise AssertionError(name)
        return TensorChange(name, change, shown.dtype, shown.shape, shown.size_bytes)

    def _same_bytes(
        self,
        scope: Scope,
        left: tuple[FileEntry, int],
        right: tuple[FileEntry, int],
        size_bytes: int,
    ) -> bool:
        runs = _in_step(
            left[0].ranges(left[1], size_bytes), right[0].ranges(right[1], size_bytes)
        )
        read = self._repository.chunks.read_range
        # A chunk that both share, at the same place in the tensor, is not read.
        return all(
            (old[0].chunk_id, old[1]) == (new[0].chunk_id, new[1])
            or read(scope, *old) == read(scope, *new)
            for old, new in runs
        )

    def _tensors(self, scope: Scope, entry: FileEntry) -> Sequence[TensorInfo]:
        prefix_bytes = min(safetensors.PREFIX_BYTES, entry.size_bytes)
        prefix = self._read(scope, entry, 0, prefix_bytes)
        size = safetensors.parse_header_size(prefix, entry.size_bytes)
        header = self._read(scope, entry, 0, size)
        return safetensors.parse_tensors(header, entry.size_bytes)

    def _read(self, scope: Scope, entry: FileEntry, start: int, length: int) -> bytes:
        parts = [
            self._repository.chunks.read_range(scope, ref, offset, size)
            for ref, offset, size in entry.ranges(start, length)
        ]
        return b"".join(parts)


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
