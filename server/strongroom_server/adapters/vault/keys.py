# SPDX-License-Identifier: Apache-2.0
"""KEKs in Vault's transit engine: `derived=true`, never exportable.

Contexts bind a wrapped key to its place; `associated_data` would not survive a
re-wrap. What Vault reads is checked here first, since its reading is loose: it
takes `vault:v0:` for `vault:v1:` and skips line breaks, so that several texts
would open as one.
"""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.adapters.vault.client import VaultClient
from strongroom_server.adapters.vault.failures import key_missing, unavailable
from strongroom_server.ports import (
    MAX_REWRAP,
    DataKey,
    KekState,
    KeyService,
    WrappedKey,
)

#: Key names that may stand in a path; they are read from stored slots.
_NAME: Final = re.compile(r"sr(\.[a-z0-9-]{1,80}){1,4}")
_WRAPPED: Final = re.compile(r"vault:v[1-9][0-9]{0,8}:([A-Za-z0-9+/]{1,1024}={0,2})")
_KEY_BYTES: Final = 32
#: Vault makes a new version that often by itself.
_ROTATED_EVERY: Final = "720h"
#: What a KEK must be, whoever made it.
_KEK_PROPERTIES: Final = {
    "type": "aes256-gcm96",
    "derived": True,
    "exportable": False,
    "allow_plaintext_backup": False,
}


class VaultKeyService:
    """The `KeyService` port over a transit mount."""

    def __init__(self, client: VaultClient, *, mount: str) -> None:
        self._client = client
        self._mount = mount

    def create_kek(self, name: str) -> None:
        """Make a KEK; harmless if it exists with the right properties."""
        check_kek_name(name)
        try:
            properties = self._read_key(name)
        except PreconditionError as error:
            if error.reason is not Reason.KEK_MISSING:
                raise
            # `exportable` and its like are left out: their default is false, and
            # the server's policy denies the very words.
            self._client.request(
                "POST",
                self._mount,
                "keys",
                name=name,
                body={
                    "type": _KEK_PROPERTIES["type"],
                    "derived": True,
                    "auto_rotate_period": _ROTATED_EVERY,
                },
            )
            properties = self._read_key(name)
        wrong = [
            key
            for key, value in _KEK_PROPERTIES.items()
            if properties.get(key) != value
        ]
        if wrong:
            message = f"Vault's key {name} is no KEK: {', '.join(wrong)} is wrong"
            raise key_missing(message, key=name)

    def generate(self, kek: str, context: bytes) -> DataKey:
        """Make 32 random bytes, wrapped by `kek` and bound to `context`."""
        check_kek_name(kek)
        data = self._client.request(
            "POST",
            self._mount,
            "datakey/plaintext",
            name=kek,
            body={"bits": 8 * _KEY_BYTES, "context": _context(context)},
        )
        wrapped = data.get("ciphertext")
        if not isinstance(wrapped, str) or not _is_wrapped(wrapped):
            raise unavailable("Vault's answer cannot be understood")
        return DataKey(plaintext=_plaintext(data), wrapped=wrapped)

    def unwrap(self, kek: str, context: bytes, wrapped: str) -> bytes:
        """Return the 32 bytes that `generate` wrapped."""
        check_kek_name(kek)
        body: dict[str, object] = {"ciphertext": wrapped, "context": _context(context)}
        if not _is_wrapped(wrapped):
            raise _slot_corrupt()
        data = self._client.request(
            "POST", self._mount, "decrypt", name=kek, body=body, refused=_slot_corrupt
        )
        return _plaintext(data)

    def rewrap(self, kek: str, keys: Sequence[WrappedKey]) -> Sequence[str | None]:
        """Wrap keys again by the newest version of their KEK; see `KeyService`."""
        check_kek_name(kek)
        if len(keys) > MAX_REWRAP:
            message = f"{len(keys)} keys are too many to be wrapped again at once"
            raise ValueError(message)
        # What Vault would read loosely is not sent.
        sent = [key for key in keys if _is_wrapped(key.wrapped)]
        if not sent:
            return [None] * len(keys)
        batch = [
            {"ciphertext": key.wrapped, "context": _context(key.context)}
            for key in sent
        ]
        data = self._client.request(
            "POST", self._mount, "rewrap", name=kek, body={"batch_input": batch}
        )
        results = data.get("batch_results")
        if not isinstance(results, list) or len(results) != len(sent):
            raise unavailable("Vault's answer cannot be understood")
        found = iter(map(_rewrapped, results))
        return [next(found) if _is_wrapped(key.wrapped) else None for key in keys]

    def kek_state(self, kek: str) -> KekState:
        """Return which versions a KEK has."""
        check_kek_name(kek)
        return kek_state_of(self._read_key(kek))

    def check_ready(self) -> None:
        """Look up the server's own token, which Vault audits before it answers."""
        self._client.request("GET", "auth/token", "lookup-self")

    def _read_key(self, name: str) -> dict[str, Any]:
        return self._client.request("GET", self._mount, "keys", name=name)


def kek_state_of(data: dict[str, Any]) -> KekState:
    """Return the versions of a KEK out of Vault's answer about it.

    Raises:
        UnavailableError: That cannot be understood.
    """
    try:
        newest, oldest = data["latest_version"], data["min_decryption_version"]
        times = {
            int(version): datetime.fromtimestamp(int(time_s), UTC)
            for version, time_s in data["keys"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise unavailable("Vault's answer cannot be understood") from error
    if not isinstance(newest, int) or not isinstance(oldest, int) or newest < 1:
        raise unavailable("Vault's answer cannot be understood")
    return KekState(newest, max(oldest, 1), times)


def _rewrapped(result: object) -> str | None:
    """Return one key of a batch; None if Vault refused it."""
    if not isinstance(result, dict):
        raise unavailable("Vault's answer cannot be understood")
    if result.get("error"):
        return None
    wrapped = result.get("ciphertext")
    if not isinstance(wrapped, str) or not _is_wrapped(wrapped):
        raise unavailable("Vault's answer cannot be understood")
    return wrapped


def check_kek_name(name: str) -> None:
    """Check that a name may stand in a path.

    Raises:
        PreconditionError: It is no KEK's name (KEK_MISSING).
    """
    if not _NAME.fullmatch(name):
        message = f"Vault has no KEK named {name[:80]!r}"
        raise key_missing(message, key=name[:80])


def _context(context: bytes) -> str:
    if not context:
        message = "the context of a wrapped key must not be empty"
        raise ValueError(message)
    return base64.b64encode(context).decode()


def _is_wrapped(text: str) -> bool:
    """Tell whether a text is a wrapped key in its one spelling."""
    match = _WRAPPED.fullmatch(text)
    if match is None:
        return False
    try:
        data = base64.b64decode(match[1], validate=True)
    except ValueError:
        return False
    # The unused bits of the last letter must be zero, or several texts are equal.
    return base64.b64encode(data).decode() == match[1]


def _plaintext(data: dict[str, Any]) -> bytes:
    try:
        plaintext = base64.b64decode(data["plaintext"], validate=True)
    except (KeyError, TypeError, ValueError):
        plaintext = b""
    if len(plaintext) != _KEY_BYTES:
        raise unavailable("Vault's answer cannot be understood")
    return plaintext


def _slot_corrupt() -> IntegrityError:
    return IntegrityError(
        "a wrapped key does not open under its KEK and context",
        reason=Reason.KEY_SLOT_CORRUPT,
        hint="Restore the key slot from a backup. If its KEK is younger than the slot,"
        " it was deleted and made anew: restore Vault from a snapshot instead.",
    )


_key_service: type[KeyService] = VaultKeyService
