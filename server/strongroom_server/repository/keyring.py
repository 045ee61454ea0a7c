# SPDX-License-Identifier: Apache-2.0
"""The keyring: domain keys from key slots, unwrapped by Vault, cached for minutes.

Readers ask for the keys of the epoch that an object names, writers for those of the
newest epoch. Another server's new epoch is used once the cache has forgotten the old.
"""

import base64
import contextlib
import threading
from collections import OrderedDict
from typing import Any, Final, Generic, TypeVar

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import layout, slots
from strongroom_server.core.cobblestone import SALT_BYTES
from strongroom_server.core.derivation import KEY_BYTES, DomainKeys
from strongroom_server.core.scope import MAX_EPOCH, Scope, format_id, store_scope
from strongroom_server.core.sealing import (
    ObjectKind,
    object_error,
    open_object,
    parse_object_header,
    seal_object,
)
from strongroom_server.ports import (
    BlobExistsError,
    BlobStore,
    Clock,
    Entropy,
    KeyService,
)
from strongroom_server.repository.key_slots import (
    MAX_TRIED,
    PASSED_OVER,
    KeySlots,
)

#: Keys of at most this many domains are kept, and used for at most this long.
MAX_CACHED: Final = 64
CACHE_TTL_S: Final = 900.0

Place = TypeVar("Place")
Kept = TypeVar("Kept")


class _Timed(Generic[Place, Kept]):
    """A bounded map that forgets what is older than `CACHE_TTL_S`; takes no lock."""

    def __init__(self) -> None:
        self._items: OrderedDict[Place, tuple[Kept, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, place: Place, now_s: float) -> Kept | None:
        """Return what is kept; forget all whose time is over, whoever is asked for."""
        self.forget(now_s)
        if place not in self._items:
            return None
        self._items.move_to_end(place)
        return self._items[place][0]

    def forget(self, now_s: float) -> None:
        """Forget all whose time is over."""
        old = [key for key, (_, until_s) in self._items.items() if until_s <= now_s]
        for key in old:
            del self._items[key]

    def put(self, place: Place, kept: Kept, now_s: float) -> None:
        """Keep something; the one that was not asked for the longest goes."""
        self._items[place] = (kept, now_s + CACHE_TTL_S)
        while len(self._items) > MAX_CACHED:
            self._items.popitem(last=False)


class Keyring:
    """Opens and makes domain keys. Safe to use from many threads."""

    def __init__(
        self,
        store: bytes,
        *,
        blobs: BlobStore,
        key_service: KeyService,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.store = store
        self._blobs = blobs
        self._key_service = key_service
        self._clock = clock
        self._entropy = entropy
        self.slots = KeySlots(store, blobs=blobs, key_service=key_service)
        self._lock = threading.Lock()
        self._cache = _Timed[tuple[bytes, bytes, int], DomainKeys]()
        #: The newest epoch, by project and domain.
        self._newest = _Timed[tuple[bytes, bytes], int]()
        self._store_keys: DomainKeys | None = None

    def open_store_domain(self, *, may_create: bool = False) -> DomainKeys:
        """Return the store's own keys; `may_create` makes those of a new store.

        Held for the life of the process: names in the audit log must be sealed
        even while Vault is away.
        """
        if self._store_keys is None:
            scope = store_scope(self.store)
            try:
                self._store_keys = self.open(scope)
            except IntegrityError as error:
                if error.reason is not Reason.KEY_SLOT_MISSING or not may_create:
                    raise
                self._store_keys = self.create(scope)
        return self._store_keys

    def open(self, scope: Scope) -> DomainKeys:
        """Return the keys of a domain at an epoch, to read with.

        Raises:
            IntegrityError: The slot is gone or damaged (KEY_SLOT_MISSING,
                KEY_SLOT_CORRUPT).
            UnavailableError: Vault cannot be reached, and the keys are not cached.
            PreconditionError: Vault refuses the KEK.
        """
        place = (scope.project, scope.domain, scope.epoch)
        with self._lock:
            cached = self._cache.get(place, self._clock.monotonic())
        if cached is not None:
            return cached
        keys = self.slots.open(scope, self.slots.of_domain(scope.domain)).keys
        with self._lock:
            self._cache.put(place, keys, self._clock.monotonic())
        return keys

    def open_newest(self, scope: Scope) -> DomainKeys:
        """Return the keys of a domain's newest epoch, to write with; errors as `open`.

        A newer epoch that does not open is passed over: anybody who may write to
        the bucket can plant one.
        """
        place = (scope.project, scope.domain)
        with self._lock:
            epoch = self._newest.get(place, self._clock.monotonic())
        if epoch is not None:
            return self.open(scope.at_epoch(epoch))
        return self._look_for_newest(scope)

    def open_object(
        self,
        domain: DomainKeys,
        kind: ObjectKind,
        location: str,
        data: bytes,
        *,
        max_bytes: int,
    ) -> dict[str, Any]:
        """Return the body of a control object of a domain, of whatever epoch.

        Args:
            domain: The domain's keys, of any epoch.
            kind: As for `sealing.open_object`, with the rest.
            location: Where it lies.
            data: The stored bytes.
            max_bytes: How long the body may be.

        Raises:
            IntegrityError: It does not authenticate there (RECORD_CORRUPT).
        """
        header = parse_object_header(data, self.store, kind).scope
        keys = domain
        if header != domain.scope and header.at_epoch(0) == domain.scope.at_epoch(0):
            try:
                keys = self.open(header)
            except IntegrityError as error:
                # The header is not authentic: it is not the slot that is blamed.
                raise object_error(kind) from error
        return open_object(keys, kind, location, data, max_bytes=max_bytes)

    def create(self, scope: Scope) -> DomainKeys:
        """Make a domain's KEK and its first slot, or open what another server made."""
        self._key_service.create_kek(scope.kek)
        self._add_slot(scope, self._entropy.token_bytes(KEY_BYTES))
        # Whoever came first is read back, so that two servers agree on one key.
        return self.open(scope)

    def start_epoch(self, scope: Scope, *, after: int) -> DomainKeys:
        """Give a domain a new master key, unless it has one of an epoch behind `after`.

        The dedup key stays, so that chunks are shared across epochs. What older
        epochs encrypted stays readable.

        Returns:
            The keys of the newest epoch, whoever made it.

        Raises:
            ExhaustedError: The domain has had all epochs that there can be.
        """
        newest = self._look_for_newest(scope)
        if newest.scope.epoch > after:
            return newest
        taken = {item.epoch for item in self.slots.of_domain(scope.domain)}
        # An epoch at which anything lies may have a master key already, even if it
        # does not open now; it must not get a second one.
        fresh = newest.scope.epoch + 1
        while fresh in taken:
            fresh += 1
        if fresh > MAX_EPOCH:
            message = f"the key domain {format_id(scope.domain)} has no epoch left"
            raise ExhaustedError(message, hint="Push to a new project.")
        self._add_slot(scope.at_epoch(fresh), newest.dedup)
        return self._look_for_newest(scope)

    def check_slot(self, scope: Scope, data: bytes) -> None:
        """Check that the bytes of a key slot open, with Vault's help.

        One that a retired version of the KEK wraps is checked as far as it can be.

        Raises:
            IntegrityError: They do not (KEY_SLOT_CORRUPT); otherwise as `open`.
        """
        try:
            self.slots.open_bytes(scope, data)
        except PreconditionError as error:
            slot = slots.parse_slot(data, scope)
            versions = self._key_service.kek_state(slot.kek)
            if slot.kek_version > versions.newest:
                raise slots.slot_error(scope) from error
            is_retired = 0 < slot.kek_version < versions.oldest
            if error.reason is not Reason.KEK_ACCESS_DENIED or not is_retired:
                raise

    def salt(self) -> bytes:
        """Return 24 random bytes, for one encryption."""
        return self._entropy.token_bytes(SALT_BYTES)

    def check_ready(self) -> None:
        """Check that Vault answers an audited call; errors as `open`.

        Asked every few seconds, it also drops the keys whose time is over, so that
        a server that nobody calls holds none.
        """
        with self._lock:
            now_s = self._clock.monotonic()
            self._cache.forget(now_s)
            self._newest.forget(now_s)
        self._key_service.check_ready()

    def index_key(self) -> bytes:
        """Return the key of the local index's MACs, 32 bytes; never on disk."""
        return self.open_store_domain().object_key("lmdb")

    def resource_id(self, name: str) -> str:
        """Return the keyed id under which logs and spans know a resource name."""
        return format_id(self.open_store_domain().name_id("resource", name))

    def seal_name(self, name: str) -> str:
        """Return a resource name encrypted for the audit log, in base64."""
        sealed = seal_object(
            self.open_store_domain(),
            ObjectKind.NAME,
            "audit",
            {"name": name},
            salt=self.salt(),
        )
        return base64.b64encode(sealed).decode()

    def _add_slot(self, scope: Scope, dedup: bytes) -> None:
        """Make a master key and store its slot, unless another one is there."""
        data_key = self._key_service.generate(scope.kek, scope.kek_context)
        keys = DomainKeys(scope, data_key.plaintext, dedup)
        slot = slots.make_slot(keys, data_key.wrapped, salt=self.salt())
        with contextlib.suppress(BlobExistsError):
            self._blobs.put_new(layout.slot_key(scope.domain, scope.epoch, 0), slot)

    def _look_for_newest(self, scope: Scope) -> DomainKeys:
        found = self.slots.of_domain(scope.domain)
        epochs = sorted({item.epoch for item in found}, reverse=True)
        newest = None
        for epoch in epochs[:MAX_TRIED]:
            if epoch <= scope.epoch:
                break
            try:
                newest = self.open(scope.at_epoch(epoch))
                break
            except (IntegrityError, PreconditionError) as error:
                if error.reason not in PASSED_OVER:
                    raise
        keys = newest or self.open(scope)
        with self._lock:
            place, now_s = (scope.project, scope.domain), self._clock.monotonic()
            self._newest.put(place, keys.scope.epoch, now_s)
        return keys
