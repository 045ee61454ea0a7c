# SPDX-License-Identifier: Apache-2.0
"""A witness's two private keys, and what they say of a checkpoint."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom_server.core.signed_note import (
    Checkpoint,
    NoteAlgorithm,
    NoteKey,
    signature_line,
)


class CosigningPair:
    """Ed25519 and ML-DSA-44 keys of one name. Safe to use from many threads."""

    def __init__(
        self,
        name: str,
        classic: Ed25519PrivateKey,
        quantum: mldsa.MLDSA44PrivateKey,
    ) -> None:
        self._classic = classic
        self._quantum = quantum
        public = classic.public_key().public_bytes_raw()
        large = quantum.public_key().public_bytes_raw()
        self._keys = (
            NoteKey(name, NoteAlgorithm.ED25519_COSIGNATURE, public),
            NoteKey(name, NoteAlgorithm.ML_DSA_44, large),
        )

    def __repr__(self) -> str:
        return f"CosigningPair({self._keys[0].name})"

    @property
    def keys(self) -> Sequence[NoteKey]:
        """The public halves."""
        return self._keys

    def cosign(self, checkpoint: Checkpoint, *, time_s: int) -> bytes:
        """Return the lines of both signatures.

        Args:
            checkpoint: What is signed.
            time_s: When, in Unix seconds.
        """
        classic, quantum = self._keys
        first, second = (
            checkpoint.message(key.algorithm, name=key.name, time_s=time_s)
            for key in self._keys
        )
        return signature_line(
            classic, self._classic.sign(first), time_s=time_s
        ) + signature_line(quantum, self._quantum.sign(second), time_s=time_s)
