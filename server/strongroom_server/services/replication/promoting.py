# SPDX-License-Identifier: Apache-2.0
"""Promoting a replica: is it whole in itself, and then: a store of its own.

All of it works without the primary, and without Vault.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import journal, layout
from strongroom_server.core.keyless_checks import KeylessChecks
from strongroom_server.core.replica_record import ReplicaState
from strongroom_server.core.stored_objects import link_number
from strongroom_server.ports import BlobNotFoundError, BlobVersion, VersionedBlobs
from strongroom_server.repository.object_copies import copies_of
from strongroom_server.repository.relocations import Relocations
from strongroom_server.repository.replica_records import ReplicaRecords
from strongroom_server.repository.store import read_store
from strongroom_server.services.replication.findings import MAX_TOLD, Finding

#: Journal entries that are read at once.
_AT_ONCE: Final = 64


@dataclass(slots=True)
class ReplicaSurvey:
    """What there is of a replica.

    Attributes:
        store: The store's id, 16 bytes.
        is_promoted: Whether it is a store of its own already.
        journal_count: Journals.
        entry_count: Their entries, each of which was read and names the one before.
        object_count: Packs and manifests.
        newest_s: When the newest entry was stored in the replica; 0.0 without any.
        findings: What is not as it should be; the first hundred.
        finding_count: All of these.
    """

    store: bytes
    is_promoted: bool = False
    journal_count: int = 0
    entry_count: int = 0
    object_count: int = 0
    newest_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    finding_count: int = 0

    def add(self, key: str, problem: str) -> None:
        """Take a finding."""
        self.finding_count += 1
        if len(self.findings) < MAX_TOLD:
            self.findings.append(Finding(key, problem))


class Promotion:
    """Looks a replica through, and promotes it. Used by one thread."""

    def __init__(self, target: VersionedBlobs, executor: Executor) -> None:
        self._target = target
        self._executor = executor

    def survey(self) -> ReplicaSurvey:
        """Look the replica through: every journal, and where every pack lies.

        Raises:
            PreconditionError: The bucket is no replica, or not even begun
                (STORE_UNSUITABLE).
            UnavailableError: S3 cannot be reached.
        """
        state = ReplicaRecords(self._target).state()
        if state is None:
            raise _unsuitable("it is no replica", "Check [replica] of the settings.")
        store = read_store(self._target)
        if store is None:
            raise _unsuitable(
                "it has no strongroom.json yet",
                "Let a replicator make a first round: `strongroom-server replicate`.",
            )
        found = ReplicaSurvey(store, state is ReplicaState.PROMOTED)
        self._survey_journals(found)
        self._survey_objects(found)
        return found

    def promote(self, store: bytes, time: datetime) -> None:
        """Make the replica a store of its own: replicators refuse it from now on.

        Raises:
            UnavailableError: It is not known whether it was done; repeat it.
        """
        ReplicaRecords(self._target).promote(store, time)

    def _survey_journals(self, found: ReplicaSurvey) -> None:
        """Read every entry: numbers are dense, and each names the one before."""
        checks = KeylessChecks(found.store)
        prefix, number, prev, broken = "", 0, journal.GENESIS, ""
        entries = self._target.first_versions(layout.JOURNALS)
        for items in _batches(entries):
            futures = [self._executor.submit(self._read, item) for item in items]
            for item, future in zip(items, futures, strict=True):
                data = future.result()
                own = item.key[: item.key.rfind("/") + 1]
                if own != prefix:
                    prefix, number, prev = own, 0, journal.GENESIS
                    found.journal_count += 1
                found.entry_count += 1
                found.newest_s = max(found.newest_s, item.modified_s)
                if broken == own:
                    continue
                digest = self._linked(checks, item, data, number, prev)
                if not digest:
                    broken = own
                    found.add(item.key, "it does not belong behind the entry before it")
                number, prev = number + 1, digest

    def _linked(
        self,
        checks: KeylessChecks,
        item: BlobVersion,
        data: bytes,
        number: int,
        prev: bytes,
    ) -> bytes:
        """Return the digest of an entry that belongs where it is; b"" if none does."""
        if link_number(item.key) != number:
            return b""
        for candidate in self._candidates(item.key, data):
            try:
                link = checks.link(item.key, candidate)
            except (IntegrityError, PreconditionError):
                continue
            if link.prev == prev:
                return link.digest
        return b""

    def _candidates(self, key: str, data: bytes) -> Iterator[bytes]:
        """Yield an entry, and, if that will not do, what repairs put beside it."""
        yield data
        yield from copies_of(self._target, key, max_bytes=journal.MAX_ENTRY_BYTES)

    def _read(self, item: BlobVersion) -> bytes:
        try:
            return self._target.get(
                item.key,
                version_id=item.version_id,
                max_bytes=journal.MAX_ENTRY_BYTES,
            )
        except (BlobNotFoundError, IntegrityError):
            return b""

    def _survey_objects(self, found: ReplicaSurvey) -> None:
        """Check that all that was copied and can be pinned is there still."""
        listed: set[bytes] = set()
        for prefix in (layout.PACKS, layout.MANIFESTS):
            last = ""
            for item in self._target.versions(prefix):
                listed.add(_place(item.key, item.version_id))
                found.object_count += item.key != last
                last = item.key
        gone: dict[bytes, str] = {}
        there: set[bytes] = set()
        for _, rows in Relocations(self._target).read():
            for row in rows:
                own = _place(row.key, "")
                if _place(row.key, row.version_id) in listed:
                    there.add(own)
                else:
                    gone[own] = row.key
        for own, key in gone.items():
            # What was lost once may have been copied anew.
            if own not in there:
                found.add(key, "it was copied, and is gone from the replica")


def _batches(items: Iterator[BlobVersion]) -> Iterator[list[BlobVersion]]:
    batch: list[BlobVersion] = []
    for item in items:
        batch.append(item)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _place(key: str, version_id: str) -> bytes:
    return hashlib.blake2b(f"{key}\0{version_id}".encode(), digest_size=16).digest()


def _unsuitable(problem: str, hint: str) -> PreconditionError:
    return PreconditionError(
        f"the bucket cannot be promoted: {problem}",
        reason=Reason.STORE_UNSUITABLE,
        hint=hint,
    )
