# SPDX-License-Identifier: Apache-2.0
"""The version before: which of its chunks a new chunk may differ from only a little.

A chunk is matched by its label (the tensor that it holds, and where in it), which
stays when the file around it changes; without one, by where it starts. The labels
of a stored file are found by cutting it once more, which reads its header only.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from strongroom.errors import IntegrityError
from strongroom.format.chunking import replay
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.scope import Scope
from strongroom_server.repository.guarded_cutter import MakeCutter
from strongroom_server.repository.repository import Repository

#: Chunks this large are data: no header is, and reading them for a label would cost
#: more than a delta saves.
_MAX_HEADER_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParentFile:
    """The chunks of one file of the version before, by label and by start."""

    labels: dict[str, ChunkRef] = field(default_factory=dict)
    starts: dict[int, ChunkRef] = field(default_factory=dict)

    def find(self, label: str, start: int, size_bytes: int) -> ChunkRef | None:
        """Return the chunk that one with this label, start and length may be alike.

        It is never a delta: of one, its base is returned.
        """
        found = self.labels.get(label) or self.starts.get(start)
        if found is None or found.plain_bytes != size_bytes:
            found = self.starts.get(start)
        if found is None or found.plain_bytes != size_bytes:
            return None
        return found.base or found


NO_PARENT_FILE: Final = ParentFile()


class ParentVersion(Protocol):
    """Finds files of the version before. Used by one thread."""

    def find(self, path: str) -> FileEntry | None:
        """Return the file with this path, None if there is none.

        A damaged version is as good as none: it costs only bytes.

        Raises:
            UnavailableError: The store, or who knows the version, failed.
        """
        ...

    def chunks_of(self, entry: FileEntry, make_cutter: MakeCutter) -> ParentFile:
        """Return the chunks of a file of the version, by label and by start.

        Labels are those that the cutter gives that is made here. Errors as `find`.
        """
        ...


class ParentFiles:
    """A `ParentVersion` of the repository's."""

    def __init__(
        self, repository: Repository, scope: Scope, manifest: Manifest
    ) -> None:
        self._repository = repository
        self._scope = scope
        self._manifest = manifest

    def find(self, path: str) -> FileEntry | None:
        """See `ParentVersion`."""
        try:
            entries = self._repository.manifests.entries(
                self._scope, self._manifest, path=path
            )
            return next(entries, None)
        except IntegrityError:
            return None

    def chunks_of(self, entry: FileEntry, make_cutter: MakeCutter) -> ParentFile:
        """See `ParentVersion`."""
        return label_chunks(
            entry, make_cutter, partial(self._repository.chunks.read, self._scope)
        )


def label_chunks(
    entry: FileEntry,
    make_cutter: MakeCutter,
    read_chunk: Callable[[ChunkRef], memoryview],
) -> ParentFile:
    """Return the chunks of a stored file, by label and by start.

    Args:
        entry: The file.
        make_cutter: Makes what gives the labels.
        read_chunk: Reads one of its chunks.
    """
    labels: dict[str, ChunkRef] = {}
    starts: dict[int, ChunkRef] = {}
    start = 0
    for ref in entry.chunks:
        starts[start] = ref
        start += ref.plain_bytes

    def read(position: int) -> bytes | None:
        ref = entry.chunks[position]
        if position and ref.plain_bytes >= _MAX_HEADER_BYTES:
            return None
        try:
            return bytes(read_chunk(ref))
        except IntegrityError:
            return None

    sizes = [ref.plain_bytes for ref in entry.chunks]
    make = partial(make_cutter, entry.path, entry.size_bytes)
    _, cuts = replay(make, sizes, read)
    for cut, ref in zip(cuts, entry.chunks, strict=False):
        if cut.label:
            labels[cut.label] = ref
    return ParentFile(labels, starts)
