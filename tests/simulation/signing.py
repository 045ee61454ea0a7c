# SPDX-License-Identifier: Apache-2.0
"""An HMAC in place of both signature algorithms: only the primitive is swapped."""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final
from unittest.mock import patch

from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import signatures
from strongroom_server.core.signatures import PublicKey, Signature, SignatureAlgorithm

_KEY: Final = bytes(range(32))
PUBLIC_KEYS: Final = {
    key_id: PublicKey(key_id, algorithm, b"")
    for key_id, algorithm in (
        ("sr.sign.version:1", SignatureAlgorithm.ECDSA_P384_SHA384),
        ("sr.sign.version.pq:1", SignatureAlgorithm.ML_DSA_65),
    )
}


class HmacSigner(MemorySigner):
    """Signs as Vault does, in microseconds."""

    def __init__(self) -> None:
        """Make no keys: there is one, and everybody knows it."""

    def sign(self, message: bytes) -> Sequence[Signature]:
        return tuple(
            Signature(key.key_id, key.algorithm, _hmac_of(key, message))
            for key in PUBLIC_KEYS.values()
        )

    def public_keys(self) -> Mapping[str, PublicKey]:
        return PUBLIC_KEYS


@contextmanager
def hmac_signatures() -> Iterator[None]:
    """Let the real verification take what `HmacSigner` signs."""
    with patch.object(signatures, "_verify_one", _verify_hmac):
        yield


def _verify_hmac(message: bytes, signature: Signature, key: PublicKey) -> None:
    if _hmac_of(key, message) != signature.value:
        raise signatures._refused()


@lru_cache(maxsize=20_000)
def _hmac_of(key: PublicKey, message: bytes) -> bytes:
    return hmac.digest(_KEY + key.key_id.encode(), message, "sha256")
