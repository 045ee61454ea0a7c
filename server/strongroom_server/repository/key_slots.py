# SPDX-License-Identifier: Apache-2.0
"""Key slots as stored: found by listing, opened newest first, added and never changed.

Whoever may write to the bucket may plant a slot with any number. So the slot that
counts is not the one with the greatest number, but the one with the greatest number
that is whole and opens; what does not is passed over, and told. Where many do not,
Vault sifts a hundred with one request: it wraps again what it once wrapped, and
nothing else.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.core import layout, slots, stored_objects
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.slots import KeySlot
from strongroom_server.ports import (
    MAX_REWRAP,
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    KeyService,
    WrappedKey,
)
from strongroom_server.repository.cache import Cache
from strongroom_server.repository.numbered_blobs import put_numbered
from strongroom_server.repository.object_copies import copies_of

#: So many slots of an epoch are tried one by one; the rest is sifted before.
MAX_ALONE: Final = 8
#: Of the slots of an epoch so many are looked at, from both ends: whoever plants
#: thousands behind the one that counts must have planted hundreds before it, too.
MAX_NEWEST: Final = 1600
MAX_OLDEST: Final = 400
#: What slots say of their KEK is anybody's word; so many KEKs are asked about them.
MAX_KEKS: Final = 8
#: Of so many epochs it is remembered which of their slots opened last.
_REMEMBERED: Final = 10_000
#: What makes a slot one that does not count, and no reason to give up.
PASSED_OVER: Final = (
    Reason.KEY_SLOT_CORRUPT,
    # Wrapped by a version of the KEK that is retired.
    Reason.KEK_ACCESS_DENIED,
    # Wrapped, as it says, by a version that the KEK does not have.
    Reason.KEK_MISSING,
)


@dataclass(frozen=True, slots=True)
class StoredSlot:
    """A key slot as a listing shows it: nothing of it is believed yet."""

    domain: bytes
    epoch: int
    number: int
    item: BlobVersion


class KeySlots:
    """Finds, opens and adds key slots. Safe to use from many threads."""

    def __init__(
        self, store: bytes, *, blobs: BlobStore, key_service: KeyService
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._key_service = key_service
        self._opened: Cache[tuple[bytes, int], BlobVersion] = Cache(_REMEMBERED)

    def domains(self) -> Iterator[tuple[StoredSlot, ...]]:
        """Yield the slots of each domain of the store, in the order of their keys."""
        found: list[StoredSlot] = []
        for stored in self._listed(layout.KEYS):
            if found and stored.domain != found[0].domain:
                yield tuple(found)
                found = []
            found.append(stored)
        if found:
            yield tuple(found)

    def of_domain(self, domain: bytes) -> tuple[StoredSlot, ...]:
        """Return the slots of a domain, of all epochs."""
        return tuple(self._listed(layout.slots_prefix(domain)))

    def open(self, scope: Scope, found: Sequence[StoredSlot]) -> DomainKeys:
        """Return the keys that a slot of an epoch holds, out of those of a domain.

        Of slots that open any will do: Vault wraps one master key an epoch.

        Raises:
            IntegrityError: There is none (KEY_SLOT_MISSING), or none opens
                (KEY_SLOT_CORRUPT).
            UnavailableError: S3 or Vault cannot be reached.
            PreconditionError: Vault refuses the KEK.
        """
        place = (scope.domain, scope.epoch)
        last = self._opened.get(place)
        # What opened last comes first, so that a flood of others costs once.
        likely = [stored for stored in found if stored.item == last]
        errors: list[StrongroomError] = []
        for among in (likely, found):
            for stored, slot in self.candidates(among, scope.epoch, scope=scope):
                try:
                    keys = self.open_parsed(slot)
                except (IntegrityError, PreconditionError) as error:
                    if error.reason not in PASSED_OVER:
                        raise
                    errors.append(error)
                else:
                    self._opened.put(place, stored.item, weight=1)
                    return keys
        # What Vault withholds may be the right one; what is damaged is none.
        withheld = (item for item in errors if isinstance(item, PreconditionError))
        is_there = any(stored.epoch == scope.epoch for stored in found)
        none = slots.slot_error(scope) if is_there else slot_missing(scope)
        raise next(withheld, None) or next(iter(errors), none)

    def candidates(
        self,
        found: Sequence[StoredSlot],
        epoch: int,
        *,
        scope: Scope | None = None,
    ) -> Iterator[tuple[StoredSlot, KeySlot]]:
        """Yield the slots of an epoch that may open, newest first.

        Beyond the first few, those are left out that Vault does not take for its own.

        Args:
            found: The slots of a domain.
            epoch: Which of them.
            scope: Whose they must be. Without it that is read from themselves, and
                only opening one proves it.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
            PreconditionError: Vault refuses.
        """
        own = [stored for stored in found if stored.epoch == epoch]
        own.sort(key=_number, reverse=True)
        newest, others = own[:MAX_NEWEST], own[MAX_NEWEST:]
        tried = newest + others[-MAX_OLDEST:]
        for stored in tried[:MAX_ALONE]:
            yield from self._whole(stored, scope)
        keks: set[str] = set()
        for start in range(MAX_ALONE, len(tried), MAX_REWRAP):
            whole = [
                item
                for stored in tried[start : start + MAX_REWRAP]
                for item in self._whole(stored, scope)
            ]
            yield from self._sifted(whole, keks)

    def open_bytes(self, scope: Scope, data: bytes) -> tuple[KeySlot, DomainKeys]:
        """Open the bytes of a slot; errors as `open`."""
        slot = slots.parse_slot(data, scope)
        return slot, self.open_parsed(slot)

    def open_parsed(self, slot: KeySlot) -> DomainKeys:
        """Unwrap a slot's key and check that the slot commits to it; as `open`."""
        try:
            master = self._key_service.unwrap(
                slot.kek, slot.scope.kek_context, slot.wrapped_master
            )
        except PreconditionError as error:
            if error.reason is Reason.KEK_MISSING and self._is_beyond(slot):
                raise slots.slot_error(slot.scope) from error
            raise
        return slots.open_slot(slot, master)

    def _is_beyond(self, slot: KeySlot) -> bool:
        """Tell whether a slot names a version that its KEK, which is there, lacks.

        Then it is the slot that is damaged, and not the KEK that is gone.
        """
        try:
            newest = self._key_service.kek_state(slot.kek).newest
        except PreconditionError:
            return False
        return slot.kek_version > newest

    def add(
        self, slot: KeySlot, found: Sequence[StoredSlot], *, after: int
    ) -> str | None:
        """Store a slot of an epoch under the first free number behind `after`.

        It counts unless a newer one opens, too, so a number of somebody else's that
        is greater takes nothing from it.

        Returns:
            Its key; None if another writer was first with that number.

        Raises:
            UnavailableError: S3 failed at every attempt.
        """
        scope = slot.scope
        taken = {item.number for item in found if item.epoch == scope.epoch}
        number = next(item for item in count(after + 1) if item not in taken)
        key = layout.slot_key(scope.domain, scope.epoch, number)
        return key if put_numbered(self._blobs, key, slots.format_slot(slot)) else None

    def _listed(self, prefix: str) -> Iterator[StoredSlot]:
        for item in self._blobs.first_versions(prefix):
            place = layout.slot_place(item.key)
            # What has no slot's name is no slot; verification tells it.
            if place is not None:
                yield StoredSlot(*place, item)

    def _whole(
        self, stored: StoredSlot, scope: Scope | None
    ) -> Iterator[tuple[StoredSlot, KeySlot]]:
        """Yield what lies at a slot's place and is one in form."""
        key = stored.item.key
        for data in self._contents(stored):
            with contextlib.suppress(IntegrityError):
                own = scope or stored_objects.slot_scope(data, key, self._store)
                yield stored, slots.parse_slot(data, own)

    def _sifted(
        self, items: Sequence[tuple[StoredSlot, KeySlot]], keks: set[str]
    ) -> Iterator[tuple[StoredSlot, KeySlot]]:
        """Yield, in order, what Vault would wrap again; note in `keks` by whom."""
        kept: set[int] = set()
        for kek in dict.fromkeys(slot.kek for _, slot in items):
            if kek not in keks and len(keks) == MAX_KEKS:
                continue
            keks.add(kek)
            own = [at for at, (_, slot) in enumerate(items) if slot.kek == kek]
            for start in range(0, len(own), MAX_REWRAP):
                batch = own[start : start + MAX_REWRAP]
                kept.update(self._wrapped_by(kek, [(at, items[at][1]) for at in batch]))
        yield from (items[at] for at in sorted(kept))

    def _wrapped_by(self, kek: str, batch: Sequence[tuple[int, KeySlot]]) -> list[int]:
        keys = [
            WrappedKey(slot.scope.kek_context, slot.wrapped_master) for _, slot in batch
        ]
        try:
            answers = self._key_service.rewrap(kek, keys)
        except PreconditionError as error:
            if error.reason is not Reason.KEK_MISSING:
                raise
            return []
        pairs = zip(batch, answers, strict=True)
        return [at for (at, _), answer in pairs if answer is not None]

    def _contents(self, stored: StoredSlot) -> Iterator[bytes]:
        """Yield a slot's bytes, then what repairs put beside it."""
        item = stored.item
        with contextlib.suppress(BlobNotFoundError, IntegrityError):
            yield self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=slots.MAX_SLOT_BYTES
            )
        yield from copies_of(self._blobs, item.key, max_bytes=slots.MAX_SLOT_BYTES)


def slot_missing(scope: Scope) -> IntegrityError:
    """Return the error for a domain that has no slot at an epoch."""
    domain = format_id(scope.domain)
    return IntegrityError(
        f"the key slot of domain {domain}, epoch {scope.epoch}, is gone",
        reason=Reason.KEY_SLOT_MISSING,
        hint="Restore the objects below keys/ from a backup.",
        domain=domain,
        epoch=scope.epoch,
    )


def _number(stored: StoredSlot) -> int:
    return stored.number
