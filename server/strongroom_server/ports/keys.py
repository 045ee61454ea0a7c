# SPDX-License-Identifier: Apache-2.0
"""The ports of Vault: keys that wrap keys, and keys that sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from strongroom_server.core.signatures import PublicKey, Signature

#: Keys that `KeyService.rewrap` takes at once: OpenBao refuses JSON with more than
#: 1000 strings, and each key costs four.
MAX_REWRAP: Final = 100


@dataclass(frozen=True, slots=True)
class DataKey:
    """A fresh key and its wrapped form."""

    plaintext: bytes
    wrapped: str

    def __repr__(self) -> str:
        return "DataKey(**redacted**)"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A wrapped key and the context that it is bound to; nothing in it is secret."""

    context: bytes
    wrapped: str


@dataclass(frozen=True, slots=True)
class KekState:
    """The versions of a KEK.

    Attributes:
        newest: The version that wraps; 1 or more.
        oldest: The oldest version that still unwraps.
        create_times: When each version that still unwraps was made.
    """

    newest: int
    oldest: int
    create_times: Mapping[int, datetime]


class KeyService(Protocol):
    """KEKs that never leave Vault.

    A wrapped key says which version of its KEK wraps it, as `<word>:v<version>:` at
    its beginning.

    Raises, from every method: `UnavailableError` (KEY_SERVICE_SEALED,
    KEY_SERVICE_UNAVAILABLE); `PreconditionError` (KEK_MISSING,
    KEK_ACCESS_DENIED).
    """

    def create_kek(self, name: str) -> None:
        """Make a KEK (AES-256-GCM, derived, not exportable); harmless if it exists."""
        ...

    def generate(self, kek: str, context: bytes) -> DataKey:
        """Make 32 random bytes, wrapped by `kek` and bound to `context`."""
        ...

    def unwrap(self, kek: str, context: bytes, wrapped: str) -> bytes:
        """Return the 32 bytes that `generate` wrapped.

        Raises:
            IntegrityError: `wrapped` is not of this KEK and context
                (KEY_SLOT_CORRUPT).
            PreconditionError: The version of the KEK that wraps it is retired
                (KEK_ACCESS_DENIED), or the KEK has none such (KEK_MISSING).
        """
        ...

    def rewrap(self, kek: str, keys: Sequence[WrappedKey]) -> Sequence[str | None]:
        """Wrap keys again, each in its context, by the newest version of their KEK.

        At most `MAX_REWRAP` at once. In place of one that is not of this KEK and
        context, or whose version is retired, stands None.
        """
        ...

    def kek_state(self, kek: str) -> KekState:
        """Return which versions a KEK has."""
        ...

    def check_ready(self) -> None:
        """Make one audited call.

        Vault's own health endpoint says 200 while its audit device is full.
        """
        ...


class KeyAdmin(Protocol):
    """Looks after KEKs and uses none; held by `keys rotate` and `keys retire` alone.

    It works with a credential of its own. Errors as for `KeyService`.
    """

    def rotate(self, kek: str) -> int:
        """Make a new version of a KEK, which wraps from now on; return it."""
        ...

    def retire(self, kek: str, *, oldest: int) -> bool:
        """Let no version before `oldest` unwrap any more; never takes that back.

        Returns:
            Whether anything changed.
        """
        ...


class KeyDestroyer(Protocol):
    """Destroys the KEKs of projects for good; held by shredding alone.

    It works with a credential of its own, which may use no key. The store's own KEK,
    and the keys that sign, it refuses by their names. Errors as for `KeyService`;
    where the key service has approvers of its own, PreconditionError
    (KEK_APPROVAL_PENDING) until they agree: then the same call is to be repeated.
    """

    def allow(self, kek: str) -> None:
        """Let a KEK be destroyed, which by itself changes nothing for anybody.

        Harmless if it is repeated.

        Raises:
            PreconditionError: There is no such KEK (KEK_MISSING).
        """
        ...

    def destroy(self, kek: str) -> bool:
        """Destroy a KEK that `allow` was called for: all versions, for good.

        Returns:
            Whether it was there; harmless if it is repeated.
        """
        ...


class Signer(Protocol):
    """Signing keys that never leave Vault. Errors as for `KeyService`."""

    def sign(self, message: bytes) -> Sequence[Signature]:
        """Sign `message` with every configured key, in a fixed order."""
        ...

    def public_keys(self) -> Mapping[str, PublicKey]:
        """Return every version of every signing key, by key id."""
        ...
