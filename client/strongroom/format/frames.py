# SPDX-License-Identifier: Apache-2.0
"""A message that carries one block and nothing else, made and read by hand.

Most bytes of a transfer travel so. Protobuf copies a block each time that it is put
into a message, taken out of one, encoded or decoded: six times from file to wire.
Here it is copied once on the way out and not at all on the way in. The bytes on the
wire are those of protobuf, which reads what we write, and everything else.
"""

from dataclasses import dataclass
from typing import Final, Self

#: `FileStart.size_bytes` of a file whose size is not known yet.
UNKNOWN_SIZE: Final = -1
#: A block of this size goes by itself; smaller ones share messages.
FRAMED_BYTES: Final = 64 * 1024

#: `items` of a request or response, `items` of these, and `block` of one of them:
#: each a field of a message, in transfer_service.proto and maintenance_service.proto.
_LEVELS: Final = (b"\x12", b"\x0a", b"\x12")
#: `offset_bytes` and `data` of a block.
_OFFSET: Final = 0x08
_DATA: Final = 0x12
_MAX_OFFSET_BYTES: Final = 9  # 63 bits; an int64 below zero would have ten
_MAX_SIZE_BYTES: Final = 4  # more than any message may have


@dataclass(frozen=True, slots=True)
class BlockFrame:
    """One block of a file.

    Attributes:
        offset_bytes: The position of its first byte in the file.
        data: The bytes. Of a frame that was read: a view of the message.
    """

    offset_bytes: int
    data: bytes | memoryview

    def encode(self) -> bytes:
        """Return the message, as protobuf would encode it."""
        head = bytearray()
        if self.offset_bytes:
            head.append(_OFFSET)
            head += _varint(self.offset_bytes)
        if self.data:
            head.append(_DATA)
            head += _varint(len(self.data))
        for tag in reversed(_LEVELS):
            head = bytearray(tag) + _varint(len(head) + len(self.data)) + head
        return b"".join((head, self.data))

    @classmethod
    def parse(cls, message: bytes) -> Self | None:
        """Return the block of a message; None if there is more in it, or less.

        Such a message may still be a good one: protobuf decides.
        """
        position = 0
        for tag in _LEVELS:
            if message[position : position + 1] != tag:
                return None
            size, position = _read_varint(message, position + 1, _MAX_SIZE_BYTES)
            if position + size != len(message):
                return None
        offset_bytes = 0
        if message[position : position + 1] == bytes([_OFFSET]):
            offset_bytes, position = _read_varint(
                message, position + 1, _MAX_OFFSET_BYTES
            )
        if message[position : position + 1] != bytes([_DATA]):
            return None
        size, position = _read_varint(message, position + 1, _MAX_SIZE_BYTES)
        if position + size != len(message):
            return None
        return cls(offset_bytes, memoryview(message)[position:])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(message: bytes, position: int, max_bytes: int) -> tuple[int, int]:
    """Return a number and where it ends; one without an end lies past everything."""
    number = 0
    for index, byte in enumerate(message[position : position + max_bytes]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 (the bit that says that more follows)
            return number, position + index + 1
    return 0, len(message) + 1
