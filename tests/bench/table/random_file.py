# SPDX-License-Identifier: Apache-2.0
"""Files of bytes that no codec shrinks, the same for the same seed."""

import hashlib
import random
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 16 << 20


def write_random(path: Path, size_bytes: int, *, seed: int = 0) -> str:
    """Write so many random bytes; return their SHA-256 as hex digits."""
    dice, digest = random.Random(seed), hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size_bytes, _BLOCK_BYTES):
            block = dice.randbytes(min(_BLOCK_BYTES, size_bytes - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
