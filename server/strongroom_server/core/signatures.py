# SPDX-License-Identifier: Apache-2.0
"""Signatures over journal entries: two algorithms, both required.

P-384 is what every security review accepts today; ML-DSA-65 is what holds
against a quantum computer. A signature set is good only if every required
algorithm is there once and verifies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from strongroom.errors import IntegrityError, Reason


class SignatureAlgorithm(StrEnum):
    """How a signature was made."""

    ECDSA_P384_SHA384 = "ecdsa-p384-sha384"
    ML_DSA_65 = "ml-dsa-65"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature: which key made it, how, and its bytes (DER for ECDSA)."""

    key_id: str
    algorithm: SignatureAlgorithm
    value: bytes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A verification key. `data`: PEM for P-384, 1952 raw bytes for ML-DSA-65."""

    key_id: str
    algorithm: SignatureAlgorithm
    data: bytes


def verify_signatures(
    message: bytes,
    signatures: Sequence[Signature],
    keys: Mapping[str, PublicKey],
    *,
    required: frozenset[SignatureAlgorithm],
) -> None:
    """Check that each required algorithm signed `message` exactly once.

    Raises:
        IntegrityError: A signature is missing, doubled, by an unknown key, or
            wrong (SIGNATURE_INVALID); which one is not told.
    """
    algorithms = [signature.algorithm for signature in signatures]
    if len(set(algorithms)) != len(algorithms) or set(algorithms) != required:
        raise _refused()
    for signature in signatures:
        key = keys.get(signature.key_id)
        if key is None or key.algorithm is not signature.algorithm:
            raise _refused()
        _verify_one(message, signature, key)


def _verify_one(message: bytes, signature: Signature, key: PublicKey) -> None:
    try:
        match key.algorithm:
            case SignatureAlgorithm.ECDSA_P384_SHA384:
                public = load_pem_public_key(key.data)
                if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(
                    public.curve, ec.SECP384R1
                ):
                    raise _refused()
                public.verify(signature.value, message, ec.ECDSA(hashes.SHA384()))
            case SignatureAlgorithm.ML_DSA_65:
                mldsa.MLDSA65PublicKey.from_public_bytes(key.data).verify(
                    signature.value, message
                )
    except (InvalidSignature, ValueError) as error:
        raise _refused() from error


def _refused() -> IntegrityError:
    return IntegrityError(
        "a signature does not verify",
        reason=Reason.SIGNATURE_INVALID,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
    )
