# SPDX-License-Identifier: Apache-2.0
"""Key slots as stored: found by listing, opened newest first, added and never changed.

Whoever may write to the bucket may plant a slot with any number. So the slot that
counts is not the one with the greatest number, but the one with the greatest number
that is whole and opens; what does not is passed over, and told.
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
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    KeyService,
)
from strongroom_server.repository.numbered_blobs import put_numbered
from strongroom_server.repository.object_copies import copies_of

#: Of the slots of one epoch, so many are tried; each may cost a request to Vault.
MAX_TRIED: Final = 100
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


@dataclass(frozen=True, slots=True)
class OpenedSlot:
    """The slot that counts, of one domain and epoch.

    Attributes:
        stored: Where it lies.
        slot: What it says.
        keys: The keys that it holds.
        passed_over: Keys of slots with greater numbers, which do not open.
    """

    stored: StoredSlot
    slot: KeySlot
    keys: DomainKeys
    passed_over: tuple[str, ...] = ()


class KeySlots:
    """Finds, opens and adds key slots. Safe to use from many threads."""

    def __init__(
        self, store: bytes, *, blobs: BlobStore, key_service: KeyService
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._key_service = key_service

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

    def newest_first(self, found: Sequence[StoredSlot], epoch: int) -> list[StoredSlot]:
        """Return those slots of an epoch that are to be tried, in this order."""
        own = [stored for stored in found if stored.epoch == epoch]
        return sorted(own, key=_number, reverse=True)[:MAX_TRIED]

    def open(self, scope: Scope, found: Sequence[StoredSlot]) -> OpenedSlot:
        """Open the slot that counts, out of those of a domain.

        Raises:
            IntegrityError: There is none (KEY_SLOT_MISSING), or none opens
                (KEY_SLOT_CORRUPT).
            UnavailableError: S3 or Vault cannot be reached.
            PreconditionError: Vault refuses the KEK.
        """
        errors: list[StrongroomError] = []
        passed: list[str] = []
        for stored in self.newest_first(found, scope.epoch):
            try:
                slot, keys = self._open_stored(stored, scope)
            except (IntegrityError, PreconditionError) as error:
                if error.reason not in PASSED_OVER:
                    raise
                errors.append(error)
                passed.append(stored.item.key)
            else:
                return OpenedSlot(stored, slot, keys, tuple(passed))
        # What Vault withholds may be the right one; what is damaged is none.
        withheld = (item for item in errors if isinstance(item, PreconditionError))
        raise next(withheld, None) or next(iter(errors), slot_missing(scope))

    def candidates(
        self, found: Sequence[StoredSlot], epoch: int
    ) -> Iterator[tuple[StoredSlot, KeySlot]]:
        """Yield the slots of an epoch that are whole in form, newest first.

        Whose they are is read from themselves; only opening one proves it.

        Raises:
            UnavailableError: S3 cannot be reached.
        """
        for stored in self.newest_first(found, epoch):
            for data in self._contents(stored):
                try:
                    scope = stored_objects.slot_scope(
                        data, stored.item.key, self._store
                    )
                except IntegrityError:
                    continue
                yield stored, slots.parse_slot(data, scope)
                break

    def open_bytes(self, scope: Scope, data: bytes) -> tuple[KeySlot, DomainKeys]:
        """Open the bytes of a slot; errors as `open`."""
        slot = slots.parse_slot(data, scope)
        return slot, self.open_parsed(slot)

    def open_parsed(self, slot: KeySlot) -> DomainKeys:
        """Unwrap a slot's key and check that the slot commits to it; as `open`."""
        master = self._key_service.unwrap(
            slot.kek, slot.scope.kek_context, slot.wrapped_master
        )
        return slots.open_slot(slot, master)

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

    def _open_stored(
        self, stored: StoredSlot, scope: Scope
    ) -> tuple[KeySlot, DomainKeys]:
        first: StrongroomError | None = None
        for data in self._contents(stored):
            try:
                return self.open_bytes(scope, data)
            except (IntegrityError, PreconditionError) as error:
                if error.reason not in PASSED_OVER:
                    raise
                first = first or error
        raise first or slots.slot_error(scope)

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
