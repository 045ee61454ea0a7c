# SPDX-License-Identifier: Apache-2.0
"""Finding out, with keys, what is lost of damaged packs, and stating what mends it.

All versions in the key domain are asked which chunks they need of those packs, since
what one version does not miss another may. Only file tables are read for that, and
only where something is damaged.
"""

import contextlib
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError
from strongroom_server.core import layout, mend_statement
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.history import Committed
from strongroom_server.core.mend_statement import MendStatement
from strongroom_server.core.pack import MAX_PACK_BYTES
from strongroom_server.core.scope import Scope
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.mended import MendedPacks
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.repository.salvage import (
    authenticates,
    stored_parts,
)

#: Chunks that are remembered; about half a KiB each. Beyond, nothing is stated.
MAX_NEEDED: Final = 200_000
#: Pages that are not read again; about 200 bytes each.
MAX_SEEN: Final = 200_000
#: Packs that one call states; each costs two signatures. A verification with keys
#: states the others.
MAX_STATED: Final = 256


@dataclass(frozen=True, slots=True)
class _Loss:
    """What a damaged pack looks like, and what it has lost.

    Attributes:
        found: SHA-256 of the bytes that are there, in hex.
        chunks: The ids of the chunks that it has lost.
        bases: Those of them that are needed as bases of deltas alone, with the ids
            of these deltas: if all of them lie elsewhere, the base is not missed.
    """

    found: str
    chunks: frozenset[bytes]
    bases: Mapping[bytes, frozenset[bytes]]


@dataclass(frozen=True, slots=True)
class _Spare:
    """Where a chunk lies by a repair record: its key and digest, and the chunk."""

    key: str
    digest: str
    ref: ChunkRef


class MendSurvey:
    """Looks what damaged packs have lost, and states it; used by one thread."""

    def __init__(self, repository: Repository, project: Project, scope: Scope) -> None:
        """`scope` is a key domain of the project: its own, or an artifact's."""
        self._repository = repository
        self._project = project
        self._scope = scope
        self._mended = MendedPacks(repository)
        self._keys: DomainKeys = repository.keyring.open(scope)
        self._needed: dict[str, set[ChunkRef]] = {}
        self._deltas: dict[bytes, set[bytes]] = {}
        self._direct: set[bytes] = set()
        self._needed_count = 0
        self._seen: set[tuple[bytes, ...]] = set()
        #: For each artifact's id the newest version that was asked.
        self._asked: dict[bytes, int] = {}
        self._losses: dict[str, _Loss] = {}

    def look(self, packs: Collection[str]) -> Iterator[None]:
        """Find out what is lost of packs; yields as a sign of life.

        If not everything that may need them can be read, nothing is known.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        unknown = [pack for pack in sorted(packs) if not self._is_stated(pack)]
        self._needed = {pack: set() for pack in unknown[:MAX_STATED]}
        if not self._needed:
            return
        yield from self._ask()
        for pack in self._needed:
            self._judge(pack)
            yield

    def state(self) -> None:
        """State of each pack that all it has lost lies elsewhere, if so.

        Versions that came since are asked, too: until a repair is recorded, a push
        shares what it is about. A server that may not sign states nothing.

        Raises:
            UnavailableError: S3 or Vault failed.
        """
        with contextlib.suppress(PreconditionError):
            self._state()

    def _state(self) -> None:
        if not self._losses:
            return
        self._look_again()
        spares = self._spares()
        for pack, loss in self._losses.items():
            found = _all_found(loss, spares)
            if found is None:
                continue
            statement = MendStatement(
                self._scope.store,
                pack,
                loss.found,
                tuple(sorted({(spare.key, spare.digest) for spare in found})),
                tuple(
                    sorted(
                        {(spare.ref.pack, spare.ref.pack_version) for spare in found}
                    )
                ),
            )
            if mend_statement.fits(statement):
                self._repository.repairs.state(statement)

    def _look_again(self) -> None:
        known = {pack: len(needed) for pack, needed in self._needed.items()}
        for _ in self._ask():
            pass
        if not self._needed:  # Something cannot be read any more.
            self._losses.clear()
        for pack, needed in self._needed.items():
            if pack in self._losses and len(needed) > known[pack]:
                self._judge(pack)

    def _ask(self) -> Iterator[None]:
        """Ask what was not asked before; if it cannot be read, nothing is known."""
        try:
            for artifact in self._repository.artifacts(self._project):
                if artifact.scope.domain != self._scope.domain:
                    continue
                asked = self._asked.get(artifact.journal.artifact, 0)
                for version in artifact.history.stored_versions():
                    if version.version > asked:
                        yield from self._ask_version(artifact, version)
                        self._asked[artifact.journal.artifact] = version.version
            for stored in self._repository.repairs.records(self._keys):
                self._note(stored.record.chunks)
                yield
        except (IntegrityError, PreconditionError):
            self._needed.clear()
        if self._needed_count > MAX_NEEDED:
            self._needed.clear()

    def _ask_version(self, artifact: Artifact, version: Committed) -> Iterator[None]:
        manifests, scope = self._repository.manifests, artifact.scope
        manifest = manifests.load(scope, artifact.journal.artifact, version)
        self._note(ref for root in manifest.roots for ref in root.chunks)
        for page in manifests.pages(scope, manifest):
            # The same page may lie elsewhere for another version.
            self._note(page.chunks)
            mark = tuple(ref.chunk_id for ref in page.chunks)
            if mark in self._seen:
                continue
            if len(self._seen) < MAX_SEEN:
                self._seen.add(mark)
            for entry in manifests.page(scope, page):
                self._note(entry.chunks)
            yield

    def _note(self, refs: Iterable[ChunkRef]) -> None:
        for ref in refs:
            for part in stored_parts(ref):
                needed = self._needed.get(part.pack)
                if needed is None or self._needed_count > MAX_NEEDED:
                    continue
                if part is ref:
                    self._direct.add(ref.chunk_id)
                else:
                    self._deltas.setdefault(part.chunk_id, set()).add(ref.chunk_id)
                if part not in needed:
                    needed.add(part)
                    self._needed_count += 1

    def _judge(self, pack: str) -> None:
        """Find out what a pack has lost of what is needed of it."""
        loss = self._loss_of(pack, self._needed[pack])
        if loss is not None:
            self._losses[pack] = loss

    def _loss_of(self, pack: str, needed: Collection[ChunkRef]) -> _Loss | None:
        """Return what a pack has lost; None if nothing is there, or all is whole."""
        read = self._first_version(layout.pack_key(pack))
        if read is None:
            return None
        version_id, data = read
        scope = self._scope
        lost = frozenset(
            ref.chunk_id
            for ref in needed
            if ref.pack_version != version_id
            or not authenticates(self._repository, scope, ref, data)
        )
        if not lost:
            return None
        bases = {
            chunk_id: frozenset(self._deltas[chunk_id])
            for chunk_id in lost - self._direct
        }
        return _Loss(hashlib.sha256(data).hexdigest(), lost, bases)

    def _is_stated(self, pack: str) -> bool:
        read = self._first_version(layout.pack_key(pack))
        return read is not None and self._mended.is_mended(pack, read[1])

    def _first_version(self, key: str) -> tuple[str, bytes] | None:
        """Return what somebody without keys sees at a key: version id, and bytes."""
        for item in self._repository.blobs.first_versions(key):
            if item.key != key:
                break
            try:
                data = self._repository.blobs.get(
                    key, version_id=item.version_id, max_bytes=MAX_PACK_BYTES
                )
            except (BlobNotFoundError, IntegrityError):
                return None
            return item.version_id, data
        return None

    def _spares(self) -> Mapping[bytes, _Spare]:
        """Return where records say that chunks lie; the newest that is not lost."""
        spares: dict[bytes, _Spare] = {}
        for stored in self._repository.repairs.records(self._keys):
            for ref in stored.record.chunks:
                loss = self._losses.get(ref.pack)
                if loss is None or ref.chunk_id not in loss.chunks:
                    spares[ref.chunk_id] = _Spare(stored.key, stored.digest, ref)
        return spares


def _all_found(loss: _Loss, spares: Mapping[bytes, _Spare]) -> list[_Spare] | None:
    """Return what stands for all that a pack has lost; None if anything is missing."""
    found = []
    for chunk_id in loss.chunks:
        ids: Iterable[bytes] = (chunk_id,)
        if chunk_id not in spares:
            ids = loss.bases.get(chunk_id, ids)
        for wanted in ids:
            if wanted not in spares:
                return None
            found.append(spares[wanted])
    return found
