# SPDX-License-Identifier: Apache-2.0
"""What a witness keeps, in memory, for tests."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom_server.core.cosigning_pair import CosigningPair
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


class MemoryCosigningKeys(CosigningPair):
    """Keys of a witness, made anew; safe to use from many threads."""

    def __init__(self, name: str, *, entropy: Entropy) -> None:
        classic, quantum = (entropy.token_bytes(_SEED_BYTES) for _ in range(2))
        super().__init__(
            name,
            Ed25519PrivateKey.from_private_bytes(classic),
            mldsa.MLDSA44PrivateKey.from_seed_bytes(quantum),
        )


_state: type[WitnessState] = MemoryWitnessState
_keys: type[CosigningKeys] = MemoryCosigningKeys
