# SPDX-License-Identifier: Apache-2.0
"""The keyring: domain keys from key slots, unwrapped by Vault, cached for minutes.

Readers ask for the keys of the epoch that an object names, writers for those of the
newest epoch. Another server's new epoch is used once the cache has forgotten the old.
"""

import base64
import contextlib
import threading
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import layout, slots
from strongroom_server.core.cobblestone import SALT_BYTES
from strongroom_server.core.derivation import KEY_BYTES, DomainKeys
from strongroom_server.core.scope import (
    MAX_EPOCH,
    STORE_PROJECT,
    Scope,
    format_id,
    store_scope,
)
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
from strongroom_server.repository.graves import Graves
from strongroom_server.repository.key_epochs import EpochMarks, epoch_lost
from strongroom_server.repository.key_slots import (
    PASSED_OVER,
    KeySlots,
    StoredSlot,
)
from strongroom_server.repository.timed import Timed

#: A new epoch is begun behind at most so many at which somebody planted something.
MAX_SKIPPED: Final = 8


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
        self.marks = EpochMarks(key_service)
        self.graves = Graves()
        self._lock = threading.Lock()
        self._cache = Timed[tuple[bytes, bytes, int], DomainKeys]()
        #: The newest epoch, by project and domain.
        self._newest = Timed[tuple[bytes, bytes], int]()
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
        self.graves.check(scope)
        place = (scope.project, scope.domain, scope.epoch)
        with self._lock:
            cached = self._cache.get(place, self._clock.monotonic())
        if cached is not None:
            return cached
        with self._unless_dead(scope):
            keys = self.slots.open(scope, self.slots.of_domain(scope.domain))
        with self._lock:
            # Buried meanwhile, it must not be kept.
            self.graves.check(scope)
            self._cache.put(place, keys, self._clock.monotonic())
        return keys

    def open_newest(self, scope: Scope) -> DomainKeys:
        """Return the keys of a domain's newest epoch, to write with; errors as `open`.

        The newest is the one that Vault has a mark of, so that nobody brings back an
        older one by deleting its slots. What else lies in the bucket and does not
        open is passed over: anybody who may write there can plant it.
        """
        place = (scope.project, scope.domain)
        with self._lock:
            epoch = self._newest.get(place, self._clock.monotonic())
        if epoch is not None:
            return self.open(scope.at_epoch(epoch))
        with self._unless_dead(scope):
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

        Args:
            scope: Of the domain.
            after: The newest epoch now. If its slots are gone for good, this is how
                the domain can be written to again.

        Returns:
            The keys of the newest epoch, whoever made it.

        Raises:
            ExhaustedError: The domain has had all epochs that there can be.
            IntegrityError: An epoch behind `after` was begun, and its slots are gone
                (KEY_SLOT_MISSING, KEY_SLOT_CORRUPT); or too much was planted
                (KEY_SLOT_CORRUPT).
        """
        self.graves.check(scope)
        found = self.slots.of_domain(scope.domain)
        marked = self.marks.newest(scope)
        newest = self._open_behind(scope, marked, found) or self._open_latest(
            scope, marked
        )
        known = max(marked, newest.scope.epoch)
        if known <= after:
            fresh = _free_epoch(scope, known, found)
            self._add_slot(scope.at_epoch(fresh), newest.dedup)
        return self._look_for_newest(scope)

    def check_slot(self, scope: Scope, data: bytes) -> None:
        """Check that the bytes of a key slot open, with Vault's help.

        One that a retired version of the KEK wraps is checked as far as it can be.

        Raises:
            IntegrityError: They do not (KEY_SLOT_CORRUPT); otherwise as `open`.
        """
        try:
            with self._unless_dead(scope):
                self.slots.open_bytes(scope, data)
        except PreconditionError as error:
            if error.reason is Reason.KEY_SHREDDED:
                raise
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

    def forget_dead(self, project: bytes, domains: AbstractSet[bytes] | None) -> None:
        """Forget the keys of domains of a project, of all epochs; None: all of them."""

        def is_dead(owner: bytes, domain: bytes) -> bool:
            return owner == project and (domains is None or domain in domains)

        with self._lock:
            self._cache.drop(lambda place: is_dead(place[0], place[1]))
            self._newest.drop(lambda place: is_dead(place[0], place[1]))

    def forget_domains(self) -> None:
        """Forget the keys of all domains but the store's own."""
        with self._lock:
            self._cache.drop(lambda place: place[0] != STORE_PROJECT)
            self._newest.drop(lambda _: True)

    @contextlib.contextmanager
    def _unless_dead(self, scope: Scope) -> Iterator[None]:
        """Say of a domain that was shredded that it was, not what is missing."""
        self.graves.check(scope)
        try:
            yield
        except (IntegrityError, PreconditionError):
            self.graves.look(scope)
            raise

    def _add_slot(self, scope: Scope, dedup: bytes) -> None:
        """Make a master key and store its slot, unless another one is there."""
        data_key = self._key_service.generate(scope.kek, scope.kek_context)
        keys = DomainKeys(scope, data_key.plaintext, dedup)
        slot = slots.make_slot(keys, data_key.wrapped, salt=self.salt())
        with contextlib.suppress(BlobExistsError):
            self._blobs.put_new(layout.slot_key(scope.domain, scope.epoch, 0), slot)

    def _look_for_newest(self, scope: Scope) -> DomainKeys:
        found = self.slots.of_domain(scope.domain)
        marked = self.marks.newest(scope)
        # What was begun, and whoever began it was killed before it was marked.
        keys = self._open_behind(scope, marked, found)
        if keys is None:
            try:
                keys = self.open(scope.at_epoch(max(marked, scope.epoch)))
            except IntegrityError as error:
                if not marked:
                    raise
                raise epoch_lost(scope.at_epoch(marked), error) from error
        self.marks.mark(keys.scope, after=marked)
        with self._lock:
            place, now_s = (scope.project, scope.domain), self._clock.monotonic()
            self._newest.put(place, keys.scope.epoch, now_s)
        return keys

    def _open_behind(
        self, scope: Scope, marked: int, found: Sequence[StoredSlot]
    ) -> DomainKeys | None:
        """Return the keys of the newest epoch behind the marked one, if one opens."""
        epochs = {item.epoch for item in found}
        keys = None
        epoch = last = max(marked, scope.epoch)
        while epoch < min(last + MAX_SKIPPED, MAX_EPOCH):
            epoch += 1
            if epoch in epochs and (opened := self._open_if_whole(scope, epoch)):
                keys, last = opened, epoch
        return keys

    def _open_latest(self, scope: Scope, newest: int) -> DomainKeys:
        """Return the keys of the newest epoch that opens, up to one."""
        for epoch in range(newest, scope.epoch, -1):
            if keys := self._open_if_whole(scope, epoch):
                return keys
        return self.open(scope)

    def _open_if_whole(self, scope: Scope, epoch: int) -> DomainKeys | None:
        try:
            return self.open(scope.at_epoch(epoch))
        except (IntegrityError, PreconditionError) as error:
            if error.reason not in (*PASSED_OVER, Reason.KEY_SLOT_MISSING):
                raise
            return None


def _free_epoch(scope: Scope, known: int, found: Sequence[StoredSlot]) -> int:
    """Return the first epoch behind a known one at which nothing lies.

    Where anything lies there may be a master key already, even if it does not open
    now; an epoch must not get a second one.
    """
    taken = {item.epoch for item in found}
    fresh = known + 1
    while fresh in taken:
        fresh += 1
    domain = format_id(scope.domain)
    if fresh > MAX_EPOCH:
        message = f"the key domain {domain} has no epoch left"
        raise ExhaustedError(message, hint="Push to a new project.")
    if fresh - known > MAX_SKIPPED:
        raise IntegrityError(
            f"key slots lie at the epochs {known + 1} to {fresh - 1} of domain "
            f"{domain}, and none opens",
            reason=Reason.KEY_SLOT_CORRUPT,
            hint="Remove those objects below keys/ if no server wrote them.",
            domain=domain,
            epoch=known + 1,
        )
    return fresh
