# SPDX-License-Identifier: Apache-2.0
"""One round of replication: everything new, in the order in which it was committed.

The ends of the journals are read first, then all else that is new is copied, and the
entries up to these ends last. So whatever an entry in the replica needs is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import layout
from strongroom_server.core.keyless_checks import KeylessChecks
from strongroom_server.core.signatures import PublicKey
from strongroom_server.ports import BlobStore
from strongroom_server.repository.copying import BlobTarget, CopyItem
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.object_copies import copies_of
from strongroom_server.repository.relocations import RelocatedBlobs
from strongroom_server.repository.replica_records import (
    ReplicaRecords,
    require_following,
)
from strongroom_server.repository.store import parse_store, read_store
from strongroom_server.services.replication.ends import Ends, Tally, Work
from strongroom_server.services.replication.entries import (
    EntryCopies,
    Heads,
    read_heads,
)
from strongroom_server.services.replication.findings import Finding, Findings
from strongroom_server.services.replication.objects import ObjectCopies
from strongroom_server.services.replication.places import Places

#: Copied in each round, in this order. What shuts something away goes first.
_SMALL: Final = (layout.SHREDS, layout.KEYS, layout.PROJECTS)
_PINNED: Final = (layout.PACKS, layout.MANIFESTS)
#: Of no use in the replica, or its own; journals and chains have a turn of their own.
_NOT_COPIED: Final = (
    layout.UPLOADS,
    layout.LEASES,
    layout.PROBE,
    layout.APPROVALS,
    layout.BACKUPS,
    layout.RELOCATIONS,
    layout.REPLICA,
)
_OWN_TURN: Final = (
    *_SMALL,
    *_PINNED,
    layout.INDEX,
    layout.REPAIRS,
    layout.AUDIT,
    layout.SWEEP,
    layout.JOURNALS,
)
#: Checkpoints of the audit log that one round copies.
_MAX_NOTES: Final = 20_000
_MAX_STORE_BYTES: Final = 4096
#: Everything is compared again after so long, in place of what is new alone.
_WHOLE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What one round did.

    Attributes:
        started_s: When it began, by the primary's clock.
        heads: The journals of both sides, at its beginning.
        object_count: Objects that were stored in the replica, without entries.
        entry_count: Journal entries that were.
        size_bytes: Of all these.
        is_complete: Whether the replica now has every entry that the primary had at
            the beginning, and so all that these need.
        is_overtaken: Whether a sweep went on meanwhile, so that no entry was copied.
        slowest_s: How long the slowest entry of this round took from being written
            to being replicated; 0.0 without any.
        findings: What could not be copied; the first hundred.
        finding_count: All of these.
        vanished_count: Objects that a sweep removed before they were read.
    """

    started_s: float
    heads: Heads
    object_count: int
    entry_count: int
    size_bytes: int
    is_complete: bool
    is_overtaken: bool
    slowest_s: float
    findings: tuple[Finding, ...]
    finding_count: int
    vanished_count: int

    @property
    def missing_count(self) -> int:
        """How many entries the replica lacked that it lacks still, at most."""
        found = self.heads.missing_count
        return 0 if self.is_complete else max(found - self.entry_count, 0)


class Replicator:
    """Makes a bucket follow another one. Used by one thread.

    Any number of replicators of the same two buckets may run: each finds what the
    others have stored.
    """

    def __init__(
        self, ends: Ends, *, public_keys: Mapping[str, PublicKey] | None = None
    ) -> None:
        """Take both ends; without public keys, signatures are not looked at."""
        self._ends = ends
        self._public_keys = public_keys
        self._checks: KeylessChecks | None = None
        self._places = Places(ends.target, ends.clock)
        self._moved = RelocatedBlobs(ends.source, ends.clock)
        #: Up to where the replica has all of a folder that only grows at its end.
        self._done: dict[str, str] = {}
        self._whole_s = -_WHOLE_S
        self._is_current = False

    def round(self) -> RoundReport:
        """Copy what is new since the last round, and what failed then.

        Raises:
            PreconditionError: There is no store to copy, the replica was promoted,
                or its bucket is another store's (STORE_UNSUITABLE).
            UnavailableError: A bucket cannot be reached; the next round goes on.
        """
        ends = self._ends
        checks = self._begin()
        work = Work(ends, checks, Findings(), Tally())
        copies = ObjectCopies(work, self._places, self._moved.known_as)
        started_s, swept = ends.source.time_s(), self._last_sweep()
        heads = read_heads(ends.source, ends.target)
        self._copy_objects(copies, heads)
        is_overtaken = self._last_sweep() != swept
        is_whole = not is_overtaken and not heads.is_more
        if not is_overtaken:
            # Not sooner: without its key slots, a server would take it for a new one.
            _put_store(ends.source, ends.target, checks.store)
            # What a sweep removed meanwhile, no entry up to the ends still needs.
            is_whole &= EntryCopies(work).copy(heads.missing)
        for missing in heads.missing:
            if missing.ahead_count:
                work.findings.add(missing.prefix, _ahead(missing.ahead_count))
        self._is_current = is_whole
        is_late = is_whole and heads.missing_count
        slowest_s = ends.source.time_s() - heads.oldest_s if is_late else 0.0
        return RoundReport(
            started_s,
            heads,
            work.tally.object_count,
            work.tally.entry_count,
            work.tally.size_bytes,
            is_whole,
            is_overtaken,
            slowest_s,
            work.findings.told(),
            work.findings.count,
            work.findings.vanished_count,
        )

    def _begin(self) -> KeylessChecks:
        """Check that both buckets are what they should be, and begin a replica."""
        ends = self._ends
        require_following(ends.target)
        now_s = ends.clock.monotonic()
        if now_s - self._whole_s >= _WHOLE_S:
            self._done, self._whole_s, self._is_current = {}, now_s, False
        if self._checks is None:
            store = _store_of(ends.source)
            ReplicaRecords(ends.target).begin(store, ends.clock.now())
            _check_same(ends.target, store)
            self._checks = KeylessChecks(store, self._public_keys)
        self._moved.refresh()
        self._places.refresh()
        return self._checks

    def _copy_objects(self, copies: ObjectCopies, heads: Heads) -> None:
        """Copy everything that an entry up to the ends may need, and all else."""
        for folder in _SMALL:
            copies.copy_folder(folder)
        # Only who commits needs what is new here; and these are the long listings.
        if heads.missing_count or not self._is_current:
            for folder in _PINNED:
                copies.copy_pinned(folder)
            copies.copy_folder(layout.INDEX)
        copies.copy_folder(layout.REPAIRS)
        for folder in self._ends.source.subfolders(""):
            if folder not in {*_NOT_COPIED, *_OWN_TURN}:
                copies.copy_folder(folder)
        for log in self._ends.source.subfolders(layout.AUDIT):
            self._copy_log(copies, log)
        self._copy_chain(copies, layout.SWEEP)

    def _copy_log(self, copies: ObjectCopies, log: str) -> None:
        """Copy an audit log: what a checkpoint signs is there before it."""
        notes: list[tuple[str, list[CopyItem]]] = []
        parts = [*self._ends.source.subfolders(f"{log}cosigned/"), f"{log}checkpoints/"]
        for part in parts:
            after = self._done.get(part, "")
            found = copies.new_items(part, start_after=after, most=_MAX_NOTES)
            notes.append((part, found))
        self._copy_chain(copies, f"{log}batches/")
        for part, found in reversed(notes):
            copies.copy_each(found)
            if found:
                self._done[part] = found[-1].key

    def _copy_chain(self, copies: ObjectCopies, prefix: str) -> None:
        after = self._done.get(prefix, "")
        self._done[prefix] = copies.copy_chain(prefix, start_after=after)

    def _last_sweep(self) -> str:
        """Return the key of the newest sweep record."""
        last = self._done.get(layout.SWEEP, "")
        for item in self._ends.source.first_versions(layout.SWEEP, start_after=last):
            last = item.key
        return last


def _store_of(source: BlobStore) -> bytes:
    store = read_store(source)
    if store is None:
        raise PreconditionError(
            "the bucket to replicate holds no store: it has no strongroom.json",
            reason=Reason.STORE_UNSUITABLE,
            hint="Check endpoint, bucket and prefix of [store]; start a server there "
            "first, if the store is new.",
        )
    return store


def _check_same(target: BlobStore, store: bytes) -> None:
    """Check that the replica is one of this store."""
    if read_store(target) not in {None, store}:
        raise PreconditionError(
            "the bucket to replicate to is a replica of another store",
            reason=Reason.STORE_UNSUITABLE,
            hint="Name the replica of this store, or an empty bucket or prefix.",
        )


def _put_store(source: BlobStore, target: BlobStore, store: bytes) -> None:
    """Give the replica the store's own record, if it has none."""
    if first_version(target, layout.STORE) is not None:
        return
    for data in _records(source):
        try:
            if parse_store(data) != store:
                continue
        except IntegrityError:
            continue
        BlobTarget(target).store(CopyItem(layout.STORE, "", len(data)), data)
        return
    raise IntegrityError(
        "strongroom.json of the primary is damaged",
        reason=Reason.RECORD_CORRUPT,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
    )


def _records(source: BlobStore) -> list[bytes]:
    """Return what `strongroom.json` holds, and its copies."""
    first = first_version(source, layout.STORE)
    found = []
    if first is not None:
        found.append(
            source.get(
                first.key, version_id=first.version_id, max_bytes=_MAX_STORE_BYTES
            )
        )
    return [*found, *copies_of(source, layout.STORE, max_bytes=_MAX_STORE_BYTES)]


def _ahead(count: int) -> str:
    return (
        f"the replica has {count} entries here that the primary has not: somebody "
        "deleted from the primary, or wrote to the replica"
    )
