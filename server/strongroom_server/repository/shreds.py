# SPDX-License-Identifier: Apache-2.0
"""Tombstones and receipts as stored: found by listing, believed by their signatures.

Whoever may write to the bucket may plant an object at any number. So what counts is
not the first one, but the first one that is signed; junk stands in nobody's way.
"""

import contextlib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core import canonical, layout, shred_receipt
from strongroom_server.core import tombstone as tombstone_format
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.sealing import (
    ObjectKind,
    parse_object_header,
    seal_object,
)
from strongroom_server.core.tombstone import ShredOrder, Tombstone
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Clock,
    Signer,
)
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import put_numbered

#: An object that is no tombstone is looked at again after so long: a newer release
#: may have written it, or a key of Vault's may have been out of reach.
_RETRY_S: Final = 60.0
#: Numbers that are tried when others are taken.
_MAX_NUMBERS: Final = 1000
#: Objects that are no tombstones and are remembered; the rest is read at each look.
_MAX_REFUSED: Final = 10_000

#: Forgets all that a server holds of what a tombstone is of, and of its domains.
Purge = Callable[[Tombstone, AbstractSet[bytes]], None]


@dataclass(frozen=True, slots=True)
class _Told:
    """What an order says: which artifact died alone; which domains a project had."""

    artifact: str
    domains: frozenset[bytes]


class Shreds:
    """Reads and writes tombstones and receipts. Safe to use from many threads."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        keyring: Keyring,
        signer: Signer,
        clock: Clock,
        purge: Purge,
    ) -> None:
        """`purge` forgets all that this server holds of what is dead."""
        self._blobs = blobs
        self._keyring = keyring
        self._signer = signer
        self._clock = clock
        self._purge = purge
        #: When to look again at what was no tombstone, by key and version.
        self._refused: dict[tuple[str, str], float] = {}
        #: The folders below `shreds/` that hold a receipt, or what looks like one.
        self._ended: frozenset[str] = frozenset()
        #: What tombstones say of the dead in secret, by their folders.
        self._told: dict[str, _Told] = {}
        keyring.graves.ask(self.find)

    def find(self, project: bytes, domain: bytes = b"") -> Tombstone | None:
        """Return the tombstone of a project, or of one domain in it; None: it lives.

        All that this server holds of what is dead is forgotten.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        """
        known = self._keyring.graves.of_domain(project, domain)
        if known is not None:
            return known
        found = self._find_below(layout.shred_prefix(project))
        if found is None and domain:
            found = self._find_below(layout.shred_prefix(project, domain))
        return found

    def refresh(self) -> int:
        """Learn what others have shredded, and forget it; return how many are new.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        """
        self._forget_refused()
        count, ended = 0, set[str]()
        known = {tombstone.prefix for tombstone in self.known()}
        for item in self._blobs.first_versions(layout.SHREDS):
            folder = item.key[: item.key.rfind("/") + 1]
            if not layout.is_tombstone(item.key):
                ended.add(folder)
            elif folder not in known:
                tombstone = self._read(item)
                if tombstone is not None:
                    known.add(folder)
                    count += self._bury(tombstone)
        self._ended = frozenset(ended)
        return count

    def unfinished(self, before: datetime) -> list[Tombstone]:
        """Return what was begun before then, and had no receipt at the last look.

        An artifact's shredding is finished with its project's, if that came between.
        """
        graves = self._keyring.graves
        return [
            tombstone
            for tombstone in self.known()
            if tombstone.time < before
            and tombstone.prefix not in self._ended
            and not (tombstone.artifact and graves.of_project(tombstone.scope.project))
        ]

    def write(
        self, scope: Scope, order: ShredOrder, artifact: bytes = b""
    ) -> Tombstone:
        """Store a tombstone; from now on what it is of is dead.

        Args:
            scope: The key domain: the project's, or the artifact's own.
            order: Who has it done, and what dies.
            artifact: The id of the artifact that alone dies; b"" means the project.

        Returns:
            The one that counts, whoever wrote it.

        Raises:
            UnavailableError: S3 or Vault failed; it may have been stored.
        """
        keys = self._keyring.open_store_domain()
        domain = scope.domain if artifact else b""
        prefix = layout.shred_prefix(scope.project, domain)
        sealed = seal_object(
            keys,
            ObjectKind.SHRED,
            tombstone_format.order_location(prefix),
            tombstone_format.format_order(order),
            salt=self._keyring.salt(),
        )
        fresh = Tombstone(scope.at_epoch(0), self._clock.now(), sealed, artifact)
        payload = tombstone_format.format_payload(fresh)
        signatures = self._signer.sign(tombstone_format.signing_input(payload))
        data = tombstone_format.format_tombstone(payload, signatures)
        for number in range(_MAX_NUMBERS):
            found = self._find_below(prefix)
            if found is not None:
                return found
            key = layout.tombstone_key(scope.project, number, domain)
            put_numbered(self._blobs, key, data)
        raise _crowded(prefix)

    def order(self, tombstone: Tombstone) -> ShredOrder:
        """Return who had something shredded, and what died.

        Raises:
            IntegrityError: It does not authenticate (RECORD_CORRUPT).
        """
        body = self._keyring.open_object(
            self._keyring.open_store_domain(),
            ObjectKind.SHRED,
            tombstone_format.order_location(tombstone.prefix),
            tombstone.sealed_order,
            max_bytes=tombstone_format.MAX_BODY_BYTES,
        )
        return tombstone_format.parse_order(body)

    def receipt(self, tombstone: Tombstone) -> bytes | None:
        """Return the receipt beside a tombstone, checked; None if there is none yet.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        """
        prefix = f"{tombstone.prefix}{layout.RECEIPT}"
        for item in self._blobs.first_versions(prefix):
            try:
                data = self._open_receipt(tombstone.prefix, item)
                shred_receipt.verify_receipt(data, self._signer.public_keys())
            except (IntegrityError, PreconditionError, BlobNotFoundError) as error:
                _check_not_ours(error)
                continue
            return data
        return None

    def write_receipt(self, tombstone: Tombstone, payload: bytes) -> bytes:
        """Sign and store a receipt; return the one that counts.

        Raises:
            UnavailableError: S3 or Vault failed; it may have been stored.
        """
        signatures = self._signer.sign(shred_receipt.signing_input(payload))
        receipt = shred_receipt.format_receipt(payload, signatures)
        sealed = seal_object(
            self._keyring.open_store_domain(),
            ObjectKind.SHRED,
            shred_receipt.receipt_location(tombstone.prefix),
            canonical.decode_object(receipt, shred_receipt.MAX_RECEIPT_BYTES),
            salt=self._keyring.salt(),
        )
        for number in range(_MAX_NUMBERS):
            found = self.receipt(tombstone)
            if found is not None:
                return found
            key = layout.receipt_key(
                tombstone.scope.project, number, tombstone.own_domain
            )
            put_numbered(self._blobs, key, sealed)
        raise _crowded(tombstone.prefix)

    def check_stored(self, key: str, data: bytes) -> None:
        """Check an object below `shreds/`, for a verification.

        Raises:
            IntegrityError: It is no tombstone as a server wrote it, or does not
                begin as a receipt.
        """
        if layout.is_tombstone(key):
            store, keys = self._keyring.store, self._signer.public_keys()
            tombstone_format.verify_tombstone(data, key, store, keys)
        else:
            parse_object_header(data, self._keyring.store, ObjectKind.SHRED)

    def _find_below(self, prefix: str) -> Tombstone | None:
        """Return the tombstone that lies directly below a prefix, and bury it."""
        for item in self._blobs.first_versions(f"{prefix}{layout.TOMBSTONE}"):
            tombstone = self._read(item)
            if tombstone is not None:
                self._bury(tombstone)
                return tombstone
        return None

    def _open_receipt(self, prefix: str, item: BlobVersion) -> bytes:
        sealed = self._blobs.get(
            item.key,
            version_id=item.version_id,
            max_bytes=shred_receipt.MAX_RECEIPT_BYTES,
        )
        body = self._keyring.open_object(
            self._keyring.open_store_domain(),
            ObjectKind.SHRED,
            shred_receipt.receipt_location(prefix),
            sealed,
            max_bytes=shred_receipt.MAX_RECEIPT_BYTES,
        )
        return canonical.encode(body)

    def _read(self, item: BlobVersion) -> Tombstone | None:
        """Return the tombstone at a key; None if it is none."""
        place, now_s = (item.key, item.version_id), self._clock.monotonic()
        if not layout.is_tombstone(item.key) or self._refused.get(place, 0.0) > now_s:
            return None
        try:
            data = self._blobs.get(
                item.key,
                version_id=item.version_id,
                max_bytes=tombstone_format.MAX_TOMBSTONE_BYTES,
            )
            store, keys = self._keyring.store, self._signer.public_keys()
            return tombstone_format.verify_tombstone(data, item.key, store, keys)
        except (IntegrityError, PreconditionError, BlobNotFoundError) as error:
            # If Vault refuses to tell its public keys, nobody has looked yet.
            _check_not_ours(error)
            # Planted, or not for this release; verification tells about it.
            if len(self._refused) < _MAX_REFUSED:
                self._refused[place] = now_s + _RETRY_S
            return None

    def _forget_refused(self) -> None:
        now_s = self._clock.monotonic()
        for place, until_s in list(self._refused.items()):
            if until_s <= now_s:
                self._refused.pop(place, None)

    def _bury(self, tombstone: Tombstone) -> bool:
        is_new = self._keyring.graves.bury(tombstone)
        if tombstone.prefix not in self._told:
            # Whose order is damaged is dead all the same, and has no name.
            with contextlib.suppress(IntegrityError):
                order = self.order(tombstone)
                self._told[tombstone.prefix] = _Told(
                    order.artifact, frozenset(order.domains)
                )
        # Again even if it is known: a reader may have come between.
        self._purge(tombstone, self.domains(tombstone))
        return is_new

    def domains(self, tombstone: Tombstone) -> frozenset[bytes]:
        """Return the domains that are dead by a tombstone, by id."""
        told = self._told.get(tombstone.prefix)
        return (told.domains if told else frozenset()) | {tombstone.scope.domain}

    def artifacts(self, project: bytes) -> dict[str, Tombstone]:
        """Return the artifacts of a project that were shredded alone, by name."""
        return {
            self._told[tombstone.prefix].artifact: tombstone
            for tombstone in self.known()
            if tombstone.scope.project == project
            and tombstone.artifact
            and tombstone.prefix in self._told
        }

    def check_artifact(self, project: bytes, artifact: str) -> None:
        """Check that an artifact is not known to have been shredded alone.

        Raises:
            PreconditionError: It was (KEY_SHREDDED).
        """
        tombstone = self.artifacts(project).get(artifact)
        if tombstone is not None:
            raise tombstone_format.shredded(tombstone)

    def scopes(self) -> Iterator[Scope]:
        """Yield the domains that are known to be dead, at epoch 0; some repeatedly."""
        for tombstone in self.known():
            scope = tombstone.scope
            for domain in sorted(self.domains(tombstone)):
                yield Scope(scope.store, scope.project, domain, 0)

    def is_dead(self, domain: str) -> bool:
        """Return whether a key domain, by its id, is known to be dead."""
        return any(format_id(scope.domain) == domain for scope in self.scopes())

    def known(self) -> Iterator[Tombstone]:
        """Yield every tombstone that this server knows."""
        yield from self._keyring.graves.all()


def _check_not_ours(error: StrongroomError | BlobNotFoundError) -> None:
    """Check that what cannot be read is no object of ours, or of a newer release's."""
    if not isinstance(error, PreconditionError):
        return
    if error.reason is not Reason.FORMAT_UNSUPPORTED:
        raise error


def _crowded(prefix: str) -> UnavailableError:
    return UnavailableError(
        f"{_MAX_NUMBERS} objects below {prefix} are none of ours, and in the way",
        hint="Remove them; find out who else writes to the bucket.",
    )
