# SPDX-License-Identifier: Apache-2.0
"""Copying everything but journals to a replica: what is new, checked, in order."""

from collections.abc import Callable, Iterator
from typing import Final

from strongroom.errors import IntegrityError
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.keyless_checks import SCOPE_BYTES
from strongroom_server.core.relocation import Relocation
from strongroom_server.core.scope import Scope
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobVersion,
    ReadBuffer,
)
from strongroom_server.repository.copying import (
    BlobTarget,
    CopyItem,
    Stored,
    copy_objects,
    read_whole,
)
from strongroom_server.repository.object_copies import copies_of
from strongroom_server.services.replication.ends import Work
from strongroom_server.services.replication.listings import (
    both_sides,
    gathered,
    side_by_side,
)
from strongroom_server.services.replication.places import Places

#: By how many version ids one pack or manifest can be pinned.
MAX_KNOWN: Final = 64
#: Said of a place in the replica that somebody else has put something at.
_TAKEN: Final = "other bytes lie under this key in the replica"

#: Returns by which other ids a version of the source may be pinned.
KnownAs = Callable[[str, str], tuple[str, ...]]


class ObjectCopies:
    """Copies folders of objects. Used by one thread, apart from `store` and `mend`."""

    def __init__(self, work: Work, places: Places, known_as: KnownAs) -> None:
        self._work = work
        self._places = places
        self._known_as = known_as
        self._target = BlobTarget(work.ends.target)

    def copy_pinned(self, prefix: str) -> None:
        """Copy the packs or manifests that are new, and tell where they lie.

        Raises:
            UnavailableError: A bucket cannot be reached.
            ExhaustedError: There are too many (TOO_LARGE).
        """
        try:
            for item, version_id in self._copied(self._new_pinned(prefix)):
                known = tuple(name for name in item.known_as if name != version_id)
                if known:
                    row = Relocation(item.key, version_id, known)
                    self._places.add(row, item.size_bytes)
        finally:
            # What is there already need not be copied again by the next round.
            self._places.flush()

    def copy_folder(self, prefix: str) -> None:
        """Copy what is new below a prefix, in any order. Errors as `copy_pinned`."""
        for _ in self._copied(self._new(prefix)):
            pass

    def copy_chain(self, prefix: str, *, start_after: str = "") -> str:
        """Copy what is new below a prefix, one by one; stop where one is damaged.

        Returns:
            The last key up to which the replica has all of the source.

        Raises:
            UnavailableError: A bucket cannot be reached.
        """
        last = start_after
        ends = self._work.ends
        for here, there in both_sides(
            ends.source.first_versions(prefix, start_after=start_after),
            ends.target.first_versions(prefix, start_after=start_after),
        ):
            if here is None:
                continue
            if there is None and not self._copy_one(_item(here)):
                return last
            last = here.key
        return last

    def copy_each(self, items: list[CopyItem]) -> None:
        """Copy objects that were listed before. Errors as `copy_pinned`."""
        for _ in self._copied(iter(items)):
            pass

    def new_items(self, prefix: str, *, start_after: str, most: int) -> list[CopyItem]:
        """Return what is new below a prefix, the first so many."""
        found = []
        for item in self._new(prefix, start_after=start_after):
            found.append(item)
            if len(found) == most:
                break
        return found

    def store(self, item: CopyItem, data: ReadBuffer) -> Stored:
        """See `CopyTarget`; a place that is taken is a finding, and no version."""
        try:
            placed = self._target.store(item, data)
        except IntegrityError:
            self._work.findings.add(item.key, _TAKEN)
            if item.key.startswith((layout.PACKS, layout.MANIFESTS)):
                head = bytes(memoryview(data)[:SCOPE_BYTES])
                self._work.findings.hold(self._work.checks.scope_of(item.key, head))
            elif item.key.startswith((layout.SWEEP, layout.KEYS, layout.SHREDS)):
                self._work.findings.hold(None)
            return Stored("", was_there=True)
        if not placed.was_there:
            self._work.tally.add(len(data))
        return placed

    def mend(self, item: CopyItem, error: IntegrityError) -> bytes | None:
        """Find the bytes of an object whose first version is not whole.

        None leaves it out: it was removed meanwhile, or it is a finding, and who may
        need it waits.
        """
        versions = list(self._versions(item.key))
        for data in self._candidates(item.key, versions):
            try:
                self._work.checks.check(item.key, data)
            except IntegrityError:
                continue
            return data
        if not versions:
            self._work.findings.note_vanished()
            return None
        self._work.findings.add(item.key, error.message)
        is_pinned = item.key.startswith((layout.PACKS, layout.MANIFESTS))
        if is_pinned and not self._is_mended(item.key):
            self._work.findings.hold(self._scope(versions[-1]))
        if item.key.startswith(layout.SWEEP):
            self._work.findings.hold(None)
        return None

    def _copied(self, items: Iterator[CopyItem]) -> Iterator[tuple[CopyItem, str]]:
        """Copy objects; yield each that the replica has, with its version there."""
        ends = self._work.ends
        for copied in copy_objects(
            ends.source,
            self,
            items,
            executor=ends.executor,
            throttle=ends.throttle,
            check=self._work.checks.check,
            mend=self.mend,
        ):
            if copied.row.version_id:
                yield copied.item, copied.row.version_id

    def _copy_one(self, item: CopyItem) -> bool:
        self._work.ends.throttle.spend(item.size_bytes)
        data: bytes | None
        try:
            data = read_whole(self._work.ends.source, item, self._work.checks.check)
        except IntegrityError as error:
            data = self.mend(item, error)
        return data is not None and bool(self.store(item, data).version_id)

    def _new_pinned(self, prefix: str) -> Iterator[CopyItem]:
        """Yield what the replica lacks, or of which it does not say where it is."""
        ends = self._work.ends
        listed = gathered(ends.source.versions(prefix), most=MAX_KNOWN)
        for item, there in side_by_side(listed, ends.target.first_versions(prefix)):
            first, ids = item.first, item.version_ids
            if not layout.is_named_by_digest(first.key):
                continue  # No pack and no manifest has such a name.
            if there is not None:
                others = [name for name in ids if name != there.version_id]
                if self._places.knows(first.key, others, there.version_id):
                    continue
            older = (
                name for pinned in ids for name in self._known_as(first.key, pinned)
            )
            known = tuple(dict.fromkeys((*ids, *older)))[:MAX_KNOWN]
            yield CopyItem(first.key, first.version_id, first.size_bytes, known)

    def _new(self, prefix: str, *, start_after: str = "") -> Iterator[CopyItem]:
        """Yield what the replica lacks; what has another length there is a finding."""
        ends = self._work.ends
        for here, there in both_sides(
            ends.source.first_versions(prefix, start_after=start_after),
            ends.target.first_versions(prefix, start_after=start_after),
        ):
            if here is None:
                continue
            if there is None:
                yield _item(here)
            elif here.size_bytes != there.size_bytes and not self._was_mended(there):
                self._work.findings.add(here.key, _TAKEN)

    def _was_mended(self, there: BlobVersion) -> bool:
        """Return whether the replica has whole what is damaged in the source."""
        limit = stored_objects.max_bytes(there.key)
        try:
            data = self._work.ends.target.get(
                there.key, version_id=there.version_id, max_bytes=limit
            )
            self._work.checks.check(there.key, data)
        except (BlobNotFoundError, IntegrityError):
            return False
        return any(
            copy == data
            for copy in copies_of(self._work.ends.source, there.key, max_bytes=limit)
        )

    def _versions(self, key: str) -> Iterator[BlobVersion]:
        for item in self._work.ends.source.versions(key):
            if item.key != key:
                return
            yield item

    def _candidates(self, key: str, versions: list[BlobVersion]) -> Iterator[bytes]:
        """Yield what may be an object's bytes: copies of it, and newer versions."""
        source, limit = self._work.ends.source, stored_objects.max_bytes(key)
        yield from copies_of(source, key, max_bytes=limit)
        if not layout.is_named_by_digest(key):
            return  # Of all else only the first version counts.
        for item in versions:
            try:
                yield source.get(key, version_id=item.version_id, max_bytes=limit)
            except (BlobNotFoundError, IntegrityError):
                continue

    def _is_mended(self, key: str) -> bool:
        """Return whether somebody says that nobody needs a damaged pack any more."""
        prefix = layout.mended_prefix(stored_objects.digest_name(key))
        return next(self._work.ends.source.first_versions(prefix), None) is not None

    def _scope(self, item: BlobVersion) -> Scope | None:
        """Return whose a damaged pack or manifest is, if its first bytes tell."""
        head = bytearray(min(SCOPE_BYTES, item.size_bytes))
        try:
            self._work.ends.source.read_into(
                item.key,
                version_id=item.version_id,
                offset_bytes=0,
                buffer=memoryview(head),
            )
        except BlobNotFoundError:
            return None
        return self._work.checks.scope_of(item.key, bytes(head))


def _item(version: BlobVersion) -> CopyItem:
    return CopyItem(version.key, version.version_id, version.size_bytes)
