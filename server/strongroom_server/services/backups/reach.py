# SPDX-License-Identifier: Apache-2.0
"""What a backup has to hold: all that the versions at its heads need to be read.

Found as sweeps find it, by reading manifests and file tables; content is not read.
What the store has damaged of these is read from earlier backups.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from strongroom.errors import IntegrityError
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.history import Committed
from strongroom_server.core.scope import store_scope
from strongroom_server.ports import BlobStore
from strongroom_server.repository.chunk_source import StoredChunks
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.domains import Domain
from strongroom_server.repository.manifests import Manifests
from strongroom_server.repository.marking import JournalState, Marker, Marks
from strongroom_server.repository.repository import Repository
from strongroom_server.services.backups.bases import Bases
from strongroom_server.services.backups.heads import DomainHeads, Heads
from strongroom_server.services.backups.results import BackupProgress


@dataclass(slots=True)
class PinnedMarks(Marks):
    """Marks that know by which version ids packs and manifests are pinned.

    Attributes:
        domain: The key domain that is being marked.
        pins: By digest, the version id that was seen first.
        further_pins: The rest of them, which hardly anything has.
        epochs: Key domains, with the epochs whose keys something of theirs needs.
    """

    domain: bytes = b""
    pins: dict[bytes, str] = field(default_factory=dict)
    further_pins: dict[bytes, set[str]] = field(default_factory=dict)
    epochs: set[tuple[bytes, int]] = field(default_factory=set)

    def add_chunk(self, ref: ChunkRef) -> None:
        """Mark the pack of a chunk, and that of its base."""
        for item in (ref,) if ref.base is None else (ref, ref.base):
            digest = bytes.fromhex(item.pack)
            self.packs.add(digest)
            self.pin(digest, item.pack_version)
            self.epochs.add((self.domain, item.epoch))

    def add_manifest(self, digest: str, epoch: int) -> None:
        """Mark a manifest, and the key that it needs."""
        self.manifests.add(bytes.fromhex(digest))
        self.epochs.add((self.domain, epoch))

    def pin(self, digest: bytes, version_id: str) -> None:
        """Note by which version id something is pinned."""
        if self.pins.setdefault(digest, version_id) != version_id:
            self.further_pins.setdefault(digest, set()).add(version_id)

    def pins_of(self, digest: bytes) -> tuple[str, ...]:
        """Return by which version ids something is pinned, as far as known."""
        first = self.pins.get(digest)
        further = sorted(self.further_pins.get(digest, ()))
        return (*(() if first is None else (first,)), *further)


class Reach:
    """Marks for one backup. Used by one thread.

    Attributes:
        marks: What was found.
    """

    def __init__(self, repository: Repository, bases: Bases) -> None:
        self._repository = repository
        self._bases = bases
        self.marks = PinnedMarks()
        self.marks.epochs.add((store_scope(repository.keyring.store).domain, 0))

    def mark(self, heads: Heads) -> Iterator[BackupProgress]:
        """Mark what versions need; yield how many are done.

        Raises:
            IntegrityError: A manifest or a file table is damaged, and no earlier
                backup has it.
        """
        marker, done = self._marker(self._repository), 0
        total = sum(len(state.history.stored_versions()) for state in heads.states)
        for item in heads.domains:
            self._mark_keys(item)
            for state in item.states:
                for version in state.history.stored_versions():
                    self._mark_version(marker, item.domain, state, version)
                    digest = bytes.fromhex(version.manifest)
                    self.marks.pin(digest, version.manifest_version)
                    done += 1
                    yield BackupProgress("reading file tables", done, total)
            marker.mark_replacements(item.domain)

    def _mark_keys(self, item: DomainHeads) -> None:
        """Mark what opens the project's record, and the entries of journals."""
        own, domain = item.domain.project.scope, item.domain.scope.domain
        self.marks.domain = domain
        self.marks.epochs.add((own.domain, own.epoch))
        for state in item.states:
            for entry in state.history.entries:
                self.marks.epochs.add((domain, entry.epoch))

    def _mark_version(
        self, marker: Marker, domain: Domain, state: JournalState, version: Committed
    ) -> None:
        try:
            _exhaust(marker.mark_version(domain, state, version))
        except IntegrityError:
            for view in self._bases.views(state.journal, version.version):
                other = self._marker(_reading(self._repository, view))
                try:
                    _exhaust(other.mark_version(domain, state, version))
                except IntegrityError:
                    continue  # Damaged there, too; an older one may be better.
                return
            raise

    def _marker(self, repository: Repository) -> Marker:
        marker = Marker(repository)
        marker.marks = self.marks
        return marker


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def _reading(repository: Repository, blobs: BlobStore) -> Repository:
    """Return a repository that reads manifests and file tables from elsewhere."""
    chunks = ChunkReader(
        StoredChunks(
            blobs=blobs, keyring=repository.keyring, repairs=repository.repairs
        )
    )
    manifests = Manifests(
        blobs=blobs,
        keyring=repository.keyring,
        chunks=chunks,
        repairs=repository.repairs,
        executor=repository.executor,
    )
    return replace(repository, blobs=blobs, chunks=chunks, manifests=manifests)
