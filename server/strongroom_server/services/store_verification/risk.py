# SPDX-License-Identifier: Apache-2.0
"""Risk: which files of which versions, and which refs, a damaged pack hits.

A second pass over the file tables, made only when something is damaged: damage is
rare, and references from packs to files would take more memory than all else.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import IntegrityError
from strongroom.format.names import VersionName
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.history import Committed
from strongroom_server.core.pack import MAX_PACK_BYTES
from strongroom_server.core.scope import Scope
from strongroom_server.core.verify_records import VersionAtRisk
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.repository.salvage import (
    authenticates,
    readable_pages,
    stored_parts,
)

#: Paths that are named for each version; the others are counted.
MAX_PATHS: Final = 100


@dataclass(slots=True)
class _Hit:
    paths: list[str] = field(default_factory=list)
    path_count: int = 0

    def add(self, path: str) -> None:
        self.path_count += 1
        if len(self.paths) < MAX_PATHS:
            self.paths.append(path)


class Risk:
    """Finds what damaged packs hit. Used by one thread, for one project."""

    def __init__(self, repository: Repository, packs: Collection[str]) -> None:
        self._repository = repository
        self._packs = frozenset(packs)
        self._held: tuple[str, bytes | None] = ("", None)
        self._damaged: dict[tuple[str, int], bool] = {}

    def of(self, artifact: Artifact, version: Committed) -> Mapping[str, VersionAtRisk]:
        """Return what each of the packs hits of one version, by the pack's name."""
        hits: dict[str, _Hit] = {}
        # A manifest that cannot be read is told by itself.
        with contextlib.suppress(IntegrityError):
            self._look(artifact, version, hits)
        name = VersionName(artifact.name, str(version.version))
        refs = artifact.history.refs_at(version.version)
        return {
            pack: VersionAtRisk(name, tuple(hit.paths), hit.path_count, refs)
            for pack, hit in hits.items()
        }

    def _look(
        self, artifact: Artifact, version: Committed, hits: dict[str, _Hit]
    ) -> None:
        manifests, scope = self._repository.manifests, artifact.scope
        manifest = manifests.load(scope, artifact.journal.artifact, version)
        for group in manifest.lists:
            for pack in self._hit_by(scope, group.chunks):
                hits.setdefault(pack, _Hit()).path_count += group.file_count
        for page in readable_pages(manifests, scope, manifest):
            entries = self._entries(scope, page)
            for pack in self._hit_by(scope, page.chunks):
                hit = hits.setdefault(pack, _Hit())
                for entry in entries:
                    hit.add(entry.path)
                hit.path_count += page.file_count - len(entries)
            for entry in entries:
                for pack in self._hit_by(scope, entry.chunks):
                    hits.setdefault(pack, _Hit()).add(entry.path)

    def _entries(self, scope: Scope, page: PageRef) -> tuple[FileEntry, ...]:
        try:
            return self._repository.manifests.page(scope, page)
        except IntegrityError:
            return ()

    def _hit_by(self, scope: Scope, refs: tuple[ChunkRef, ...]) -> set[str]:
        parts = (part for ref in refs for part in stored_parts(ref))
        return {
            part.pack
            for part in parts
            if part.pack in self._packs and self._is_damaged(scope, part)
        }

    def _is_damaged(self, scope: Scope, ref: ChunkRef) -> bool:
        place = (ref.pack, ref.offset_bytes)
        known = self._damaged.get(place)
        if known is None:
            known = self._damaged[place] = not self._authenticates(scope, ref)
        return known

    def _authenticates(self, scope: Scope, ref: ChunkRef) -> bool:
        data = self._pack(ref)
        if data is None:
            return False
        return authenticates(self._repository, scope, ref, data)

    def _pack(self, ref: ChunkRef) -> bytes | None:
        """Return a damaged pack's bytes as they are; the last one is kept."""
        if self._held[0] != ref.pack:
            try:
                data = self._repository.blobs.get(
                    layout.pack_key(ref.pack),
                    version_id=ref.pack_version,
                    max_bytes=MAX_PACK_BYTES,
                )
            except (BlobNotFoundError, IntegrityError):
                self._held = (ref.pack, None)
            else:
                self._held = (ref.pack, data)
        return self._held[1]
