# SPDX-License-Identifier: Apache-2.0
"""Artifact journals: loaded incrementally, verified entry by entry, appended to.

The one compare-and-swap point of the store is the next number of a journal,
created if it is absent. Entries are never deleted and are read by their oldest
version, so neither a delete marker nor an overwrite rewinds a history.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import entry_body, layout
from strongroom_server.core import journal as journal_format
from strongroom_server.core.fold import Fold
from strongroom_server.core.history import (
    Created,
    Entry,
    History,
    NumberedEntry,
)
from strongroom_server.core.journal import EntryPlace
from strongroom_server.core.scope import Scope, format_id, parse_id
from strongroom_server.core.sealing import (
    ObjectKind,
    open_object,
    parse_object_header,
    seal_object,
)
from strongroom_server.core.signatures import PublicKey
from strongroom_server.core.stored_objects import ChainLink, check_entry
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Index,
    JournalHeadSink,
    Signer,
)
from strongroom_server.repository.cache import Cache
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import put_numbered
from strongroom_server.repository.object_copies import copy_in_chain

#: Entries that are kept in memory, of all histories together; most have 1 to 2 KiB.
_CACHED_ENTRIES: Final = 100_000


@dataclass(frozen=True, slots=True)
class JournalId:
    """Which journal: 18-byte keyed ids of project and artifact."""

    project: bytes
    artifact: bytes


class NumberTakenError(Exception):
    """Another writer took the number; load again, then decide again."""


class Journals:
    """Loads and extends artifact journals. Safe to use from many threads."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        index: Index,
        keyring: Keyring,
        signer: Signer,
        heads: JournalHeadSink | None = None,
    ) -> None:
        self._blobs = blobs
        self._heads = heads
        self._index = index
        self._keyring = keyring
        self._signer = signer
        self._loaded: Cache[JournalId, History] = Cache(_CACHED_ENTRIES)

    def load(self, journal: JournalId) -> History:
        """Return an artifact's history as of now; empty if it has none.

        Raises:
            IntegrityError: An entry is damaged, out of place, unsigned or gone
                (JOURNAL_CORRUPT, SIGNATURE_INVALID, JOURNAL_REWOUND).
        """
        loaded = self._loaded.get(journal)
        if loaded is None:
            loaded = self._load_remembered(journal)
        return self._keep(journal, self._read_new(journal, loaded))

    def load_anew(self, journal: JournalId) -> History:
        """Return a history read from S3 throughout, and remember it; as `load`."""
        return self._keep(journal, self._read_new(journal, History()))

    def append(
        self, journal: JournalId, scope: Scope, entry: Entry, *, behind: History
    ) -> History:
        """Add an entry behind the history on which it was decided.

        Returns:
            That history with the entry at its end.

        Raises:
            NumberTakenError: Another writer was first; nothing was written.
            UnavailableError: It is not known whether the entry was written; the
                same request id will tell.
        """
        fold = Fold(behind)
        place = self._place(journal, fold)
        data = self._format(place, scope, entry)
        # An entry that could not be read back must never be written: it could
        # not be taken away again.
        self._take_in(journal, fold, data)
        key = layout.journal_key(place.project, place.artifact, place.number)
        if not put_numbered(self._blobs, key, data):
            raise NumberTakenError
        if self._heads is not None:
            digest = journal_format.entry_digest(data)
            self._heads.note_head(key, digest, trace_id=entry.info.trace_id)
        self._remember(place, data)
        fresh = fold.history()
        self._keep(journal, fresh)
        # Not what is kept: that may have others' entries behind the caller's own.
        return fresh

    def remembered(self, journal: JournalId, number: int) -> bytes | None:
        """Return an entry as this server read or wrote it before; unchecked."""
        return self._index.get(_index_key(journal, number))

    def remembered_digest(self, journal: JournalId, number: int) -> bytes | None:
        """Return the digest of an entry that this server verified since it started."""
        loaded = self._loaded.get(journal)
        if loaded is None or number >= len(loaded.entries):
            return None
        return loaded.entries[number].digest

    def domain_of(self, journal: JournalId) -> bytes | None:
        """Return the key domain that an artifact was made in; None if it was not.

        No key is needed for that: its first entry says so in the clear, signed. It
        never changes, so what this server has seen of it is as good as the store's.

        Raises:
            IntegrityError: That entry is damaged, or gone (JOURNAL_CORRUPT,
                SIGNATURE_INVALID).
        """
        loaded = self._loaded.get(journal)
        if loaded is not None:
            return loaded.created.domain
        place = self._place(journal, Fold(History()))
        data = self._index.get(_index_key(journal, place.number))
        if data is not None:
            # The index is a cache: what it got wrong, S3 is asked for.
            with contextlib.suppress(IntegrityError, PreconditionError):
                return self._header(place, data).domain
        prefix = layout.journal_prefix(place.project, place.artifact)
        item = next(iter(self._blobs.first_versions(prefix)), None)
        if item is None:
            return None
        data = self._first_entry(journal, place, item)
        domain = self._header(place, data).domain
        if self._keyring.graves.of_domain(journal.project, domain) is None:
            self._remember(place, data)
        return domain

    def _first_entry(
        self, journal: JournalId, place: EntryPlace, item: BlobVersion
    ) -> bytes:
        """Return entry 0 as it is stored, or as a repair put it beside it."""
        key = layout.journal_key(place.project, place.artifact, place.number)
        if item.key != key:
            raise _entry_gone(journal, place.number)
        data = self._fetch(journal, place.number, item)
        try:
            self._header(place, data)
        except (IntegrityError, PreconditionError):
            copy = self._copy_of(place, key)
            if copy is None:
                raise
            return copy
        return data

    def forget(self, project: bytes, artifact: bytes = b"") -> None:
        """Forget the histories of a project, or of one artifact, here and on disk."""
        self._loaded.drop(
            lambda journal: (
                journal.project == project and artifact in {b"", journal.artifact}
            )
        )
        self._index.forget(b"j" + project + artifact)

    def public_keys(self) -> Mapping[str, PublicKey]:
        """Return the keys that entries are signed with, by key id."""
        return self._signer.public_keys()

    def artifacts(self, project: bytes) -> list[JournalId]:
        """Return the journals of a project's artifacts, in order of id."""
        prefix = layout.project_journals_prefix(project)
        found = []
        for folder in self._blobs.subfolders(prefix):
            artifact = folder.removeprefix(prefix).removesuffix("/")
            try:
                found.append(JournalId(project, parse_id(artifact)))
            except ValueError:
                continue  # no journal has such a name, so it is not ours
        return found

    def _load_remembered(self, journal: JournalId) -> History:
        fold = Fold(History())
        for _, data in self._index.scan(_index_prefix(journal)):
            try:
                self._take_in(journal, fold, data)
            except IntegrityError:
                # The index is a cache: what it got wrong, S3 is asked for.
                break
        return fold.history()

    def _read_new(self, journal: JournalId, loaded: History) -> History:
        # The last known entry is listed again: if it is gone, somebody rewound.
        known = loaded.next_number
        start_after = (
            layout.journal_key(journal.project, journal.artifact, known - 2)
            if known > 1
            else ""
        )
        prefix = layout.journal_prefix(journal.project, journal.artifact)
        expected = max(known - 1, 0)
        fold: Fold | None = None
        for item in self._blobs.first_versions(prefix, start_after=start_after):
            key = layout.journal_key(journal.project, journal.artifact, expected)
            if item.key != key:
                raise _entry_gone(journal, expected)
            if expected >= known:
                fold = fold or Fold(loaded)
                place = self._place(journal, fold)
                self._take_in_stored(journal, fold, item, place)
            expected += 1
        if expected < known:
            raise _rewound(journal, known)
        return loaded if fold is None else fold.history()

    def _take_in_stored(
        self, journal: JournalId, fold: Fold, item: BlobVersion, place: EntryPlace
    ) -> None:
        """Take in an entry as it is stored, or as a repair put it beside it."""
        data = self._fetch(journal, place.number, item)
        try:
            self._take_in(journal, fold, data)
        except (IntegrityError, PreconditionError):
            copy = self._copy_of(place, item.key)
            if copy is None:
                raise
            data = copy
            self._take_in(journal, fold, data)
        self._remember(place, data)

    def _copy_of(self, place: EntryPlace, key: str) -> bytes | None:
        """Return the copy of a damaged entry that belongs into its chain."""
        next_number = place.number + 1
        return copy_in_chain(
            self._blobs,
            key,
            self._link,
            prev=place.prev,
            next_key=layout.journal_key(place.project, place.artifact, next_number),
            max_bytes=journal_format.MAX_ENTRY_BYTES,
        )

    def _link(self, key: str, data: bytes) -> ChainLink:
        return check_entry(data, key, self._keyring.store, self.public_keys())

    def _fetch(self, journal: JournalId, number: int, item: BlobVersion) -> bytes:
        try:
            return self._blobs.get(
                item.key,
                version_id=item.version_id,
                max_bytes=journal_format.MAX_ENTRY_BYTES,
            )
        except BlobNotFoundError as error:
            raise _entry_gone(journal, number) from error

    def _remember(self, place: EntryPlace, data: bytes) -> None:
        journal = JournalId(place.project, place.artifact)
        self._index.put_many({_index_key(journal, place.number): data})

    def _keep(self, journal: JournalId, history: History) -> History:
        """Keep a history in memory, unless a longer one is there; return that."""
        if not history.entries:
            # A journal that does not exist; anybody may ask for many of those.
            return history
        return self._loaded.put(
            journal,
            history,
            weight=len(history.entries),
            unless=lambda kept: kept.next_number > history.next_number,
        )

    def _take_in(self, journal: JournalId, fold: Fold, data: bytes) -> None:
        """Verify a stored entry and add it to what came before it."""
        place = self._place(journal, fold)
        stored = journal_format.verify_entry(data, place, self._signer.public_keys())
        header = self._header_of(stored.sealed_body)
        body = open_object(
            self._keyring.open(header),
            ObjectKind.JOURNAL,
            place.location,
            stored.sealed_body,
            max_bytes=journal_format.MAX_BODY_BYTES,
        )
        entry = entry_body.parse_body(body, place.number)
        _check_domain(fold.created, entry, header, place)
        number, digest, key_ids = place.number, stored.digest, stored.key_ids
        fold.add(NumberedEntry(number, entry, digest, key_ids, header.epoch))

    def _header(self, place: EntryPlace, data: bytes) -> Scope:
        """Return under which keys an entry is encrypted, once it is verified."""
        stored = journal_format.verify_entry(data, place, self._signer.public_keys())
        return self._header_of(stored.sealed_body)

    def _header_of(self, sealed_body: bytes) -> Scope:
        store = self._keyring.store
        return parse_object_header(sealed_body, store, ObjectKind.JOURNAL).scope

    def _format(self, place: EntryPlace, scope: Scope, entry: Entry) -> bytes:
        sealed = seal_object(
            self._keyring.open_newest(scope),
            ObjectKind.JOURNAL,
            place.location,
            entry_body.format_body(entry),
            salt=self._keyring.salt(),
        )
        payload = journal_format.format_payload(place, sealed)
        signatures = self._signer.sign(journal_format.signing_input(payload))
        return journal_format.format_entry(payload, signatures)

    def _place(self, journal: JournalId, fold: Fold) -> EntryPlace:
        return EntryPlace(
            self._keyring.store,
            journal.project,
            journal.artifact,
            fold.next_number,
            fold.head,
        )


def contended(journal: JournalId) -> ConflictError:
    """Return the error for a writer that lost every attempt."""
    return ConflictError(
        f"other writers won every attempt on artifact {format_id(journal.artifact)}",
        reason=Reason.JOURNAL_CONTENDED,
        hint="Try again.",
        artifact_id=format_id(journal.artifact),
    )


def _check_domain(
    created: Created | None, entry: Entry, scope: Scope, place: EntryPlace
) -> None:
    first = created or (entry if isinstance(entry, Created) else None)
    if first is None or scope.domain != first.domain or scope.project != place.project:
        raise journal_format.entry_error(place)


def _index_prefix(journal: JournalId) -> bytes:
    return b"j" + journal.project + journal.artifact


def _index_key(journal: JournalId, number: int) -> bytes:
    return _index_prefix(journal) + number.to_bytes(8, "big")


def _entry_gone(journal: JournalId, number: int) -> IntegrityError:
    artifact = format_id(journal.artifact)
    return IntegrityError(
        f"journal entry {number} of artifact {artifact} is gone",
        reason=Reason.JOURNAL_CORRUPT,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
        artifact_id=artifact,
        number=number,
    )


def _rewound(journal: JournalId, known: int) -> IntegrityError:
    artifact = format_id(journal.artifact)
    return IntegrityError(
        f"the journal of artifact {artifact} had {known} entries and has fewer now",
        reason=Reason.JOURNAL_REWOUND,
        hint="Run `strongroom verify --store --repair` with a copy of the store; "
        "find out who deleted from the bucket.",
        artifact_id=artifact,
        known=known,
    )
