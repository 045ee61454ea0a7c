# SPDX-License-Identifier: Apache-2.0
"""What somebody who holds a bucket does to a sequence of objects in it."""

from collections.abc import Callable

from strongroom_server.adapters.memory import MemoryBlobStore

#: Key, version id and bytes of an object.
Stored = tuple[str, str, bytes]
#: Takes the bucket and the sequence, oldest first.
Change = Callable[[MemoryBlobStore, list[Stored]], object]


def copied(bucket: MemoryBlobStore) -> MemoryBlobStore:
    """Return a bucket with the same objects."""
    copy = MemoryBlobStore()
    copy._versions = {key: list(stored) for key, stored in bucket._versions.items()}
    copy._count = bucket._count
    return copy


def stored_below(bucket: MemoryBlobStore, prefix: str) -> list[Stored]:
    """Return the objects below a prefix, in the order in which they were written."""
    return [
        (item.key, item.version_id, data)
        for item, data in bucket.objects()
        if item.key.startswith(prefix)
    ]


def remove(*places: int) -> Change:
    """Take objects away for good, with all their versions."""

    def change(bucket: MemoryBlobStore, stored: list[Stored]) -> None:
        for place in places:
            bucket.delete_version(*stored[place][:2])

    return change


def cut(count: int) -> Change:
    """Take the newest objects away."""
    return remove(*range(-count, 0))


def put(place: int, data: bytes) -> Change:
    """Put other bytes in the place of an object's."""
    return lambda bucket, stored: bucket.corrupt(*stored[place][:2], data)


def exchange(one: int, other: int) -> Change:
    """Let the bytes of two objects change places."""

    def change(bucket: MemoryBlobStore, stored: list[Stored]) -> None:
        bucket.corrupt(*stored[one][:2], stored[other][2])
        bucket.corrupt(*stored[other][:2], stored[one][2])

    return change


def append(data: Callable[[list[Stored]], bytes]) -> Change:
    """Add an object at the next number."""

    def change(bucket: MemoryBlobStore, stored: list[Stored]) -> None:
        folder = stored[0][0].rpartition("/")[0]
        bucket.put_new(f"{folder}/{len(stored):020d}", data(stored))

    return change


def append_again(place: int) -> Change:
    """Add an object at the next number that has the bytes of an earlier one."""
    return append(lambda stored: stored[place][2])
