# SPDX-License-Identifier: Apache-2.0
"""Datasets of many small files, the same for the same seed."""

import os
import random
from pathlib import Path
from typing import Final

_POOL_BYTES: Final = 16 * 1024 * 1024


def write_dataset(
    folder: Path, *, count: int, sizes: tuple[int, int], per_folder: int, seed: int
) -> int:
    """Write files of bytes that no codec can shrink; return their bytes in all.

    Args:
        folder: Where; made here.
        count: How many files.
        sizes: The smallest and the largest file, in bytes; evenly spread.
        per_folder: How many files a directory holds.
        seed: Decides about sizes and bytes.
    """
    dice = random.Random(seed)
    pool = dice.randbytes(_POOL_BYTES)
    total = 0
    for first in range(0, count, per_folder):
        below = folder / f"part-{first // per_folder:05}"
        below.mkdir(parents=True)
        for number in range(first, min(first + per_folder, count)):
            size = dice.randint(*sizes)
            # Its number makes each file another; the rest may begin anywhere.
            start = dice.randrange(_POOL_BYTES - size)
            data = number.to_bytes(8, "big") + pool[start : start + size - 8]
            _write(f"{below}/{number:07}.bin", data)
            total += size
    return total


def change_one(folder: Path, number: int, *, per_folder: int, seed: int) -> int:
    """Give one file other bytes, of the same size; return that size."""
    path = folder / f"part-{number // per_folder:05}" / f"{number:07}.bin"
    size = path.stat().st_size
    path.write_bytes(random.Random(seed).randbytes(size))
    return size


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
