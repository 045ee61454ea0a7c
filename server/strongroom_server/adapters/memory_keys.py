# SPDX-License-Identifier: Apache-2.0
"""KEKs and signing keys in memory: real keys, no Vault.

They keep the ports' contracts and pass the same suites as the Vault adapter. What
an operator does behind the server's back (seal, delete, rotate) has a method of its
own, which no port has.
"""

import base64
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core.scope import is_project_kek
from strongroom_server.core.signatures import PublicKey, Signature, SignatureAlgorithm
from strongroom_server.ports import (
    MAX_REWRAP,
    Clock,
    DataKey,
    Entropy,
    KekState,
    KeyAdmin,
    KeyDestroyer,
    KeyService,
    Signer,
    WrappedKey,
)

_KEY_BYTES = 32
_NONCE_BYTES = 12
_WRAPPED = re.compile(r"memory:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]{80})")
_CLASSIC_NAME = "sr.sign.version"
_PQ_NAME = "sr.sign.version.pq"
#: The order of P-384's base point; private keys lie below it.
_P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)


@dataclass(frozen=True, slots=True)
class _KekVersion:
    """A version of a KEK that a rotation made."""

    key: bytes = field(repr=False)
    time: datetime


class MemoryKeyService:
    """KEKs that wrap with AES-256-GCM under a key derived from the context."""

    def __init__(self, *, entropy: Entropy, clock: Clock | None = None) -> None:
        """`clock` says when versions were made; without one, at the epoch."""
        self._entropy = entropy
        self._clock = clock
        self._lock = threading.Lock()
        #: The first version of each KEK; those that rotations made lie beside.
        self._keks: dict[str, bytes] = {}
        self._rotated: dict[str, list[_KekVersion]] = {}
        self._create_times: dict[str, datetime] = {}
        self._oldest: dict[str, int] = {}
        self._sealed = False

    def create_kek(self, name: str) -> None:
        """See `KeyService`."""
        self.check_ready()
        with self._lock:
            if name not in self._keks:
                self._keks[name] = self._entropy.token_bytes(_KEY_BYTES)
                self._create_times[name] = self._now()

    def generate(self, kek: str, context: bytes) -> DataKey:
        """See `KeyService`."""
        self.check_ready()
        plaintext = self._entropy.token_bytes(_KEY_BYTES)
        return DataKey(plaintext, self._wrap(kek, context, plaintext))

    def unwrap(self, kek: str, context: bytes, wrapped: str) -> bytes:
        """See `KeyService`."""
        self.check_ready()
        versions = self._versions(kek)
        match = _WRAPPED.fullmatch(wrapped)
        if match is None:
            raise _slot_corrupt()
        version = int(match[1])
        if version > len(versions):
            message = f"the KEK {kek} has no version {version}"
            raise PreconditionError(message, reason=Reason.KEK_MISSING, key=kek)
        if version < self._oldest.get(kek, 1):
            message = f"version {version} of the KEK {kek} is retired"
            raise PreconditionError(message, reason=Reason.KEK_ACCESS_DENIED, key=kek)
        data = base64.b64decode(match[2])
        try:
            return _cipher(versions[version - 1], context).decrypt(
                data[:_NONCE_BYTES], data[_NONCE_BYTES:], None
            )
        except InvalidTag as error:
            raise _slot_corrupt() from error

    def rewrap(self, kek: str, keys: Sequence[WrappedKey]) -> Sequence[str | None]:
        """See `KeyService`."""
        self.check_ready()
        if len(keys) > MAX_REWRAP:
            message = f"{len(keys)} keys are too many to be wrapped again at once"
            raise ValueError(message)
        return [self._rewrapped(kek, key) for key in keys]

    def kek_state(self, kek: str) -> KekState:
        """See `KeyService`."""
        self.check_ready()
        newest, oldest = len(self._versions(kek)), self._oldest.get(kek, 1)
        start = datetime.fromtimestamp(0, UTC)
        times = {1: self._create_times.get(kek, start)}
        for version, made in enumerate(self._rotated.get(kek, ()), start=2):
            times[version] = made.time
        return KekState(
            newest,
            oldest,
            {version: times[version] for version in range(oldest, newest + 1)},
        )

    def check_ready(self) -> None:
        """See `KeyService`."""
        if self._sealed:
            message = "the key service is sealed"
            raise UnavailableError(
                message, reason=Reason.KEY_SERVICE_SEALED, hint="Call `unseal()`."
            )

    def seal(self) -> None:
        """Refuse everything until `unseal`, as a sealed Vault does."""
        self._sealed = True

    def unseal(self) -> None:
        """Serve again."""
        self._sealed = False

    def snapshot(self) -> "MemoryKeyService":
        """Return what a Vault has that is restored from a snapshot of now."""
        other = MemoryKeyService(entropy=self._entropy, clock=self._clock)
        with self._lock:
            other._keks = dict(self._keks)
            other._rotated = {name: [*made] for name, made in self._rotated.items()}
            other._create_times = dict(self._create_times)
            other._oldest = dict(self._oldest)
        return other

    def delete_kek(self, name: str) -> None:
        """Destroy a KEK, as shredding does."""
        with self._lock:
            del self._keks[name]
            self._rotated.pop(name, None)

    def rotate_kek(self, name: str) -> int:
        """Make a new version of a KEK, as a key administrator does; return it."""
        self.check_ready()
        self._versions(name)
        with self._lock:
            made = _KekVersion(self._entropy.token_bytes(_KEY_BYTES), self._now())
            self._rotated.setdefault(name, []).append(made)
        return len(self._versions(name))

    def retire_kek(self, name: str, *, oldest: int) -> bool:
        """Let no older version unwrap; return whether anything changed."""
        self.check_ready()
        if oldest > len(self._versions(name)):
            message = f"the KEK {name} has no version {oldest}"
            raise ValueError(message)
        with self._lock:
            before = self._oldest.get(name, 1)
            self._oldest[name] = max(before, oldest)
        return oldest > before

    def _rewrapped(self, kek: str, key: WrappedKey) -> str | None:
        try:
            plaintext = self.unwrap(kek, key.context, key.wrapped)
        except IntegrityError:
            return None
        except PreconditionError:
            self._versions(kek)  # raises if it is the KEK that is gone
            return None
        return self._wrap(kek, key.context, plaintext)

    def _wrap(self, kek: str, context: bytes, plaintext: bytes) -> str:
        versions = self._versions(kek)
        nonce = self._entropy.token_bytes(_NONCE_BYTES)
        data = nonce + _cipher(versions[-1], context).encrypt(nonce, plaintext, None)
        return f"memory:v{len(versions)}:{base64.b64encode(data).decode()}"

    def _versions(self, kek: str) -> list[bytes]:
        """Return all versions of a KEK, the oldest first."""
        first = self._keks.get(kek)
        if first is None:
            message = f"there is no KEK {kek}"
            raise PreconditionError(message, reason=Reason.KEK_MISSING, key=kek)
        return [first, *(made.key for made in self._rotated.get(kek, ()))]

    def _now(self) -> datetime:
        start = datetime.fromtimestamp(0, UTC)
        return start if self._clock is None else self._clock.now()


class MemoryKeyAdmin:
    """Looks after the KEKs of a key service in memory."""

    def __init__(self, keys: MemoryKeyService) -> None:
        self._keys = keys

    def rotate(self, kek: str) -> int:
        """See `KeyAdmin`."""
        return self._keys.rotate_kek(kek)

    def retire(self, kek: str, *, oldest: int) -> bool:
        """See `KeyAdmin`."""
        return self._keys.retire_kek(kek, oldest=oldest)


class MemoryKeyDestroyer:
    """Destroys the KEKs of a key service in memory; may have approvers to ask."""

    def __init__(self, keys: MemoryKeyService) -> None:
        self._keys = keys
        self._allowed: set[str] = set()
        self._held = False

    def allow(self, kek: str) -> None:
        """See `KeyDestroyer`."""
        _check_project_kek(kek)
        self._keys.kek_state(kek)
        if self._held and kek not in self._allowed:
            message = f"the destruction of {kek} waits for its approvers"
            raise PreconditionError(
                message, reason=Reason.KEK_APPROVAL_PENDING, hint="Call `let_go()`."
            )
        self._allowed.add(kek)

    def destroy(self, kek: str) -> bool:
        """See `KeyDestroyer`."""
        _check_project_kek(kek)
        try:
            self._keys.kek_state(kek)
        except PreconditionError as error:
            if error.reason is not Reason.KEK_MISSING:
                raise
            return False
        if kek not in self._allowed:
            message = f"deletion is not allowed for the KEK {kek}"
            raise PreconditionError(message, reason=Reason.KEK_ACCESS_DENIED, key=kek)
        try:
            self._keys.delete_kek(kek)
        except KeyError:
            return False  # Somebody else was first.
        return True

    def hold(self) -> None:
        """Hold back what is asked from now on, as a control group does."""
        self._held = True

    def let_go(self) -> None:
        """Agree to what is asked from now on."""
        self._held = False


def _check_project_kek(name: str) -> None:
    """Check that a name is that of a project's KEK.

    Raises:
        PreconditionError: It is not, so that it must not be destroyed
            (KEK_ACCESS_DENIED).
    """
    if not is_project_kek(name):
        message = f"{name[:80]!r} is no project's KEK, and is never destroyed"
        raise PreconditionError(
            message, reason=Reason.KEK_ACCESS_DENIED, hint="Name a project."
        )


class MemorySigner:
    """A P-384 key and an ML-DSA-65 key, in as many versions as were rotated."""

    def __init__(self, *, entropy: Entropy) -> None:
        self._entropy = entropy
        self._classic: list[ec.EllipticCurvePrivateKey] = []
        self._pq: list[mldsa.MLDSA65PrivateKey] = []
        self.rotate()

    def sign(self, message: bytes) -> Sequence[Signature]:
        """See `Signer`."""
        algorithm = ec.ECDSA(hashes.SHA384())
        return (
            Signature(
                f"{_CLASSIC_NAME}:{len(self._classic)}",
                SignatureAlgorithm.ECDSA_P384_SHA384,
                self._classic[-1].sign(message, algorithm),
            ),
            Signature(
                f"{_PQ_NAME}:{len(self._pq)}",
                SignatureAlgorithm.ML_DSA_65,
                self._pq[-1].sign(message),
            ),
        )

    def public_keys(self) -> Mapping[str, PublicKey]:
        """See `Signer`."""
        keys = [
            PublicKey(
                f"{_CLASSIC_NAME}:{version}",
                SignatureAlgorithm.ECDSA_P384_SHA384,
                key.public_key().public_bytes(
                    Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
                ),
            )
            for version, key in enumerate(self._classic, start=1)
        ]
        keys += [
            PublicKey(
                f"{_PQ_NAME}:{version}",
                SignatureAlgorithm.ML_DSA_65,
                key.public_key().public_bytes_raw(),
            )
            for version, key in enumerate(self._pq, start=1)
        ]
        return {key.key_id: key for key in keys}

    def rotate(self) -> None:
        """Make a new version of both keys; the old ones go on verifying."""
        # 16 bytes more than the order has, so that the remainder is uniform enough;
        # FIPS 186-5, A.2.1.
        number = int.from_bytes(self._entropy.token_bytes(64), "big")
        secret = number % (_P384_ORDER - 1) + 1
        self._classic.append(ec.derive_private_key(secret, ec.SECP384R1()))
        seed = self._entropy.token_bytes(_KEY_BYTES)
        self._pq.append(mldsa.MLDSA65PrivateKey.from_seed_bytes(seed))


def _cipher(key: bytes, context: bytes) -> AESGCM:
    if not context:
        message = "the context of a wrapped key must not be empty"
        raise ValueError(message)
    return AESGCM(HKDFExpand(hashes.SHA256(), _KEY_BYTES, context).derive(key))


def _slot_corrupt() -> IntegrityError:
    return IntegrityError(
        "a wrapped key does not open under its KEK and context",
        reason=Reason.KEY_SLOT_CORRUPT,
        hint="Restore the key slot from a backup.",
    )


_key_service: type[KeyService] = MemoryKeyService
_key_admin: type[KeyAdmin] = MemoryKeyAdmin
_key_destroyer: type[KeyDestroyer] = MemoryKeyDestroyer
_signer: type[Signer] = MemorySigner
