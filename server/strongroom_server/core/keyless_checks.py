# SPDX-License-Identifier: Apache-2.0
"""What whoever copies a store can tell of its objects with no key of it at all.

Digests against names, forms and places; signatures where the public keys are known.
Nothing here opens an object, and nothing of a domain has to be there to judge it.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import (
    canonical,
    dsse,
    journal,
    layout,
    mend_statement,
    pack,
    stored_objects,
    tombstone,
)
from strongroom_server.core.scope import Scope
from strongroom_server.core.sealing import (
    HEADER,
    ObjectKind,
    object_error,
    parse_object_header,
)
from strongroom_server.core.signatures import PublicKey
from strongroom_server.core.stored_objects import ChainLink

#: How many bytes of a pack or manifest tell whose it is.
SCOPE_BYTES: Final = max(pack.HEADER.size, HEADER.size)
_SEALED: Final = {
    layout.INDEX: ObjectKind.INDEX,
    layout.SWEEP: ObjectKind.SWEEP,
    layout.REPAIRS: ObjectKind.REPAIR,
    layout.DRILLS: ObjectKind.DRILL,
}


@dataclass(frozen=True, slots=True)
class SignedLink:
    """A journal entry: how it is linked, and with whose keys it is encrypted."""

    link: ChainLink
    scope: Scope


class KeylessChecks:
    """Says whether objects are what was stored under their keys, as far as is shown.

    Args:
        store: The store's id, 16 bytes.
        public_keys: Those that the store signs with; without them signatures are
            not looked at.

    Attributes:
        store: The same id.
    """

    def __init__(
        self, store: bytes, public_keys: Mapping[str, PublicKey] | None = None
    ) -> None:
        self.store = store
        self._keys = public_keys

    @property
    def has_public_keys(self) -> bool:
        """Whether signatures are looked at."""
        return self._keys is not None

    def check(self, key: str, data: bytes) -> None:
        """Check bytes against the key that they lie under.

        Raises:
            IntegrityError: They are not what was stored there.
        """
        try:
            self._check(key, data)
        except PreconditionError as error:
            # Rot makes objects look as if they were of a newer format.
            raise IntegrityError(
                error.message, reason=error.reason, hint=error.hint
            ) from error

    def entry(self, key: str, data: bytes) -> SignedLink:
        """Check a journal entry by itself; return its link, and whose it is.

        Raises:
            IntegrityError: It is damaged, moved, or not signed (JOURNAL_CORRUPT,
                SIGNATURE_INVALID).
        """
        if self._keys is not None:
            stored_objects.check_entry(data, key, self.store, self._keys)
        place = stored_objects.entry_place(key, self.store)
        try:
            payload, _ = dsse.parse_envelope(
                data, journal.PAYLOAD_TYPE, max_bytes=journal.MAX_ENTRY_BYTES
            )
            magic, version, zero, *ids, number, prev = journal.HEADER.unpack_from(
                payload
            )
        except (ValueError, struct.error) as error:
            raise journal.entry_error(place) from error
        own = (place.store, place.project, place.artifact)
        is_own = (*ids, number) == (*own, place.number)
        is_ours = (magic, version, zero) == (journal.MAGIC, journal.FORMAT, bytes(3))
        if not is_own or not is_ours:
            raise journal.entry_error(place)
        header = parse_object_header(
            payload[journal.HEADER.size :], self.store, ObjectKind.JOURNAL
        )
        link = ChainLink(place.number, prev, journal.entry_digest(data))
        return SignedLink(link, header.scope)

    def link(self, key: str, data: bytes) -> ChainLink:
        """Return how a journal entry is linked; errors as `entry`."""
        return self.entry(key, data).link

    def scope_of(self, key: str, head: bytes) -> Scope | None:
        """Return whose a pack or manifest is, by its first bytes; None if unknown."""
        try:
            if key.startswith(layout.PACKS):
                return pack.parse_header(head, self.store).scope
            return parse_object_header(head, self.store, ObjectKind.MANIFEST).scope
        except (IntegrityError, PreconditionError):
            return None

    def _check(self, key: str, data: bytes) -> None:
        folder = key[: key.find("/") + 1]
        if key.startswith(layout.REPAIRED_OBJECTS):
            original = layout.copied_key(key)
            if not original.startswith(folder):
                self._check(original, data)
            return
        if key.startswith(layout.MENDED):
            self._check_statement(key, data)
            return
        checks: dict[str, Callable[[str, bytes], object]] = {
            layout.JOURNALS: self.entry,
            layout.KEYS: self._check_slot,
            layout.PROJECTS: self._check_project,
            layout.MANIFESTS: self._check_digest,
            layout.PACKS: self._check_digest,
            layout.SHREDS: self._check_tombstone,
            **dict.fromkeys(_SEALED, self._check_sealed),
        }
        if folder in checks:
            checks[folder](key, data)

    def _check_slot(self, key: str, data: bytes) -> None:
        stored_objects.slot_scope(data, key, self.store)

    def _check_project(self, key: str, data: bytes) -> None:
        stored_objects.check_project(data, key, self.store)

    def _check_digest(self, key: str, data: bytes) -> None:
        name = stored_objects.digest_name(key)
        if not name:
            raise IntegrityError(
                f"{key} is no name of a pack or manifest", reason=Reason.RECORD_CORRUPT
            )
        if key.startswith(layout.PACKS):
            stored_objects.check_pack(data, name, self.store)
        else:
            stored_objects.check_manifest(data, name, self.store)

    def _check_sealed(self, key: str, data: bytes) -> None:
        kind = _SEALED[key[: key.find("/") + 1]]
        parse_object_header(data, self.store, kind)

    def _check_tombstone(self, key: str, data: bytes) -> None:
        if not layout.is_tombstone(key):
            parse_object_header(data, self.store, ObjectKind.SHRED)
        elif self._keys is not None:
            tombstone.verify_tombstone(data, key, self.store, self._keys)
        else:
            _check_envelope(data, tombstone.PAYLOAD_TYPE, ObjectKind.SHRED)

    def _check_statement(self, key: str, data: bytes) -> None:
        if self._keys is not None:
            mend_statement.verify_statement(data, key, self.store, self._keys)
        else:
            _check_envelope(data, mend_statement.PAYLOAD_TYPE, ObjectKind.REPAIR)


def _check_envelope(data: bytes, payload_type: str, kind: ObjectKind) -> None:
    try:
        dsse.parse_envelope(data, payload_type, max_bytes=canonical.MAX_INTEGER)
    except ValueError as error:
        raise object_error(kind) from error
