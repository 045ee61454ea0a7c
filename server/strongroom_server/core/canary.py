# SPDX-License-Identifier: Apache-2.0
"""The canary: an artifact whose bytes follow from the store's id, whatever is stored.

Drills restore it. What it must hold is known apart from the store that it lies in,
its journals and its backups, so that nobody can put other bytes in its place, and
digests that fit them.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from strongroom.format.digest import VersionDigester, format_digest, path_order
from strongroom.format.names import ArtifactName

CANARY: Final = ArtifactName("strongroom", "canary")
_LABEL: Final = b"strongroom.v1/canary/1\0"
#: Noise that no codec makes smaller, in several chunks; text that shrinks; nothing.
_NOISE: Final = (("noise.bin", 1024 * 1024), ("shards/0/noise.bin", 70_001))
_LINES: Final = ("shards/lines.txt", 4096)
_EMPTY: Final = "empty"


@dataclass(frozen=True, slots=True)
class CanaryFile:
    """One of its files."""

    path: str
    data: bytes

    @property
    def digest(self) -> str:
        """Of its bytes."""
        return format_digest(hashlib.sha256(self.data).digest())


def canary_files(store: bytes) -> tuple[CanaryFile, ...]:
    """Return the files of a store's canary, in byte order of path: about 1.2 MiB."""
    path, count = _LINES
    line = b"%s line of a canary\n" % store.hex().encode()
    files = [
        CanaryFile(_EMPTY, b""),
        CanaryFile(path, line * count),
        *(CanaryFile(path, _noise(store, path, size)) for path, size in _NOISE),
    ]
    return tuple(sorted(files, key=lambda file: path_order(file.path)))


def canary_digest(store: bytes) -> str:
    """Return the digest that each version of a store's canary has."""
    digester = VersionDigester()
    for file in canary_files(store):
        digester.add(file.path, len(file.data), file.digest)
    return digester.digest()


def _noise(store: bytes, path: str, size_bytes: int) -> bytes:
    return hashlib.shake_256(_LABEL + store + path.encode()).digest(size_bytes)
