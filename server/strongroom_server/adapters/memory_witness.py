# SPDX-License-Identifier: Apache-2.0
"""What a witness keeps, in memory, for tests."""

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom_server.core.signed_note import (
    Checkpoint,
    NoteAlgorithm,
    NoteKey,
    signature_line,
)
from strongroom_server.ports import CosigningKeys, Entropy, WitnessState

_SEED_BYTES: Final = 32


class MemoryWitnessState:
    """Notes by origin; safe to use from many threads."""

    def __init__(self) -> None:
        self._notes: dict[str, bytes] = {}

    def newest(self, origin: str) -> bytes | None:
        """See `WitnessState`."""
        return self._notes.get(origin)

    def keep(self, origin: str, note: bytes) -> None:
        """See `WitnessState`."""
        self._notes[origin] = note


class MemoryCosigningKeys:
    """Keys of a witness, made anew; safe to use from many threads."""

    def __init__(self, name: str, *, entropy: Entropy) -> None:
        seeds = [entropy.token_bytes(_SEED_BYTES) for _ in range(2)]
        self._classic = Ed25519PrivateKey.from_private_bytes(seeds[0])
        self._quantum = mldsa.MLDSA44PrivateKey.from_seed_bytes(seeds[1])
        public = self._classic.public_key().public_bytes_raw()
        large = self._quantum.public_key().public_bytes_raw()
        self._keys = (
            NoteKey(name, NoteAlgorithm.ED25519_COSIGNATURE, public),
            NoteKey(name, NoteAlgorithm.ML_DSA_44, large),
        )

    @property
    def keys(self) -> Sequence[NoteKey]:
        """See `CosigningKeys`."""
        return self._keys

    def cosign(self, checkpoint: Checkpoint, *, time_s: int) -> bytes:
        """See `CosigningKeys`."""
        classic, quantum = self._keys
        first, second = (
            checkpoint.message(key.algorithm, name=key.name, time_s=time_s)
            for key in self._keys
        )
        return signature_line(
            classic, self._classic.sign(first), time_s=time_s
        ) + signature_line(quantum, self._quantum.sign(second), time_s=time_s)


_state: type[WitnessState] = MemoryWitnessState
_keys: type[CosigningKeys] = MemoryCosigningKeys
