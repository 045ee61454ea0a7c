# SPDX-License-Identifier: Apache-2.0
"""A security key that is a file: for the dev stack and for tests, and nothing else.

It answers as a security key would, and says that its person was verified, which
nobody did. Whoever can read the file can approve; a server cannot tell it from a
device, so it is the reviewed file of credentials that has to keep it out.
"""

import base64
import hashlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from fido2 import cbor
from fido2.cose import ES256

from strongroom import _system
from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom.values import KeyAssertion, RelyingParty

_TYPE: Final = "strongroom software security key, for development only"
_MAX_BYTES: Final = 64 * 1024
_CREDENTIAL_BYTES: Final = 32
#: User present, user verified: what a device says after its PIN or a finger.
_FLAGS: Final = 0x05
_COUNTER: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """One credential for one relying party."""

    relying_party: str
    credential_id: bytes
    private_key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"SoftwareKey({self.relying_party!r})"

    @classmethod
    def create(cls, relying_party: str) -> Self:
        """Return a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        credential_id = _system.new_id(_CREDENTIAL_BYTES).to_bytes(
            _CREDENTIAL_BYTES, "big"
        )
        return cls(relying_party, credential_id, key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key's file.

        Raises:
            PreconditionError: It is not there, others may read it, or it is no such
                file (SETTING_INVALID).
        """
        try:
            status = path.stat()
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES)
        except OSError as error:
            why = error.strerror or "I/O error"
            raise _unusable(path, f"cannot be read: {why}") from error
        if status.st_mode & 0o077:
            raise _unusable(path, "may be read by others: chmod 600")
        try:
            body = json.loads(data)
            key = load_pem_private_key(body["private_key"].encode(), None)
            if body["type"] != _TYPE or not isinstance(key, ec.EllipticCurvePrivateKey):
                raise _unusable(path, "is no software security key")
            credential_id = base64.b64decode(body["credential_id"], validate=True)
            return cls(str(body["relying_party"]), credential_id, key)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, InvalidArgumentError):
                raise
            raise _unusable(path, "is no software security key") from error

    def save(self, path: Path) -> None:
        """Write a file that nobody else can read; never over another one.

        Raises:
            PreconditionError: It cannot be written (SETTING_INVALID).
        """
        pem = self.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        body = {
            "type": _TYPE,
            "relying_party": self.relying_party,
            "credential_id": base64.b64encode(self.credential_id).decode(),
            "private_key": pem.decode(),
        }
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(path, flags, 0o600), "w") as file:
                json.dump(body, file, indent=1)
        except OSError as error:
            why = error.strerror or "I/O error"
            raise _unusable(path, f"cannot be written: {why}") from error

    @property
    def public_key(self) -> bytes:
        """The public key as security keys give it: COSE_Key in CBOR."""
        key = ES256.from_cryptography_key(  # type: ignore[no-untyped-call]
            self.private_key.public_key()
        )
        return cbor.encode(dict(key))

    def sign(self, challenge: bytes, party: RelyingParty) -> KeyAssertion:
        """Answer a challenge.

        Raises:
            PreconditionError: The key is of another relying party.
        """
        if party.relying_party != self.relying_party:
            message = (
                f"the software key is of {self.relying_party}, "
                f"not of {party.relying_party}"
            )
            raise PreconditionError(
                message,
                reason=Reason.SETTING_INVALID,
                hint="strongroom approvals enroll",
            )
        client_data = {
            "type": "webauthn.get",
            "challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "origin": party.origin,
            "crossOrigin": False,
        }
        data = json.dumps(client_data, separators=(",", ":")).encode()
        authenticator_data = (
            hashlib.sha256(self.relying_party.encode()).digest()
            + bytes([_FLAGS])
            + _COUNTER.pack(0)
        )
        signed = authenticator_data + hashlib.sha256(data).digest()
        signature = self.private_key.sign(signed, ec.ECDSA(SHA256()))
        return KeyAssertion(self.credential_id, authenticator_data, data, signature)


def _unusable(path: Path, why: str) -> PreconditionError:
    return PreconditionError(
        f"the software security key {path} {why}",
        reason=Reason.SETTING_INVALID,
        hint="strongroom approvals enroll --software FILE makes one.",
        path=path,
    )
