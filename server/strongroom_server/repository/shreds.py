# SPDX-License-Identifier: Apache-2.0
"""Tombstones and receipts as stored: found by listing, believed by their signatures.

Whoever may write to the bucket may plant an object at any number. So what counts is
not the first one, but the first one that is signed; junk stands in nobody's way.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, UnavailableError
from strongroom_server.core import canonical, layout, shred_receipt
from strongroom_server.core import tombstone as tombstone_format
from strongroom_server.core.scope import Scope, format_id, parse_id
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
_PROJECT_PART: Final = 1

Purge = Callable[[Scope], None]


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
        """`purge` forgets all that this server holds of a domain."""
        self._blobs = blobs
        self._keyring = keyring
        self._signer = signer
        self._clock = clock
        self._purge = purge
        #: When to look again at what was no tombstone, by key and version.
        self._refused: dict[tuple[str, str], float] = {}
        self._ended: frozenset[bytes] = frozenset()
        keyring.graves.ask(self.find)

    def find(self, project: bytes) -> Tombstone | None:
        """Return the tombstone of a project, and forget all of it; None if it lives.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        known = self._keyring.graves.of_project(project)
        if known is not None:
            return known
        for item in self._blobs.first_versions(layout.shred_prefix(project)):
            tombstone = self._read(item)
            if tombstone is not None:
                self._bury(tombstone)
                return tombstone
        return None

    def refresh(self) -> int:
        """Learn what others have shredded, and forget it; return how many are new.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        count, ended = 0, set[bytes]()
        for item in self._blobs.first_versions(layout.SHREDS):
            project = _project_of(item.key)
            if not layout.is_tombstone(item.key):
                ended.add(project)
            elif self._keyring.graves.of_project(project) is None:
                tombstone = self._read(item)
                count += tombstone is not None and self._bury(tombstone)
        self._ended = frozenset(ended)
        return count

    def unfinished(self, before: datetime) -> list[Tombstone]:
        """Return what was begun before then, and had no receipt at the last look."""
        return [
            tombstone
            for tombstone in self.known()
            if tombstone.time < before and tombstone.scope.project not in self._ended
        ]

    def write(self, scope: Scope, order: ShredOrder) -> Tombstone:
        """Store a tombstone; from now on the domain is dead.

        Returns:
            The one that counts, whoever wrote it.

        Raises:
            UnavailableError: S3 or Vault failed; it may have been stored.
        """
        keys = self._keyring.open_store_domain()
        sealed = seal_object(
            keys,
            ObjectKind.SHRED,
            tombstone_format.order_location(scope.project),
            tombstone_format.format_order(order),
            salt=self._keyring.salt(),
        )
        fresh = Tombstone(scope.at_epoch(0), self._clock.now(), sealed)
        payload = tombstone_format.format_payload(fresh)
        signatures = self._signer.sign(tombstone_format.signing_input(payload))
        data = tombstone_format.format_tombstone(payload, signatures)
        for number in range(_MAX_NUMBERS):
            found = self.find(scope.project)
            if found is not None:
                return found
            put_numbered(self._blobs, layout.tombstone_key(scope.project, number), data)
        raise _crowded(scope)

    def order(self, tombstone: Tombstone) -> ShredOrder:
        """Return who had a project shredded, and what died.

        Raises:
            IntegrityError: It does not authenticate (RECORD_CORRUPT).
        """
        body = self._keyring.open_object(
            self._keyring.open_store_domain(),
            ObjectKind.SHRED,
            tombstone_format.order_location(tombstone.scope.project),
            tombstone.sealed_order,
            max_bytes=tombstone_format.MAX_BODY_BYTES,
        )
        return tombstone_format.parse_order(body)

    def receipt(self, project: bytes) -> bytes | None:
        """Return the receipt of a project, checked; None if there is none yet.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        prefix = f"{layout.shred_prefix(project)}receipt-"
        for item in self._blobs.first_versions(prefix):
            try:
                data = self._open_receipt(project, item)
                shred_receipt.verify_receipt(data, self._signer.public_keys())
            except (IntegrityError, BlobNotFoundError):
                continue
            return data
        return None

    def write_receipt(self, scope: Scope, payload: bytes) -> bytes:
        """Sign and store a receipt; return the one that counts.

        Raises:
            UnavailableError: S3 or Vault failed; it may have been stored.
        """
        signatures = self._signer.sign(shred_receipt.signing_input(payload))
        receipt = shred_receipt.format_receipt(payload, signatures)
        sealed = seal_object(
            self._keyring.open_store_domain(),
            ObjectKind.SHRED,
            shred_receipt.receipt_location(scope.project),
            canonical.decode_object(receipt, shred_receipt.MAX_RECEIPT_BYTES),
            salt=self._keyring.salt(),
        )
        for number in range(_MAX_NUMBERS):
            found = self.receipt(scope.project)
            if found is not None:
                return found
            put_numbered(self._blobs, layout.receipt_key(scope.project, number), sealed)
        raise _crowded(scope)

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

    def _open_receipt(self, project: bytes, item: BlobVersion) -> bytes:
        sealed = self._blobs.get(
            item.key,
            version_id=item.version_id,
            max_bytes=shred_receipt.MAX_RECEIPT_BYTES,
        )
        body = self._keyring.open_object(
            self._keyring.open_store_domain(),
            ObjectKind.SHRED,
            shred_receipt.receipt_location(project),
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
        except (IntegrityError, PreconditionError, BlobNotFoundError):
            # Planted, or not for this release; verification tells about it.
            self._refused[place] = now_s + _RETRY_S
            return None

    def _bury(self, tombstone: Tombstone) -> bool:
        is_new = self._keyring.graves.bury(tombstone)
        # Again even if it is known: a reader may have come between.
        self._purge(tombstone.scope)
        return is_new

    def is_dead(self, domain: str) -> bool:
        """Return whether a key domain, by its id, is known to be dead."""
        return any(format_id(item.scope.domain) == domain for item in self.known())

    def known(self) -> Iterator[Tombstone]:
        """Yield every tombstone that this server knows."""
        yield from self._keyring.graves.all()


def _project_of(key: str) -> bytes:
    """Return the project whose folder a key lies in; b"" if it is none's."""
    try:
        return parse_id(key.split("/")[_PROJECT_PART])
    except ValueError:
        return b""


def _crowded(scope: Scope) -> UnavailableError:
    prefix = layout.shred_prefix(scope.project)
    return UnavailableError(
        f"{_MAX_NUMBERS} objects below {prefix} are none of ours, and in the way",
        hint="Remove them; find out who else writes to the bucket.",
    )
