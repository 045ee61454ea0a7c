# SPDX-License-Identifier: Apache-2.0
"""Randomness that a seed repeats."""

import random
import threading

from strongroom_server.ports import Entropy


class SeededEntropy:
    """The same bytes for the same seed and order of calls."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)

    def token_bytes(self, size: int) -> bytes:
        with self._lock:
            return self._random.randbytes(size)


_entropy: type[Entropy] = SeededEntropy
