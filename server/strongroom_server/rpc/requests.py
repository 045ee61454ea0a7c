# SPDX-License-Identifier: Apache-2.0
"""The requests of a streaming call, read ahead by one thread and with a time limit.

gRPC's own iterator waits for ever. Reading in a thread of its own lets the next
block arrive and decode while the last one is encrypted, and lets the call end
with a status that says why when nothing arrives.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Final

import grpc
from google.protobuf.message import DecodeError, Message

from strongroom.errors import (
    CancelledError,
    InvalidArgumentError,
    Reason,
    UnavailableError,
)
from strongroom.format.frames import BlockFrame
from strongroom_server.rpc.wire import BATCHES, FLAT, check_field_count

#: At most this many decoded requests wait; each has at most 4 MiB.
MAX_WAITING: Final = 2
#: How often a reader that waits for room looks whether the call is over.
_POLL_S: Final = 0.5

Decode = Callable[[bytes], Message]


def decode_request(decode: Decode, data: bytes, *, depth: int = FLAT) -> Message:
    """Decode one request, or raise InvalidArgumentError (ARGUMENT_INVALID).

    Args:
        decode: The message's decoder.
        data: The request as it came.
        depth: How many levels of messages it has; see `check_field_count`.
    """
    check_field_count(data, depth=depth)
    try:
        return decode(data)
    except DecodeError as error:
        message = f"the request of {len(data)} bytes is not the method's message"
        raise InvalidArgumentError(message) from error


class RequestStream:
    """The requests of one call: the first, then those that are read ahead."""

    def __init__(
        self, first: Message, rest: "RequestReader", check: Callable[[], None]
    ) -> None:
        """`check` is called before each request but the first, and may raise."""
        self._first: Message | None = first
        self._rest = rest
        self._check = check

    def __iter__(self) -> Iterator[Message | BlockFrame]:
        return self

    def __next__(self) -> Message | BlockFrame:
        """Return the next request; errors as `RequestReader`."""
        first, self._first = self._first, None
        if first is not None:
            return first
        request = next(self._rest)
        self._check()
        return request

    @property
    def is_waiting(self) -> bool:
        """Whether `__next__` returns at once: with a request, or with the end."""
        return self._first is not None or self._rest.is_waiting


class RequestReader:
    """An iterator over requests, to be closed when the call ends.

    All but the first may be block frames, which nobody copies.
    """

    def __init__(
        self,
        source: Iterator[bytes],
        decode: Decode,
        *,
        stall_s: float,
        depth: int = BATCHES,
    ) -> None:
        self._source = source
        self._decode = decode
        self._stall_s = stall_s
        self._depth = depth
        self._queue: queue.Queue[Message | BlockFrame | Exception | None] = queue.Queue(
            MAX_WAITING
        )
        self._closed = threading.Event()
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def __iter__(self) -> Iterator[Message | BlockFrame]:
        return self

    def __next__(self) -> Message | BlockFrame:
        """Return the next request.

        Raises:
            UnavailableError: Nothing came for too long (STALLED).
            CancelledError: The caller gave up.
            InvalidArgumentError: It does not decode.
        """
        try:
            item = self._queue.get(timeout=self._stall_s)
        except queue.Empty:
            message = f"the caller sent nothing for {self._stall_s:g} seconds"
            raise UnavailableError(
                message,
                reason=Reason.STALLED,
                hint="Check the network, then try again.",
                seconds=f"{self._stall_s:g}",
            ) from None
        if item is None:
            # So that asking again does not wait for what cannot come.
            self._queue.put(None)
            raise StopIteration
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Stop reading ahead; the thread ends when gRPC ends the call."""
        self._closed.set()

    @property
    def is_waiting(self) -> bool:
        """Whether `__next__` returns at once: with a request, or with the end."""
        return not self._queue.empty()

    def _read(self) -> None:
        last: Exception | None = None
        try:
            may_be_frame = False
            for data in self._source:
                frame = BlockFrame.parse(data) if may_be_frame else None
                request = frame or decode_request(self._decode, data, depth=self._depth)
                if not self._put(request):
                    return
                may_be_frame = self._depth == BATCHES
        except grpc.RpcError:
            last = CancelledError("the caller gave up")
        except Exception as error:  # noqa: BLE001 (`__next__` raises it)
            last = error
        self._put(last)

    def _put(self, item: Message | BlockFrame | Exception | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
