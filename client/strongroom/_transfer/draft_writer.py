# SPDX-License-Identifier: Apache-2.0
"""A file of a draft as it is written: what came goes out, and counts at `close`."""

import io
import os
import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from strongroom._channel.caller import Caller
from strongroom._transfer.batches import BLOCK_BYTES, Batch, Request
from strongroom._transfer.part_sources import Part, PartFile, opener_of
from strongroom._transfer.parts import (
    PartPlace,
    Patience,
    exchange_part,
    file_items,
    send_part,
)
from strongroom.errors import (
    CancelledError,
    DeadlineExceededError,
    Reason,
    StrongroomError,
)
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import DraftPart

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: A file that ends before is sent at once, and again if the connection breaks.
_SMALL_BYTES: Final = 4 * BLOCK_BYTES
#: Blocks that wait for the network.
_WAITING: Final = 4
#: How long nothing may be written before the server hears that we are there.
_QUIET_S: Final = 10.0
_POLL_S: Final = 0.5
_TICK_S: Final = 0.05


class DraftWriter(io.RawIOBase):
    """One file of a draft, as a binary file object: write-only, without seek.

    It counts once `close` has returned. Leaving a `with` block by an exception,
    `discard`, and the garbage collector leave nothing of it. A file of more than
    4 MiB goes out while it is written, so it cannot be sent again if the connection
    breaks: writing then raises, and the file must be written anew. For one thread.
    """

    def __init__(
        self,
        caller: Caller,
        place: PartPlace,
        path: str,
        *,
        executable: bool,
        replaces: bool,
        done: Callable[[DraftPart], object],
    ) -> None:
        super().__init__()
        #: The file's path in the draft.
        self.name = path
        self.mode = "wb"
        self._caller = caller
        self._place = place
        self._executable = executable
        self._replaces = replaces
        self._done = done
        self._buffer = bytearray()
        self._position = 0
        self._stream: _Stream | None = None
        self._owner = os.getpid()

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take all of `data`; return its size in bytes.

        Raises:
            StrongroomError: The server refused the file, or was lost.
            ValueError: The file is closed.
        """
        if self.closed:
            message = "the file is closed"
            raise ValueError(message)
        with memoryview(data) as view, view.cast("B") as flat:
            size_bytes = len(flat)
            for start in range(0, size_bytes, BLOCK_BYTES):
                self._buffer += flat[start : start + BLOCK_BYTES]
                self._send_full()
        self._position += size_bytes
        return size_bytes

    def close(self) -> None:
        """Make the file a part of the draft, durable.

        Raises:
            StrongroomError: The server refused it, or was lost; nothing is left.
        """
        if self.closed:
            return
        try:
            self._finish()
        finally:
            self._drop()
            super().close()

    def discard(self) -> None:
        """Leave nothing of the file; nothing happens if it is closed."""
        if not self.closed:
            self._drop()
            super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # Half a file must not count because somebody forgot it.
        self.discard()

    def _send_full(self) -> None:
        if self._stream is None and len(self._buffer) > _SMALL_BYTES:
            self._stream = _Stream(
                self._caller,
                self._place,
                self.name,
                executable=self._executable,
                replaces=self._replaces,
            )
        if self._stream is None:
            return
        while len(self._buffer) >= BLOCK_BYTES:
            self._stream.put(bytes(self._buffer[:BLOCK_BYTES]))
            del self._buffer[:BLOCK_BYTES]

    def _finish(self) -> None:
        if self._stream is None:
            opener = opener_of(self._buffer)
            file = PartFile(self.name, opener, executable=self._executable)
            part = Part([file], replaces=self._replaces)
            self._done(send_part(self._caller, self._place, part))
            return
        if self._buffer:
            self._stream.put(bytes(self._buffer))
        self._done(self._stream.finish())

    def _drop(self) -> None:
        """Let go of everything; of a stream of another process, nothing is touched."""
        stream, self._stream, self._buffer = self._stream, None, bytearray()
        if stream is not None and self._owner == os.getpid():
            stream.stop()


class _Stream:
    """A part of one file, sent by a thread while another one writes it."""

    def __init__(
        self,
        caller: Caller,
        place: PartPlace,
        path: str,
        *,
        executable: bool,
        replaces: bool,
    ) -> None:
        self._caller = caller
        self.place = place
        self.path = path
        self.executable = executable
        self.replaces = replaces
        #: What was written, and is not sent yet; None is its end.
        self.queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self.stall_s = caller.settings.stall_timeout_s
        self._over = threading.Event()
        self._stopped = threading.Event()
        self._result: DraftPart | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name="strongroom-draft-writer", daemon=True
        )
        self._thread.start()

    def put(self, block: bytes | None) -> None:
        """Hand on a block, or None for the file's end; wait for room.

        Raises:
            StrongroomError: The call has ended.
        """
        while not self._over.is_set():
            try:
                self.queue.put(block, timeout=_POLL_S)
            except queue.Full:
                continue
            return
        raise self._failure or _discarded()

    def finish(self) -> DraftPart:
        """End the file and wait until it is durable; errors as `put`."""
        self.put(None)
        self._over.wait()
        if self._result is None:
            raise self._failure or _discarded()
        return self._result

    def stop(self) -> None:
        """End the call; nothing is left of the part unless it is durable already."""
        self._stopped.set()
        self._thread.join()

    def check_stopped(self) -> None:
        """Check that somebody still wants the file.

        Raises:
            CancelledError: Nobody does.
        """
        if self._stopped.is_set():
            raise _discarded()

    def _run(self) -> None:
        try:
            self._result = self._exchange()
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits
            self._failure = error
        finally:
            self._over.set()

    def _exchange(self) -> DraftPart:
        patience = Patience()
        while True:
            attempt = _Attempt(self)
            try:
                return exchange_part(self._caller, attempt)
            except StrongroomError as error:
                # What was sent is gone: only who was not let in may try again.
                if attempt.is_admitted or self._stopped.is_set():
                    raise
                patience.wait_after(error)
            finally:
                attempt.end()


class _Attempt:
    """The requests of one call; iterated on a thread of gRPC."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._admitted = threading.Event()
        self._ended = threading.Event()
        self.sent_bytes = 0
        self.error: Exception | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether blocks went out, which cannot be sent again."""
        return self._admitted.is_set()

    def hear(self, _response: pb.WriteVersionResponse) -> None:
        """Let the blocks go."""
        self._admitted.set()

    def end(self) -> None:
        """Take no more blocks: the call is over."""
        self._ended.set()

    def __iter__(self) -> Iterator[Request]:
        """Yield every request; never raise, for gRPC would only print it."""
        try:
            yield from self._requests()
        except Exception as error:  # noqa: BLE001 - raised again by `exchange_part`
            self.error = error

    def _requests(self) -> Iterator[Request]:
        stream = self._stream
        yield stream.place.start(replaces=stream.replaces)
        self._wait_until_admitted()
        batch = Batch()
        items = file_items(
            stream.path, self._blocks(), size_bytes=None, executable=stream.executable
        )
        for item in items:
            yield from batch.add(item)
            # At once: the server stores while the next block is written.
            yield from batch.flush()
        yield pb.WriteVersionRequest(commit=pb.WriteCommit(file_count=1))

    def _wait_until_admitted(self) -> None:
        """Keep the blocks until the server takes them; it says so, or ends the call."""
        stall_s = self._stream.stall_s
        for _ in range(int(stall_s / _TICK_S)):
            self._check()
            if self._admitted.wait(_TICK_S):
                return
        message = f"the server sent nothing for {stall_s:g} seconds"
        raise DeadlineExceededError(message, reason=Reason.STALLED)

    def _check(self) -> None:
        self._stream.check_stopped()
        if self._ended.is_set():
            raise _discarded()

    def _blocks(self) -> Iterator[bytes]:
        """Yield the blocks; empty ones, which are sent, as signs of life."""
        quiet_s = 0.0
        while True:
            self._check()
            try:
                block = self._stream.queue.get(timeout=_POLL_S)
            except queue.Empty:
                quiet_s += _POLL_S
                if quiet_s < _QUIET_S:
                    continue
                block = b""
            if block is None:
                return
            quiet_s = 0.0
            self.sent_bytes += len(block)
            yield block


def _discarded() -> CancelledError:
    return CancelledError("the file was discarded, or the call had ended")
