# SPDX-License-Identifier: Apache-2.0
"""Two listings side by side: what one bucket has, and the other has not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from strongroom_server.ports import BlobVersion


@dataclass(frozen=True, slots=True)
class Listed:
    """All versions of one key of the source, of which the oldest is what readers take.

    Attributes:
        first: The oldest.
        version_ids: Of as many as were asked for, the oldest first.
    """

    first: BlobVersion
    version_ids: tuple[str, ...]


def gathered(versions: Iterable[BlobVersion], *, most: int) -> Iterator[Listed]:
    """Yield each key of a listing of all versions once.

    Args:
        versions: In order of key, the newest first within a key.
        most: How many version ids of a key are told; of more, the oldest ones.
    """
    first: BlobVersion | None = None
    ids: list[str] = []
    for item in versions:
        if first is not None and item.key != first.key:
            yield Listed(first, tuple(reversed(ids)))
            ids = []
        first = item
        ids = [*ids[-(most - 1) :], item.version_id] if most > 1 else [item.version_id]
    if first is not None:
        yield Listed(first, tuple(reversed(ids)))


def side_by_side(
    source: Iterable[Listed], target: Iterator[BlobVersion]
) -> Iterator[tuple[Listed, BlobVersion | None]]:
    """Yield each key of the source with what the target has under it.

    Both are in order of key; neither is held in memory.
    """
    there = next(target, None)
    for item in source:
        while there is not None and there.key < item.first.key:
            there = next(target, None)
        is_same = there is not None and there.key == item.first.key
        yield item, there if is_same else None


def both_sides(
    source: Iterator[BlobVersion], target: Iterator[BlobVersion]
) -> Iterator[tuple[BlobVersion | None, BlobVersion | None]]:
    """Yield every key that either has, with what each has under it."""
    here, there = next(source, None), next(target, None)
    while here is not None or there is not None:
        if there is None or (here is not None and here.key < there.key):
            yield here, None
            here = next(source, None)
        elif here is None or there.key < here.key:
            yield None, there
            there = next(target, None)
        else:
            yield here, there
            here, there = next(source, None), next(target, None)
