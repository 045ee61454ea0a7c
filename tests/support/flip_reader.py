# SPDX-License-Identifier: Apache-2.0
"""Flip bits in an index's file while it is open, and read everything after each.

Run as `python -m tests.support.flip_reader DIRECTORY SEED COUNT`, in a process of
its own: a damaged tree may kill it. Prints WRONG if a value is ever not the one
that was stored, and the counts of right and absent reads at the end.
"""

import os
import random
import sys
from pathlib import Path

from strongroom_server.adapters.lmdb_index import open_lmdb_index

ITEMS = {b"key/%04d" % number: b"value %04d" % number * 9 for number in range(300)}
MAC_KEY = b"\x07" * 32


def main(directory: Path, seed: int, count: int) -> None:
    dice = random.Random(seed)
    tally = {"right": 0, "absent": 0}
    with open_lmdb_index(directory, mac_key=MAC_KEY, map_size_bytes=2**20) as index:
        for _ in range(count):
            index.put_many(ITEMS)
            flip_bit(directory / "data.mdb", dice)
            scanned = dict(index.scan(b"key/"))
            for key, value in ITEMS.items():
                found = index.get(key)
                if found not in {None, value} or scanned.get(key, value) != value:
                    print("WRONG", key, found, scanned.get(key))  # noqa: T201
                tally["absent" if found is None else "right"] += 1
            if not scanned.keys() <= ITEMS.keys():
                print("WRONG", "keys that were never stored")  # noqa: T201
    print(tally)  # noqa: T201


def flip_bit(path: Path, dice: random.Random) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        offset = dice.randrange(os.fstat(fd).st_size)
        byte = os.pread(fd, 1, offset)[0] ^ (1 << dice.randrange(8))
        os.pwrite(fd, bytes([byte]), offset)
    finally:
        os.close(fd)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
