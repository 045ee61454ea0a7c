# SPDX-License-Identifier: Apache-2.0
"""Suites: the two choices that an object's suite number stands for.

Segment size: 16 KiB as C2SP publishes it, or 1 MiB, which leaves the GIL alone.
Chunk digest: SHA-256, or BLAKE3, which is three times as fast.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import blake3

from strongroom_server.core.cobblestone import C2SP_SEGMENT_BYTES


class DigestAlgorithm(StrEnum):
    """How chunks and packs are digested."""

    SHA256 = "sha256"
    BLAKE3 = "blake3"


@dataclass(frozen=True, slots=True)
class Suite:
    """What a suite number means."""

    number: int
    segment_bytes: int
    digest_algorithm: DigestAlgorithm

    def digest(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return the 32-byte digest of a chunk or pack. Releases the GIL inside."""
        match self.digest_algorithm:
            case DigestAlgorithm.SHA256:
                return hashlib.sha256(data).digest()
            case DigestAlgorithm.BLAKE3:
                return blake3.blake3(data).digest()


_MIB: Final = 1024 * 1024

SUITES: Final = {
    suite.number: suite
    for suite in (
        Suite(0x0001, C2SP_SEGMENT_BYTES, DigestAlgorithm.SHA256),
        Suite(0x0002, C2SP_SEGMENT_BYTES, DigestAlgorithm.BLAKE3),
        Suite(0x0003, _MIB, DigestAlgorithm.SHA256),
        Suite(0x0004, _MIB, DigestAlgorithm.BLAKE3),
    )
}

#: docs/adr/0003: measured fastest; nothing in it is weaker.
DEFAULT_SUITE: Final = SUITES[0x0004]
#: For stores that may use NIST's algorithms only.
FIPS_SUITE: Final = SUITES[0x0003]
#: Control objects are small: C2SP's own segment size.
CONTROL_SUITE: Final = SUITES[0x0001]


def find_suite(number: int) -> Suite:
    """Return a suite.

    Raises:
        ValueError: The number is unknown to this release.
    """
    try:
        return SUITES[number]
    except KeyError:
        message = f"suite {number:#06x} is unknown"
        raise ValueError(message) from None
