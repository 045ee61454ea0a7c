# SPDX-License-Identifier: Apache-2.0
"""Keys of the audit log's checkpoints in memory, for tests."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom_server.core.signed_note import (
    LOG_ALGORITHMS,
    Checkpoint,
    NoteAlgorithm,
    NoteKey,
    format_note,
    signature_line,
)
from strongroom_server.ports import CheckpointSigner, Entropy

_SEED_BYTES = 32


class MemoryCheckpointSigner:
    """Both keys, every version of them; safe to use from many threads."""

    def __init__(self, *, entropy: Entropy) -> None:
        self._entropy = entropy
        self._classic: list[Ed25519PrivateKey] = []
        self._quantum: list[mldsa.MLDSA44PrivateKey] = []
        self.rotate()

    def rotate(self) -> None:
        """Make a new version of both keys, which signs from now on."""
        seeds = [self._entropy.token_bytes(_SEED_BYTES) for _ in LOG_ALGORITHMS]
        self._classic.append(Ed25519PrivateKey.from_private_bytes(seeds[0]))
        self._quantum.append(mldsa.MLDSA44PrivateKey.from_seed_bytes(seeds[1]))

    def keys(self, name: str) -> Sequence[NoteKey]:
        """See `CheckpointSigner`."""
        return [
            *(_classic_key(name, key) for key in self._classic),
            *(_quantum_key(name, key) for key in self._quantum),
        ]

    def sign(self, checkpoint: Checkpoint, *, time_s: int) -> bytes:
        """See `CheckpointSigner`."""
        name = checkpoint.origin
        classic, quantum = self._classic[-1], self._quantum[-1]
        messages = [
            checkpoint.message(algorithm, name=name, time_s=time_s)
            for algorithm in LOG_ALGORITHMS
        ]
        signed = (
            (_classic_key(name, classic), classic.sign(messages[0])),
            (_quantum_key(name, quantum), quantum.sign(messages[1])),
        )
        lines = [signature_line(key, value, time_s=time_s) for key, value in signed]
        return format_note(checkpoint, lines)


def _classic_key(name: str, key: Ed25519PrivateKey) -> NoteKey:
    return NoteKey(name, NoteAlgorithm.ED25519, key.public_key().public_bytes_raw())


def _quantum_key(name: str, key: mldsa.MLDSA44PrivateKey) -> NoteKey:
    return NoteKey(name, NoteAlgorithm.ML_DSA_44, key.public_key().public_bytes_raw())


_signer: type[CheckpointSigner] = MemoryCheckpointSigner
