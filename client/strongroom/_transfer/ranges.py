# SPDX-License-Identifier: Apache-2.0
"""Reads one range of one file, going on where a broken connection stopped."""

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from strongroom._channel.caller import Caller
from strongroom._transfer.resuming import Resumption, is_passing
from strongroom._transfer.version_stream import VersionStream
from strongroom.errors import IntegrityError, Reason, StrongroomError
from strongroom.format.frames import BlockFrame
from strongroom.format.names import VersionName
from strongroom.v1 import transfer_service_pb2 as pb

#: What is read at once by who keeps it.
BLOCK_BYTES: Final = 1 << 20


class RangeReader:
    """Reads a range from its start to its end; a context manager.

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
        self._stream: VersionStream | None = None
        self._blocks: Iterator[memoryview] = iter(())
        #: What of the last block was not asked for yet.
        self._rest = memoryview(b"")

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
        """Yield what is left of the range, as blocks of at most 1 MiB.

        Raises:
            StrongroomError: As `read` and `finish`.
        """
        while data := self.read(BLOCK_BYTES):
            yield bytes(data)
        self.finish()

    def read(self, max_bytes: int) -> memoryview:
        """Return the next bytes, at least one; they are good until the next call.

        Behind the range there are none.

        Args:
            max_bytes: How many at most; one or more.

        Raises:
            IntegrityError: The server sent another range (MANIFEST_CORRUPT), or
                found the stored bytes damaged.
            StrongroomError: What else the server refused.
        """
        while self._position_bytes < self._end_bytes:
            if self._rest:
                data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
                self._position_bytes += len(data)
                self._resumption.progressed()
                return data
            try:
                block = next(self._blocks, None)
            except StrongroomError as error:
                self.close()
                self._resumption.wait_after(error)
                continue
            if block is not None:
                self._rest = block
            elif self._stream is not None:
                raise self._mismatch("the stream ended early")
            else:
                self._open()
        return memoryview(b"")

    def finish(self) -> None:
        """Hear the server out: only a stream that ends well was delivered well.

        What `read` returned last is good no more.

        Raises:
            StrongroomError: As `read`.
        """
        try:
            for _ in self._blocks:
                raise self._mismatch("more came")
        except StrongroomError as error:
            self.close()
            # All bytes are here; a connection that breaks now takes nothing back.
            if not is_passing(error):
                raise
        self.close()

    def close(self) -> None:
        """End the call, if it has not ended."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._blocks = iter(())
        self._rest = memoryview(b"")

    def _open(self) -> None:
        self._stream = VersionStream(
            self._caller,
            pb.ReadVersionRequest(
                name=self._version.resource,
                paths=[self._path],
                offset_bytes=self._position_bytes,
                length_bytes=self._end_bytes - self._position_bytes,
            ),
        )
        self._blocks = self._read(self._stream)

    def _read(self, stream: VersionStream) -> Iterator[memoryview]:
        expected_bytes = self._position_bytes
        for step in stream:
            if isinstance(step, pb.TransferItem):
                if step.HasField("start") and step.start.path != self._path:
                    raise self._mismatch(f"{step.start.path!r} came")
            elif isinstance(step, BlockFrame):
                end_bytes = expected_bytes + len(step.data)
                if step.offset_bytes != expected_bytes or end_bytes > self._end_bytes:
                    raise self._mismatch(f"byte {step.offset_bytes} came")
                expected_bytes = end_bytes
                yield memoryview(step.data)

    def _mismatch(self, problem: str) -> IntegrityError:
        message = (
            f"asked for {self._path} at byte {self._position_bytes}, but {problem}"
        )
        return IntegrityError(message, reason=Reason.MANIFEST_CORRUPT, path=self._path)
