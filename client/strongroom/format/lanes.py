# SPDX-License-Identifier: Apache-2.0
"""Lanes: what client and server say to each other beside memory that they share.

A lane is a connection of one process to the server's data socket, a Unix socket of
type SOCK_SEQPACKET. File descriptors of sealed memory come along it, and it says
which parts the reader is done with. Which bytes of which file lie where, the answers
of ReadVersion say. The other way come descriptors of files that the server is to read
by itself, as requests of WriteVersion say. Every message has the same 56 bytes:

    magic (4) || kind (1) || zero (3) || number (8) || value (8) || token (32)
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason

MAGIC: Final = b"SRL1"
TOKEN_BYTES: Final = 32
_MESSAGE: Final = struct.Struct("<4sB3sQQ32s")
MESSAGE_BYTES: Final = _MESSAGE.size
#: Beside a Unix socket of gRPC, the data socket has its path and this behind it.
SOCKET_SUFFIX: Final = ".shared"
#: What the address of a Unix socket holds. A longer path is named by its folder's
#: descriptor, below /proc, which a process that hides its memory may not do.
MAX_ADDRESS_BYTES: Final = 107
#: A smaller file is sent sooner than handed over.
MIN_SOURCE_BYTES: Final = 1024 * 1024
#: Descriptors of one lane that the server has not been done with.
MAX_SOURCES: Final = 8
#: Files are read from here only (linux/magic.h): a file system in another process, or
#: on another machine, may keep who reads it waiting for ever. Memory (tmpfs, ramfs,
#: hugetlbfs), ext2 to ext4, XFS, Btrfs, overlayfs, F2FS, ZFS, bcachefs. It is what a
#: client offers; the server, which need not believe it, looks at its own mounts.
SOURCE_FILE_SYSTEMS: Final = frozenset(
    {
        0x01021994,
        0x858458F6,
        0x958458F6,
        0xEF53,
        0x58465342,
        0x9123683E,
        0x794C7630,
        0xF2F52010,
        0x2FC12FC1,
        0xCA451A4E,
    }
)
#: The metadata by which a call names its lane and its own number in it. No part of
#: the request: what people approve is the same in every lane.
LANE_HEADER: Final = "strongroom-lane-bin"
_NAMED: Final = struct.Struct("<32sQ")


class LaneKind(IntEnum):
    """What a message of a lane says."""

    #: To the reader, first: the lane's `token`, which calls name it by.
    WELCOME = 1
    #: To the reader, with a descriptor: segment `number` has `value` bytes.
    SEGMENT = 2
    #: To the reader, with a descriptor: mapping `number` has `value` bytes.
    MAPPING = 3
    #: To the server: of read `number`, the first `value` blocks are done with.
    DONE = 4
    #: To the server: read `number` is over; whatever it still held is done with.
    ENDED = 5
    #: To the server: mapping `number` is mapped once less.
    UNMAPPED = 6
    #: To the server, with a descriptor: source `value` of call `number`.
    SOURCE = 7


@dataclass(frozen=True, slots=True)
class LaneMessage:
    """One message; `token` is empty but in a welcome."""

    kind: LaneKind
    number: int = 0
    value: int = 0
    token: bytes = b""

    def __repr__(self) -> str:
        return f"LaneMessage({self.kind.name}, {self.number}, {self.value})"

    def encode(self) -> bytes:
        """Return the message's bytes."""
        return _MESSAGE.pack(
            MAGIC, self.kind, bytes(3), self.number, self.value, self.token
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a message.

        Raises:
            IntegrityError: It is none (RECORD_CORRUPT).
        """
        if len(data) != MESSAGE_BYTES:
            raise _malformed(f"{len(data)} bytes")
        magic, kind, zero, number, value, token = _MESSAGE.unpack(data)
        if magic != MAGIC or zero != bytes(3) or kind not in set(LaneKind):
            raise _malformed("an unknown kind")
        is_welcome = kind == LaneKind.WELCOME
        if is_welcome != any(token):
            raise _malformed("a token out of place")
        return cls(LaneKind(kind), number, value, token if is_welcome else b"")


def name_read(token: bytes, number: int) -> bytes:
    """Return the value of `LANE_HEADER`."""
    return _NAMED.pack(token, number)


def parse_read(value: bytes) -> tuple[bytes, int]:
    """Return the lane's token and the read's number.

    Raises:
        InvalidArgumentError: The value is malformed (ARGUMENT_INVALID).
    """
    if len(value) != _NAMED.size:
        message = f"{LANE_HEADER} has {len(value)} bytes, not {_NAMED.size}"
        raise InvalidArgumentError(message)
    token, number = _NAMED.unpack(value)
    return token, number


def _malformed(problem: str) -> IntegrityError:
    return IntegrityError(
        f"not a message of a lane: {problem}",
        reason=Reason.RECORD_CORRUPT,
        hint="Both sides must be of the same release of Strongroom.",
    )
