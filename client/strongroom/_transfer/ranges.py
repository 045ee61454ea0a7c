# SPDX-License-Identifier: Apache-2.0
"""Reads one range of one file, going on where a broken connection stopped."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from strongroom._channel.caller import Caller, Stream
from strongroom._channel.methods import READ_VERSION
from strongroom._transfer.resuming import Resumption, is_passing
from strongroom.errors import IntegrityError, Reason, StrongroomError
from strongroom.format.frames import BlockFrame
from strongroom.format.names import VersionName
from strongroom.v1 import transfer_service_pb2 as pb


class RangeReader:
    """Yields the blocks of a range in order; a context manager.

    The version must be named by number or digest, so that a break in between
    cannot lead to another version. The bytes are authenticated by the server;
    whoever reads a whole file compares its digest, too.
    """

    def __init__(
        self,
        caller: Caller,
        version: VersionName,
        path: str,
        *,
        offset_bytes: int,
        length_bytes: int,
    ) -> None:
        """Name the range.

        Args:
            caller: Makes the calls.
            version: By number or digest.
            path: Of one file.
            offset_bytes: Where to start; less than the file's size.
            length_bytes: How much to read; at least 1, and not past the end.
        """
        self._caller = caller
        self._version = version
        self._path = path
        self._position_bytes = offset_bytes
        self._end_bytes = offset_bytes + length_bytes
        self._resumption = Resumption()
        self._stream: Stream[pb.ReadVersionResponse | BlockFrame] | None = None
        self._blocks: Iterator[bytes] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next block, at most 1 MiB.

        Raises:
            IntegrityError: The server sent another range (MANIFEST_CORRUPT), or
                found the stored bytes damaged.
            StrongroomError: What else the server refused.
            StopIteration: The range is complete.
        """
        while self._position_bytes < self._end_bytes:
            try:
                data = next(self._blocks, None)
            except StrongroomError as error:
                self.close()
                self._resumption.wait_after(error)
                continue
            if data is not None:
                self._position_bytes += len(data)
                self._resumption.progressed()
                if self._position_bytes == self._end_bytes:
                    self._finish()
                return data
            if self._stream is not None:
                raise self._mismatch("the stream ended early")
            self._open()
        self.close()
        raise StopIteration

    def close(self) -> None:
        """End the call, if it has not ended."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._blocks = iter(())

    def _finish(self) -> None:
        """Hear the server out: only a stream that ends well was delivered well."""
        try:
            for _ in self._blocks:
                raise self._mismatch("more came")
        except StrongroomError as error:
            self.close()
            # All bytes are here; a connection that breaks now takes nothing back.
            if not is_passing(error):
                raise
        self.close()

    def _open(self) -> None:
        self._stream = self._caller.stream_blocks(
            READ_VERSION,
            pb.ReadVersionRequest(
                name=self._version.resource,
                paths=[self._path],
                offset_bytes=self._position_bytes,
                length_bytes=self._end_bytes - self._position_bytes,
            ),
        )
        self._blocks = self._read(self._stream)

    def _read(
        self, stream: Stream[pb.ReadVersionResponse | BlockFrame]
    ) -> Iterator[bytes]:
        expected_bytes = self._position_bytes
        for response in stream:
            for block in self._blocks_of(response):
                end_bytes = expected_bytes + len(block.data)
                if block.offset_bytes != expected_bytes or end_bytes > self._end_bytes:
                    raise self._mismatch(f"byte {block.offset_bytes} came")
                expected_bytes = end_bytes
                yield bytes(block.data)

    def _blocks_of(
        self, response: pb.ReadVersionResponse | BlockFrame
    ) -> Iterator[BlockFrame]:
        if isinstance(response, BlockFrame):
            yield response
            return
        for item in response.items.items:
            if item.HasField("start") and item.start.path != self._path:
                raise self._mismatch(f"{item.start.path!r} came")
            if item.HasField("block"):
                yield BlockFrame(item.block.offset_bytes, item.block.data)

    def _mismatch(self, problem: str) -> IntegrityError:
        message = (
            f"asked for {self._path} at byte {self._position_bytes}, but {problem}"
        )
        return IntegrityError(message, reason=Reason.MANIFEST_CORRUPT, path=self._path)
