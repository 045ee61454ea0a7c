# SPDX-License-Identifier: Apache-2.0
"""Marking: what the versions, uploads and replacements of a key domain need.

A mark is the 32-byte digest that a pack or manifest is named by; a million of them
take 115 MB of memory (measured). Pages that versions share are read once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from strongroom.errors import IntegrityError
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import PageRef
from strongroom_server.core.history import Committed, History
from strongroom_server.core.records import Action
from strongroom_server.core.sweep import pack_of
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.domains import Domain
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.repository import Repository


@dataclass(slots=True)
class Marks:
    """What is needed: digests of packs and manifests, and keys of upload records."""

    packs: set[bytes] = field(default_factory=set)
    manifests: set[bytes] = field(default_factory=set)
    records: set[str] = field(default_factory=set)
    pages: set[bytes] = field(default_factory=set)

    def needs(self, key: str) -> bool:
        """Return whether the pack, manifest or upload record at a key is needed."""
        if not layout.is_named_by_digest(key):
            return key in self.records
        digest = bytes.fromhex(key.rpartition("/")[2])
        return digest in (self.packs if pack_of(key) else self.manifests)

    def needs_pack(self, pack: str) -> bool:
        """Return whether a pack, by its digest in hex, is needed."""
        return bytes.fromhex(pack) in self.packs

    def add_chunk(self, ref: ChunkRef) -> None:
        """Mark the pack of a chunk, and that of its base."""
        self.packs.update(map(bytes.fromhex, ref.packs))

    def add_manifest(self, digest: str, epoch: int) -> None:  # noqa: ARG002 -- for others
        """Mark a manifest, which is stored under the key of an epoch."""
        self.manifests.add(bytes.fromhex(digest))


@dataclass(frozen=True, slots=True)
class JournalState:
    """A journal with its history, as it was when it was marked."""

    journal: JournalId
    history: History


class Marker:
    """Marks one key domain after the other. Used by one thread."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.marks = Marks()
        self._known_epoch = 0

    def histories(self, domain: Domain) -> Iterator[JournalState]:
        """Yield the journals of a key domain as they are now.

        Raises:
            IntegrityError: One is damaged.
        """
        for journal in domain.journals:
            history = self._repository.journals.load(journal)
            self._known_epoch = max(self._known_epoch, history.known_epoch)
            if history.entries:
                yield JournalState(journal, history)

    def check_epoch(self) -> None:
        """Check that all sweep records that the journals so far know of are there.

        Where some are lost, as in a store that was restored in part, new ones get
        numbers again that the fences have passed already, and fence nobody.

        Raises:
            IntegrityError: One is gone (RECORD_CORRUPT).
        """
        self._repository.sweeps.view(at_least=self._known_epoch)

    def mark_version(
        self, domain: Domain, state: JournalState, version: Committed
    ) -> Iterator[None]:
        """Mark all that a version needs to be read; yield after each of its pages.

        Raises:
            IntegrityError: Its manifest or a page is damaged or gone.
        """
        manifests, scope = self._repository.manifests, domain.scope
        manifest = manifests.load(scope, state.journal.artifact, version)
        self.marks.add_manifest(version.manifest, manifest.epoch)
        for ref in manifests.table_refs(scope, manifest):
            self.marks.add_chunk(ref)
        for page in manifests.pages(scope, manifest):
            mark = page_mark(page)
            if mark in self.marks.pages:
                continue
            for entry in manifests.page(scope, page):
                for ref in entry.chunks:
                    self.marks.add_chunk(ref)
            # Only now: a page that could not be read is not marked.
            self.marks.pages.add(mark)
            yield

    def mark_replacements(self, domain: Domain) -> None:
        """Mark the packs that stand in for damaged ones.

        Raises:
            IntegrityError: A record of them is damaged.
        """
        keys = self._repository.keyring.open(domain.scope)
        for pack in self._repository.repairs.packs(keys):
            self.marks.packs.add(bytes.fromhex(pack))

    def mark_uploads(
        self,
        domain: Domain,
        histories: dict[bytes, History],
        *,
        modified_after_s: float,
    ) -> list[BlobVersion]:
        """Mark the packs that uploads under way have stored.

        For their sake only, not for safety: a commit looks at what is condemned.

        Returns:
            The records of uploads that are over: committed, discarded, or too old.
        """
        keys = self._repository.keyring.open(domain.scope)
        records, over = self._repository.upload_records, list[BlobVersion]()
        for upload in records.live(keys):
            history = histories.get(upload.artifact, History())
            request = (Action.COMMIT, "", upload.request_id)
            newest_s = max(item.modified_s for item in upload.objects)
            if request in history.requests:
                over.extend(upload.objects)
                continue
            if upload.is_over or newest_s < modified_after_s:
                over.extend(upload.ended_objects())
                continue
            try:
                packs = [bytes.fromhex(pack) for pack in records.packs(keys, upload)]
            except IntegrityError:
                # What it sent is sent again; the record itself stays until it is old.
                continue
            self.marks.packs.update(packs)
            self.marks.records.update(item.key for item in upload.objects)
        return over


def page_mark(page: PageRef) -> bytes:
    """Return what tells a page, as it is stored, from all others."""
    hasher = hashlib.sha256()
    for ref in page.chunks:
        hasher.update(bytes.fromhex(ref.pack) + ref.offset_bytes.to_bytes(4, "big"))
    return hasher.digest()
