# SPDX-License-Identifier: Apache-2.0
"""Key slots: the stored object that holds a domain's wrapped master key.

The slot's own commitment is checked after unwrapping, so a slot that was swapped
for another one, even one whose key the attacker knows, is refused.
"""

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical, cobblestone, derivation
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope, format_id

FORMAT: Final = 1
TYPE: Final = "key-slot"
MAX_SLOT_BYTES: Final = 16 * 1024
#: What a key service puts before what it wrapped: which version of the KEK did it.
_VERSION: Final = re.compile(r"[a-z]{1,16}:v([1-9][0-9]{0,8}):")
_FIELDS: Final = frozenset(
    {
        "commitment", "domain", "epoch", "format", "kek", "kid", "project",
        "sealed_ddk", "store", "type", "wrapped_dmk",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeySlot:
    """A parsed key slot; nothing in it is secret, nothing is trusted yet."""

    scope: Scope
    kek: str
    kid: str
    wrapped_master: str
    sealed_dedup: bytes
    commitment: bytes

    @property
    def kek_version(self) -> int:
        """Which version of the KEK wraps the key, as the slot says; 0 if it says none.

        Believe it of a slot that was opened: anybody may write any number.
        """
        found = _VERSION.match(self.wrapped_master)
        return int(found[1]) if found else 0


def make_slot(keys: DomainKeys, wrapped_master: str, *, salt: bytes) -> bytes:
    """Return the bytes of a new slot. `salt`: 24 random bytes."""
    scope = keys.scope
    sealed = cobblestone.encrypt(
        derivation.dedup_wrapping_key(scope, keys.master),
        keys.dedup,
        context=b"ddk" + scope.packed,
        salt=salt,
    )
    fields = _committed_fields(scope, scope.kek, keys.kid, sealed)
    commitment = derivation.slot_commitment(keys.master, canonical.encode(fields))
    return format_slot(
        KeySlot(scope, scope.kek, keys.kid, wrapped_master, sealed, commitment)
    )


def format_slot(slot: KeySlot) -> bytes:
    """Return a slot's bytes: as `parse_slot` read them, if nothing was replaced."""
    fields = _committed_fields(slot.scope, slot.kek, slot.kid, slot.sealed_dedup)
    body = fields | {
        "wrapped_dmk": slot.wrapped_master,
        "commitment": base64.b64encode(slot.commitment).decode(),
    }
    return canonical.encode(body)


def parse_slot(data: bytes, scope: Scope) -> KeySlot:
    """Read a slot that must belong to `scope`.

    Raises:
        IntegrityError: It is malformed or belongs elsewhere (KEY_SLOT_CORRUPT).
    """
    try:
        body = canonical.decode_object(data, MAX_SLOT_BYTES)
        if set(body) != _FIELDS:
            raise slot_error(scope)
        slot = KeySlot(
            scope,
            _text(body["kek"]),
            _text(body["kid"]),
            _text(body["wrapped_dmk"]),
            canonical.decode_base64(body["sealed_ddk"]),
            canonical.decode_base64(body["commitment"]),
        )
    except (canonical.MalformedError, TypeError) as error:
        raise slot_error(scope) from error
    expected = _committed_fields(scope, scope.kek, slot.kid, slot.sealed_dedup)
    found = {name: body[name] for name in expected}
    # Compared as bytes, since Python's `True` equals 1.
    if canonical.encode(found) != canonical.encode(expected):
        raise slot_error(scope)
    return slot


def open_slot(slot: KeySlot, master: bytes) -> DomainKeys:
    """Return the domain's keys, once the master key is unwrapped.

    Raises:
        IntegrityError: The slot does not commit to this key (KEY_SLOT_CORRUPT).
    """
    fields = _committed_fields(slot.scope, slot.kek, slot.kid, slot.sealed_dedup)
    expected = derivation.slot_commitment(master, canonical.encode(fields))
    kid = derivation.key_id(slot.scope, master)
    if not hmac.compare_digest(expected, slot.commitment) or not hmac.compare_digest(
        kid, slot.kid
    ):
        raise slot_error(slot.scope)
    try:
        dedup = cobblestone.decrypt(
            derivation.dedup_wrapping_key(slot.scope, master),
            slot.sealed_dedup,
            context=b"ddk" + slot.scope.packed,
        )
        return DomainKeys(slot.scope, master, dedup)
    except (cobblestone.DecryptError, ValueError) as error:
        raise slot_error(slot.scope) from error


def slot_error(scope: Scope) -> IntegrityError:
    """Return the error for a slot that is damaged."""
    domain = format_id(scope.domain)
    return IntegrityError(
        f"the key slot of domain {domain}, epoch {scope.epoch}, is damaged",
        reason=Reason.KEY_SLOT_CORRUPT,
        hint="Restore the objects below keys/ from a backup.",
        domain=domain,
        epoch=scope.epoch,
    )


def _committed_fields(
    scope: Scope, kek: str, kid: str, sealed: bytes
) -> dict[str, Any]:
    # The wrapped key is left out: a re-wrap changes it, by a role without the key.
    return {
        "format": FORMAT,
        "type": TYPE,
        "store": scope.store.hex(),
        "project": format_id(scope.project),
        "domain": format_id(scope.domain),
        "epoch": scope.epoch,
        "kek": kek,
        "kid": kid,
        "sealed_ddk": base64.b64encode(sealed).decode(),
    }


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isascii():
        message = "not a string of ASCII"
        raise TypeError(message)
    return value
