# SPDX-License-Identifier: Apache-2.0
"""The keyring: domain keys from key slots, unwrapped by Vault, cached for minutes."""

import base64
import contextlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import layout, slots
from strongroom_server.core.cobblestone import SALT_BYTES
from strongroom_server.core.derivation import KEY_BYTES, DomainKeys
from strongroom_server.core.scope import Scope, format_id, store_scope
from strongroom_server.core.sealing import ObjectKind, seal_object
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Clock,
    Entropy,
    KeyService,
)
from strongroom_server.repository.object_copies import first_whole

#: Keys of at most this many domains are kept, and used for at most this long.
MAX_CACHED: Final = 64
CACHE_TTL_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class _Cached:
    keys: DomainKeys
    deadline: float


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
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[bytes, bytes, int], _Cached] = OrderedDict()
        self._store_keys: DomainKeys | None = None

    def open_store_domain(self, *, may_create: bool = False) -> DomainKeys:
        """Return the store's own keys; `may_create` makes those of a new store.

        Held for the life of the process: names in the audit log must be sealed
        even while Vault is away.
        """
        if self._store_keys is None:
            scope = store_scope(self.store)
            try:
                self._store_keys = self._unwrap(scope)
            except IntegrityError as error:
                if error.reason is not Reason.KEY_SLOT_MISSING or not may_create:
                    raise
                self._store_keys = self.create(scope)
        return self._store_keys

    def open(self, scope: Scope) -> DomainKeys:
        """Return the keys of a domain at an epoch.

        Raises:
            IntegrityError: The slot is gone or damaged (KEY_SLOT_MISSING,
                KEY_SLOT_CORRUPT).
            UnavailableError: Vault cannot be reached, and the keys are not cached.
            PreconditionError: Vault refuses the KEK.
        """
        place = (scope.project, scope.domain, scope.epoch)
        now = self._clock.monotonic()
        with self._lock:
            self._forget_old(now)
            cached = self._cache.get(place)
            if cached is not None:
                self._cache.move_to_end(place)
                return cached.keys
        keys = self._unwrap(scope)
        with self._lock:
            self._cache[place] = _Cached(keys, now + CACHE_TTL_S)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        return keys

    def create(self, scope: Scope) -> DomainKeys:
        """Make a domain's KEK and its first slot, or open what another server made."""
        self._key_service.create_kek(scope.kek)
        data_key = self._key_service.generate(scope.kek, scope.kek_context)
        keys = DomainKeys(
            scope, data_key.plaintext, self._entropy.token_bytes(KEY_BYTES)
        )
        slot = slots.make_slot(keys, data_key.wrapped, salt=self.salt())
        # Whoever came first is read back, so that two servers agree on one key.
        with contextlib.suppress(BlobExistsError):
            self._blobs.put_new(layout.slot_key(scope.domain, scope.epoch, 0), slot)
        return self._unwrap(scope)

    def check_slot(self, scope: Scope, data: bytes) -> None:
        """Check that the bytes of a key slot open, with Vault's help.

        Raises:
            IntegrityError: They do not (KEY_SLOT_CORRUPT); otherwise as `open`.
        """
        self._open_slot(scope, data)

    def salt(self) -> bytes:
        """Return 24 random bytes, for one encryption."""
        return self._entropy.token_bytes(SALT_BYTES)

    def check_ready(self) -> None:
        """Check that Vault answers an audited call; errors as `open`."""
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

    def _forget_old(self, now: float) -> None:
        """Forget all keys whose time is over, whoever is asked for."""
        old = [place for place, item in self._cache.items() if item.deadline <= now]
        for place in old:
            del self._cache[place]

    def _unwrap(self, scope: Scope) -> DomainKeys:
        newest = self._newest_slot(scope)
        try:
            data = self._blobs.get(
                newest.key,
                version_id=newest.version_id,
                max_bytes=slots.MAX_SLOT_BYTES,
            )
        except BlobNotFoundError as error:
            raise _slot_missing(scope) from error
        return first_whole(
            self._blobs,
            newest.key,
            data,
            lambda slot: self._open_slot(scope, slot),
            max_bytes=slots.MAX_SLOT_BYTES,
        )

    def _open_slot(self, scope: Scope, data: bytes) -> DomainKeys:
        slot = slots.parse_slot(data, scope)
        master = self._key_service.unwrap(
            slot.kek, scope.kek_context, slot.wrapped_master
        )
        return slots.open_slot(slot, master)

    def _newest_slot(self, scope: Scope) -> BlobVersion:
        prefix = layout.slot_prefix(scope.domain, scope.epoch)
        found = sorted(
            (item for item in self._blobs.first_versions(prefix)),
            key=lambda item: _slot_number(item.key),
        )
        if not found:
            raise _slot_missing(scope)
        return found[-1]


def _slot_number(key: str) -> int:
    number = key.rpartition(".")[2]
    return int(number) if number.isdecimal() else -1


def _slot_missing(scope: Scope) -> IntegrityError:
    domain = format_id(scope.domain)
    return IntegrityError(
        f"the key slot of domain {domain}, epoch {scope.epoch}, is gone",
        reason=Reason.KEY_SLOT_MISSING,
        hint="Restore the objects below keys/ from a backup.",
        domain=domain,
        epoch=scope.epoch,
    )
