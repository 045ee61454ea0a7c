# SPDX-License-Identifier: Apache-2.0
"""Suites: the choices that an object's suite number stands for.

Segment size: 16 KiB as C2SP publishes it, or 1 MiB, which leaves the GIL alone.
Chunk digest: SHA-256, or BLAKE3, which is three times as fast.
Chunk names: by the content that the server saw, or by who says so (`BY_WRITER`).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    """What a suite number means.

    Attributes:
        number: The number.
        segment_bytes: How much plaintext one segment has.
        digest_algorithm: How chunks and packs are digested.
        by_writer: Whether chunks are named by what a writer says of them, who has
            encrypted them: the names are of that writer alone.
    """

    number: int
    segment_bytes: int
    digest_algorithm: DigestAlgorithm
    by_writer: bool = False

    def digest(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return the 32-byte digest of a chunk or pack. Releases the GIL inside."""
        match self.digest_algorithm:
            case DigestAlgorithm.SHA256:
                return hashlib.sha256(data).digest()
            case DigestAlgorithm.BLAKE3:
                return blake3.blake3(data).digest()

    def digest_of(self, pieces: Iterable[bytes | bytearray | memoryview]) -> bytes:
        """Return the same of what is given in pieces."""
        match self.digest_algorithm:
            case DigestAlgorithm.SHA256:
                sha256 = hashlib.sha256()
                for piece in pieces:
                    sha256.update(piece)
                return sha256.digest()
            case DigestAlgorithm.BLAKE3:
                hasher = blake3.blake3()
                for piece in pieces:
                    hasher.update(piece)
                return hasher.digest()


_MIB: Final = 1024 * 1024
#: Set in the number of a suite whose chunks are named by their writer.
BY_WRITER: Final = 0x0100

_OWN: Final = (
    Suite(0x0001, C2SP_SEGMENT_BYTES, DigestAlgorithm.SHA256),
    Suite(0x0002, C2SP_SEGMENT_BYTES, DigestAlgorithm.BLAKE3),
    Suite(0x0003, _MIB, DigestAlgorithm.SHA256),
    Suite(0x0004, _MIB, DigestAlgorithm.BLAKE3),
)
SUITES: Final = {
    suite.number: suite
    for suite in (
        *_OWN,
        *(
            replace(suite, number=suite.number | BY_WRITER, by_writer=True)
            for suite in _OWN
        ),
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


def writer_suite(suite: Suite) -> Suite:
    """Return the suite that differs only in that writers name the chunks."""
    return SUITES[suite.number | BY_WRITER]
