# SPDX-License-Identifier: Apache-2.0
"""Copying journals to a replica: what is missing, entry by entry, in the order written.

An entry is stored only behind the one that it names, and after all that it needs. So
each journal of the replica is a beginning of the one in the primary, at any time.
"""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError
from strongroom_server.core import journal, layout
from strongroom_server.core.keyless_checks import SignedLink
from strongroom_server.core.stored_objects import entry_place, link_number
from strongroom_server.ports import BlobNotFoundError, BlobStore, BlobVersion
from strongroom_server.repository.copying import BlobTarget, CopyItem
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.object_copies import copies_of, copy_in_chain
from strongroom_server.repository.replica_records import Fence
from strongroom_server.services.replication.ends import Work
from strongroom_server.services.replication.listings import both_sides

#: Entries that one round takes up; what is beyond waits for the next.
MAX_ENTRIES: Final = 50_000
_NOBODY: Final = BlobVersion("", "", 0, 0.0)
#: Journals that are worked on at once.
_AT_ONCE: Final = 8


@dataclass(slots=True)
class Missing:
    """What one journal of the replica lacks.

    Attributes:
        prefix: What the journal lies below.
        entries: The entries, in order.
        ahead_count: Entries that the replica has and the primary has not.
    """

    prefix: str
    entries: list[BlobVersion] = field(default_factory=list)
    ahead_count: int = 0


@dataclass(frozen=True, slots=True)
class Heads:
    """Both sides' journals, as they were when somebody looked.

    Attributes:
        missing: Those that differ.
        journal_count: All journals of the primary.
        entry_count: All their entries.
        is_more: Whether more is missing than one round takes up.
        oldest_s: When the oldest missing entry was written, by the primary's clock;
            0.0 if none is missing.
        newest_s: When the newest entry of the primary was written; 0.0 without any.
    """

    missing: tuple[Missing, ...]
    journal_count: int
    entry_count: int
    is_more: bool
    oldest_s: float
    newest_s: float

    @property
    def missing_count(self) -> int:
        """How many entries are missing, as far as they were counted."""
        return sum(len(item.entries) for item in self.missing)


def read_heads(
    source: BlobStore, target: BlobStore, *, most: int = MAX_ENTRIES
) -> Heads:
    """Compare the journals of both sides, by listings alone.

    Raises:
        UnavailableError: A bucket cannot be reached.
    """
    found: dict[str, Missing] = {}
    prefix, journals, entries, missing = "", 0, 0, 0
    oldest_s, newest_s, is_more = 0.0, 0.0, False
    for here, there in both_sides(
        source.first_versions(layout.JOURNALS), target.first_versions(layout.JOURNALS)
    ):
        key = (here or there or _NOBODY).key
        own = key[: key.rfind("/") + 1]
        if link_number(key) < 0:
            continue
        if here is None:
            # It may have been written, and copied, since this side was listed.
            if first_version(source, key) is None:
                found.setdefault(own, Missing(own)).ahead_count += 1
            continue
        journals, prefix = journals + (own != prefix), own
        entries, newest_s = entries + 1, max(newest_s, here.modified_s)
        if there is not None:
            continue
        oldest_s = min(oldest_s or here.modified_s, here.modified_s)
        if missing == most:
            is_more = True
            continue
        missing += 1
        found.setdefault(own, Missing(own)).entries.append(here)
    return Heads(tuple(found.values()), journals, entries, is_more, oldest_s, newest_s)


class EntryCopies:
    """Copies entries that are missing. Used by one thread."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._fence = Fence(work.ends.target, work.ends.clock)
        self._target = BlobTarget(work.ends.target)

    def copy(self, missing: Iterable[Missing]) -> bool:
        """Copy what is missing; return whether all of it is there now.

        Raises:
            PreconditionError: The replica was promoted meanwhile.
            UnavailableError: A bucket cannot be reached.
        """
        under_way: deque[Future[bool]] = deque()
        is_whole = True
        journals = (item for item in missing if item.entries)
        try:
            for item in journals:
                if len(under_way) == _AT_ONCE:
                    is_whole &= under_way.popleft().result()
                size_bytes = sum(entry.size_bytes for entry in item.entries)
                self._work.ends.throttle.spend(size_bytes)
                submit = self._work.ends.executor.submit
                under_way.append(submit(self._copy_journal, item))
            while under_way:
                is_whole &= under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
            wait(under_way)
        return is_whole

    def _copy_journal(self, missing: Missing) -> bool:
        """Copy the entries of one journal, as far as they are whole and nothing waits.

        What is wrong with an entry is a finding; the other journals go on.
        """
        behind: tuple[str, bytes] | None = None
        last: tuple[int, frozenset[bytes]] | None = None
        for place, entry in enumerate(missing.entries):
            number = link_number(entry.key)
            self._fence.check()
            try:
                prevs = self._digests_before(entry.key, number, last)
                ahead = missing.entries[place + 1 : place + 2]
                data = behind[1] if behind else self._fetch(entry)
                behind = (ahead[0].key, self._fetch(ahead[0])) if ahead else None
                data, found = self._fitting(entry.key, data, prevs, behind)
                if self._work.findings.is_held(found.scope):
                    return False
                item = CopyItem(entry.key, entry.version_id, entry.size_bytes)
                if not self._target.store(item, data).was_there:
                    self._work.tally.add(len(data), is_entry=True)
            except (IntegrityError, PreconditionError) as error:
                self._work.findings.add(entry.key, error.message)
                return False
            last = number, frozenset({found.link.digest})
        return True

    def _digests_before(
        self, key: str, number: int, last: tuple[int, frozenset[bytes]] | None
    ) -> frozenset[bytes]:
        """Return what an entry may name as the one before it in the replica.

        There may be several: one that is damaged, and copies that mend it.
        """
        if number == 0:
            return frozenset({journal.GENESIS})
        if last is not None and last[0] == number - 1:
            return last[1]
        place = entry_place(key, self._work.checks.store)
        before = layout.journal_key(place.project, place.artifact, number - 1)
        item = first_version(self._work.ends.target, before)
        if item is None:
            raise journal.entry_error(place)
        return frozenset(map(journal.entry_digest, self._stored(item)))

    def _fitting(
        self,
        key: str,
        data: bytes,
        prevs: frozenset[bytes],
        behind: tuple[str, bytes] | None,
    ) -> tuple[bytes, SignedLink]:
        """Return an entry that belongs between its neighbours, or the copy that does.

        Raises:
            IntegrityError: There is none (JOURNAL_CORRUPT, SIGNATURE_INVALID).
        """
        checks = self._work.checks
        place = entry_place(key, checks.store)
        next_key = layout.journal_key(place.project, place.artifact, place.number + 1)
        failure = journal.entry_error(place)
        try:
            found = checks.entry(key, data)
            # A signature tells more than what somebody wrote behind the entry.
            named = None if checks.has_public_keys else self._named_by(next_key, behind)
            if found.link.prev in prevs and named in {None, found.link.digest}:
                return data, found
        except (IntegrityError, PreconditionError) as error:
            failure = IntegrityError(error.message, reason=error.reason)
        for prev in prevs:
            copy = copy_in_chain(
                self._work.ends.source,
                key,
                checks.link,
                prev=prev,
                next_key=next_key,
                max_bytes=journal.MAX_ENTRY_BYTES,
            )
            if copy is not None:
                return copy, checks.entry(key, copy)
        raise failure

    def _named_by(self, key: str, behind: tuple[str, bytes] | None) -> bytes | None:
        """Return what the next entry names as the one before it, if it can be read."""
        if behind is None or behind[0] != key:
            return None
        try:
            return self._work.checks.link(*behind).prev
        except (IntegrityError, PreconditionError):
            return None

    def _fetch(self, entry: BlobVersion) -> bytes:
        """Return an entry of the primary; nothing if it is gone, or too long."""
        try:
            return self._work.ends.source.get(
                entry.key,
                version_id=entry.version_id,
                max_bytes=journal.MAX_ENTRY_BYTES,
            )
        except (BlobNotFoundError, IntegrityError):
            return b""

    def _stored(self, item: BlobVersion) -> Iterator[bytes]:
        """Yield what readers find at an entry's key, and what was put beside it."""
        target, limit = self._work.ends.target, journal.MAX_ENTRY_BYTES
        with contextlib.suppress(BlobNotFoundError, IntegrityError):
            yield target.get(item.key, version_id=item.version_id, max_bytes=limit)
        yield from copies_of(target, item.key, max_bytes=limit)
