# SPDX-License-Identifier: Apache-2.0
"""A versioned bucket that every server of a simulation shares; no faults in it.

The rules are those of `MemoryBlobStore`, which passes the same contract suite;
listings are found by bisection, and a copy is cheap, since each seed begins with
one. Listings are strongly consistent, as the design demands of a store and
`strongroom doctor` proves; a long one is not one instant: every page is.
"""

import zlib
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

from strongroom.errors import IntegrityError, Reason
from strongroom_server.ports import BlobExistsError, BlobNotFoundError, BlobVersion


@dataclass(frozen=True, slots=True)
class Stored:
    """A version, and how a listing shows it; a delete marker has no data."""

    version_id: str
    data: bytes | None
    listed: BlobVersion


class Bucket:
    """Keys with all their versions, oldest first."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Stored]] = {}
        self._keys: list[str] = []
        #: What decided last who was first; adversaries like it.
        self.last_key = ""

    def copy(self) -> "Bucket":
        """Return a bucket of its own with the same objects."""
        other = Bucket()
        other._versions = {key: list(held) for key, held in self._versions.items()}
        other._keys = list(self._keys)
        return other

    def put_new(self, key: str, data: bytes, now_s: float) -> str:
        """See `BlobStore`."""
        held = self._versions.get(key)
        if held and held[-1].data is not None:
            raise BlobExistsError(key)
        if key.startswith(("journals/", "sweep/")):
            self.last_key = key
        return self.add(key, data, now_s)

    def add(self, key: str, data: bytes | None, now_s: float) -> str:
        """Put a version, or a marker, over whatever is there."""
        held = self._versions.get(key)
        if held is None:
            held = self._versions[key] = []
            insort(self._keys, key)
        # Of this key only, so that one key's id never fits another's.
        number = int(held[-1].version_id.rpartition("-")[2]) + 1 if held else 1
        version_id = version_id_of(key, number)
        listed = BlobVersion(key, version_id, len(data or b""), now_s)
        held.append(Stored(version_id, data, listed))
        return version_id

    def find(self, key: str, version_id: str) -> bytes:
        """Return a version's bytes; BlobNotFoundError if there are none."""
        for stored in self._versions.get(key, ()):
            if stored.version_id == version_id and stored.data is not None:
                return stored.data
        raise BlobNotFoundError(key)

    def remove(self, key: str, version_id: str) -> bool:
        """Remove one version for ever; return whether it was there."""
        held = self._versions.get(key, [])
        kept = [item for item in held if item.version_id != version_id]
        if len(kept) == len(held):
            return False
        if kept:
            self._versions[key] = kept
        else:
            del self._versions[key]
            del self._keys[bisect_left(self._keys, key)]
        return True

    def page(self, prefix: str, start_after: str, limit: int) -> list[BlobVersion]:
        """Return the oldest versions of the first keys behind `start_after`."""
        keys = self._keys
        place = bisect_left(keys, prefix)
        if start_after:
            place = max(place, bisect_right(keys, start_after))
        found: list[BlobVersion] = []
        while place < len(keys) and len(found) < limit:
            key = keys[place]
            if not key.startswith(prefix):
                break
            for stored in self._versions[key]:
                if stored.data is not None:
                    found.append(stored.listed)
                    break
            place += 1
        return found

    def keys(self, prefix: str = "") -> list[str]:
        """Return every key, in order."""
        return [key for key in self._keys if key.startswith(prefix)]


def version_id_of(key: str, number: int) -> str:
    """Return the id that a key's n-th version has, from 1."""
    return f"{zlib.crc32(key.encode()):08x}-{number}"


def too_long(size_bytes: int, max_bytes: int) -> IntegrityError:
    """Return the error for an object that is longer than it may be."""
    return IntegrityError(
        f"a stored object has {size_bytes} bytes, more than {max_bytes}",
        reason=Reason.RECORD_CORRUPT,
    )
