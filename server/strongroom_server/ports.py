# SPDX-License-Identifier: Apache-2.0
"""The ports: what the repository needs from S3, Vault, LMDB, the clock and the rest.

Every method's docstring is its contract. One conformance suite a port, in
`tests/contract`, runs against the memory adapter and the real one alike.
Adapters raise classes of `strongroom.errors`, and the two signals below.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from strongroom_server.core.audit import AuditEvent, AuditReceipt
from strongroom_server.core.signatures import PublicKey, Signature

#: Anything with the buffer protocol that an adapter may read without a copy.
ReadBuffer = bytes | bytearray | memoryview


class BlobExistsError(Exception):
    """`put_new` found an object under the key; the repository decides what it means."""


class BlobNotFoundError(Exception):
    """There is no such object or version; the repository decides what it means."""


@dataclass(frozen=True, slots=True)
class BlobVersion:
    """One stored version of one object, as a listing shows it.

    `modified_s` is when it was written, in Unix seconds of the store's own clock.
    """

    key: str
    version_id: str
    size_bytes: int
    modified_s: float


class BlobStore(Protocol):
    """Objects by key, each version immutable under its version id.

    Retries of transient faults happen inside, bounded by the adapter's timeouts;
    what still fails is `UnavailableError` (STORE_UNAVAILABLE) or
    `PreconditionError` (STORE_ACCESS_DENIED, STORE_UNSUITABLE).
    """

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """Store `data` under a key that has no current object; return its version id.

        Atomic: of several concurrent calls exactly one succeeds. A delete marker
        counts as no object. Never retried inside after an ambiguous failure.

        Raises:
            BlobExistsError: The key has a current object.
        """
        ...

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """Return a version's bytes.

        Raises:
            BlobNotFoundError: There is no such version.
            IntegrityError: It is longer than `max_bytes`; nothing was read.
        """
        ...

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """Fill `buffer` from a version's bytes at `offset_bytes`; no short reads.

        Raises:
            BlobNotFoundError: There is no such version, or it ends before that.
        """
        ...

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """Yield the *oldest* version of every key with `prefix`, in key order.

        Delete markers and newer versions over a key change nothing: the first
        write is the one that `put_new` let through. Keys up to and including
        `start_after` are left out. Pages are fetched as they are needed.
        """
        ...

    def subfolders(self, prefix: str) -> Iterator[str]:
        """Yield each distinct `prefix + segment + "/"`, in order.

        Looks through delete markers as `first_versions` does.
        """
        ...

    def time_s(self) -> float:
        """Return the time in Unix seconds by the store's own clock, from one call.

        Comparable with `BlobVersion.modified_s`, to a second or two.
        """
        ...

    def check_ready(self) -> None:
        """Make one cheap call that shows that the bucket can be read."""
        ...


class BlobRemover(Protocol):
    """Removes single versions for good; held by sweeps alone.

    It works with a credential of its own, since no other part of a server may
    destroy anything. Errors as for `BlobStore`.
    """

    def remove(self, key: str, *, version_id: str) -> bool:
        """Remove exactly one version; return False if it was gone already.

        Repeating it is harmless. Other versions of the key, and delete markers,
        stay as they are.

        Raises:
            PreconditionError: It is locked, or the credential may not remove it
                (STORE_ACCESS_DENIED).
        """
        ...


class BlobCopy(Protocol):
    """Another copy of the bucket, read only, to mend damage from.

    What it gives is believed only where it can be checked by itself. Errors as for
    `BlobStore`.
    """

    @property
    def name(self) -> str:
        """What the operator calls it."""
        ...

    def read(self, key: str, *, max_bytes: int) -> bytes | None:
        """Return the bytes at a key.

        None if there are none, if they are longer than `max_bytes`, or if the key
        is none that this copy could hold.
        """
        ...


@dataclass(frozen=True, slots=True)
class DataKey:
    """A fresh key and its wrapped form."""

    plaintext: bytes
    wrapped: str

    def __repr__(self) -> str:
        return "DataKey(**redacted**)"


class KeyService(Protocol):
    """KEKs that never leave Vault.

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
        """
        ...

    def check_ready(self) -> None:
        """Make one audited call.

        Vault's own health endpoint says 200 while its audit device is full.
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


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A private key with its certificate chain."""

    private_key_pem: bytes
    chain_pem: bytes
    ca_pem: bytes
    not_after: datetime

    def __repr__(self) -> str:
        return f"IssuedCertificate(not_after={self.not_after.isoformat()})"


class CertificateIssuer(Protocol):
    """A certificate authority that issues the server's own certificate."""

    def issue(self) -> IssuedCertificate:
        """Issue a fresh key and certificate. Errors as for `KeyService`."""
        ...


class Index(Protocol):
    """An ordered map of bytes that may be lost at any time; a cache, never truth.

    A value that is damaged reads as absent. `UnavailableError`
    (INDEX_UNAVAILABLE) if the disk fails.
    """

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None if it is absent or damaged."""
        ...

    def put_many(self, items: Mapping[bytes, bytes]) -> None:
        """Store all items in one transaction. Keys have 1 to 500 bytes."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the undamaged items whose key has `prefix`, in key order."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class AuditSink(Protocol):
    """The audit log: append-only, hash-chained, durable when `append` returns."""

    def append(self, event: AuditEvent) -> AuditReceipt:
        """Record an event and return its place, durable on return.

        Raises:
            UnavailableError: It could not be made durable (AUDIT_UNAVAILABLE);
                the call it belongs to must not go on.
        """
        ...


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from a fixed but unknown instant; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Entropy(Protocol):
    """Randomness fit for keys."""

    def token_bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""
        ...
