# SPDX-License-Identifier: Apache-2.0
"""Messages of writes: small items gathered, large blocks by themselves."""

from collections.abc import Iterator
from typing import Final

from strongroom.format.frames import FRAMED_BYTES, BlockFrame
from strongroom.v1 import transfer_service_pb2 as pb

#: Limits of `TransferItems`; see transfer_service.proto.
BLOCK_BYTES: Final = 1 << 20
MAX_ITEMS: Final = 1000

#: What a write sends.
Request = pb.WriteVersionRequest | BlockFrame


class Batch:
    """Gathers items until a message is full: 1 MiB of data, or 1000 items.

    Large blocks are not gathered: each is a message.
    """

    def __init__(self) -> None:
        self._items: list[pb.TransferItem] = []
        self._data_bytes = 0

    def add(self, item: pb.TransferItem | BlockFrame) -> Iterator[Request]:
        """Take an item, and yield the messages that are full by now."""
        data_bytes = 0
        if isinstance(item, BlockFrame):
            if len(item.data) >= FRAMED_BYTES:
                yield from self.flush()
                yield item
                return
            data_bytes = len(item.data)
            data = bytes(item.data)
            item = pb.TransferItem(
                block=pb.Block(offset_bytes=item.offset_bytes, data=data)
            )
        full = len(self._items) >= MAX_ITEMS
        if full or self._data_bytes + data_bytes > BLOCK_BYTES:
            yield from self.flush()
        self._items.append(item)
        self._data_bytes += data_bytes
        if item.HasField("source"):
            yield from self.flush()  # the server reads while we look at the next file

    def flush(self) -> Iterator[Request]:
        """Yield what is gathered, if anything."""
        if self._items:
            yield pb.WriteVersionRequest(items=pb.TransferItems(items=self._items))
        self._items = []
        self._data_bytes = 0
