# SPDX-License-Identifier: Apache-2.0
"""What a drill restores: versions, and parts of large ones, drawn by a seed.

The seed stands in the report, so that anybody who has the backup's root can tell
that the sample was drawn, and not chosen.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

SEED_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Drawn:
    """A version that may be restored, by the ids of its project and artifact."""

    project: bytes
    artifact: bytes
    version: int


#: Of a journal: project, artifact, and ranges of versions, both ends included.
Ranges = tuple[bytes, bytes, tuple[tuple[int, int], ...]]


def draw(seed: bytes, journals: Iterable[Ranges], count: int) -> list[Drawn]:
    """Return up to `count` versions, in the order that the seed gives."""
    return heapq.nsmallest(count, _all(journals), key=lambda item: _rank(seed, item))


def draw_window(
    seed: bytes, version: Drawn, size_bytes: int, room_bytes: int
) -> tuple[int, int]:
    """Return from where to where a version is restored, in bytes of all its files.

    Files count in order of path. All of it, if there is room for so much.
    """
    if size_bytes <= room_bytes:
        return 0, size_bytes
    number = int.from_bytes(_digest(seed + b"window", version), "big")
    start = number % (size_bytes - room_bytes + 1)
    return start, start + room_bytes


def _all(journals: Iterable[Ranges]) -> Iterator[Drawn]:
    for project, artifact, ranges in journals:
        for first, last in ranges:
            for version in range(first, last + 1):
                yield Drawn(project, artifact, version)


def _rank(seed: bytes, item: Drawn) -> bytes:
    return _digest(seed + b"version", item)


def _digest(seed: bytes, item: Drawn) -> bytes:
    named = item.project + item.artifact + item.version.to_bytes(8, "big")
    return hashlib.sha256(seed + named).digest()
