# SPDX-License-Identifier: Apache-2.0
"""Walking versions: every chunk that they need authenticated, each once in a run.

A file's digest is recomputed when its bytes are all read for the first time. What
shares chunks with something that was read before is not read again: its chunks'
ids, which are keyed digests of their plaintext, have been recomputed.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom.format.digest import VersionDigester, format_digest
from strongroom.format.names import VersionName
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry, PageRef
from strongroom_server.core.history import Committed
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.verify_records import StoreProgress, VersionAtRisk
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.chunk_source import StoredChunks
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.manifests import Manifests
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.repository.salvage import readable_pages
from strongroom_server.services.store_verification.object_checks import (
    ObjectChecks,
    retold,
)
from strongroom_server.services.store_verification.pace import Pace
from strongroom_server.services.store_verification.pack_reads import PackReads

#: Chunks that are known to be whole, so that they are not read again: about 100
#: bytes each. Those beyond are read as often as they are met.
MAX_KNOWN: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Damage:
    """An object that is damaged, with what is already known of what it hits."""

    key: str
    error: IntegrityError
    repaired: bool
    at_risk: tuple[VersionAtRisk, ...] = ()


class VersionWalk:
    """Reads versions back. Used by one thread.

    Attributes:
        damages: What was found in manifests and digests, since it was emptied.
        unreadable: Packs from which a chunk could not be read at all, by any way.
    """

    def __init__(
        self, repository: Repository, checks: ObjectChecks, reads: PackReads, pace: Pace
    ) -> None:
        self._repository = repository
        self._checks = checks
        self._reads = reads
        self._pace = pace
        keyring, repairs = repository.keyring, repository.repairs
        self._chunks = ChunkReader(
            StoredChunks(blobs=reads, keyring=keyring, repairs=repairs)
        )
        self._manifests = Manifests(
            blobs=reads,
            keyring=keyring,
            chunks=self._chunks,
            repairs=repairs,
            executor=repository.executor,
        )
        self._whole: set[bytes] = set()
        self.damages: list[Damage] = []
        self.unreadable: set[str] = set()

    def verify(self, artifact: Artifact, version: Committed) -> Iterator[StoreProgress]:
        """Read a version back; what is damaged is noted, not raised."""
        manifest = self._manifest(artifact, version)
        yield from self._paced()
        if manifest is None:
            return
        digester, whole = VersionDigester(), True

        def on_error(_root: PageRef, error: IntegrityError) -> None:
            nonlocal whole
            whole = False
            self._blame((), error)

        scope = artifact.scope
        for page in readable_pages(self._manifests, scope, manifest, on_error):
            entries = self._page(artifact, page)
            whole = whole and entries is not None
            self._expect(artifact, entries or ())
            for entry in entries or ():
                digester.add(entry.path, entry.size_bytes, entry.digest)
                yield from self._file(artifact, version, entry)
        yield from self._paced()
        if whole and digester.digest() != version.digest:
            self._note_mismatch(
                artifact, version, "the files do not add up to the version's digest"
            )

    def _manifest(self, artifact: Artifact, version: Committed) -> Manifest | None:
        key = layout.manifest_key(version.manifest)
        journal = artifact.journal.artifact
        try:
            return self._manifests.load_stored(artifact.scope, journal, version)
        except IntegrityError as error:
            item = BlobVersion(key, version.manifest_version, 0, 0.0)
            checked = self._checks.check(item, if_gone=error)
            found = Damage(
                key, retold(error), checked.repaired, (_all_of(artifact, version),)
            )
            self.damages.append(found)
            if not checked.repaired:
                return None
        return self._manifests.load_stored(artifact.scope, journal, version)

    def _page(self, artifact: Artifact, page: PageRef) -> tuple[FileEntry, ...] | None:
        try:
            return self._manifests.page_stored(artifact.scope, page)
        except IntegrityError as error:
            self._blame(page.chunks, error)
            return None

    def _file(
        self, artifact: Artifact, version: Committed, entry: FileEntry
    ) -> Iterator[StoreProgress]:
        fresh = [ref for ref in entry.chunks if _mark(artifact, ref) not in self._whole]
        hasher = hashlib.sha256()
        complete = len(fresh) == len(entry.chunks)
        for ref in fresh:
            try:
                plaintext = self._chunks.read(artifact.scope, ref, deep=True)
            except IntegrityError as error:
                self._blame((ref,), error)
                complete = False
            else:
                hasher.update(plaintext)
                if len(self._whole) < MAX_KNOWN:
                    self._whole.add(_mark(artifact, ref))
            yield from self._paced()
        if complete and format_digest(hasher.digest()) != entry.digest:
            self._note_mismatch(
                artifact, version, "a file's bytes do not have its digest", entry.path
            )

    def _blame(self, refs: Iterable[ChunkRef], error: IntegrityError) -> None:
        """Take note of which packs a chunk cannot be read from."""
        packs = {pack for ref in refs for pack in ref.packs}
        named = error.metadata.get("pack", "")
        bad = {pack for pack in packs if pack in self._reads.bad} or (
            {named} if named else packs
        )
        for pack in bad:
            self._reads.note_bad(pack, error)
        self.unreadable |= bad

    def _expect(self, artifact: Artifact, entries: Iterable[FileEntry]) -> None:
        """Let the packs that these files need be fetched ahead, in order."""
        asked: dict[tuple[str, str], None] = {}
        for entry in entries:
            for ref in entry.chunks:
                if _mark(artifact, ref) in self._whole:
                    continue
                if ref.base is not None:
                    asked[ref.base.pack, ref.base.pack_version] = None
                asked[ref.pack, ref.pack_version] = None
        self._reads.expect(asked)

    def _paced(self) -> Iterator[StoreProgress]:
        yield from self._pace.spend(*self._reads.take_read())

    def _note_mismatch(
        self, artifact: Artifact, version: Committed, message: str, path: str = ""
    ) -> None:
        error = IntegrityError(message, reason=Reason.DIGEST_MISMATCH)
        risk = _all_of(artifact, version)
        if path:
            risk = VersionAtRisk(risk.name, (path,), 1, risk.refs)
        key = layout.manifest_key(version.manifest)
        self.damages.append(Damage(key, error, repaired=False, at_risk=(risk,)))


def _all_of(artifact: Artifact, version: Committed) -> VersionAtRisk:
    """Return a version of which no file can be told, so all may be hit."""
    name = VersionName(artifact.name, str(version.version))
    refs = artifact.history.refs_at(version.version)
    return VersionAtRisk(name, (), version.file_count, refs)


def _mark(artifact: Artifact, ref: ChunkRef) -> bytes:
    """Return 16 bytes that stand for one stored chunk."""
    place = f"{ref.pack}/{ref.offset_bytes}/".encode()
    return hashlib.blake2b(
        artifact.scope.domain + place + ref.chunk_id, digest_size=16
    ).digest()
