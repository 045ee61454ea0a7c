# SPDX-License-Identifier: Apache-2.0
"""The answers of one ReadVersion, step by step, wherever the bytes lie."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from strongroom import _lineage
from strongroom._channel.caller import Caller, Headers
from strongroom._channel.methods import READ_VERSION
from strongroom._shared.lane import LaneRead
from strongroom.errors import IntegrityError, Reason
from strongroom.format.frames import BlockFrame
from strongroom.format.lanes import LANE_HEADER
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as pb

#: What comes: the version first, then files; blocks as frames.
Step = artifact_pb.Version | pb.TransferItem | BlockFrame


class VersionStream:
    """One call of ReadVersion; a context manager. Used by one thread.

    Bytes come through memory shared with the server, where it is on this machine and
    there is room. A block's data are good until the next step is asked for.
    """

    def __init__(self, caller: Caller, request: pb.ReadVersionRequest) -> None:
        #: How many messages have come; many small steps share one.
        self.answer_count = 0
        self._endpoint = caller.settings.endpoint
        self._lanes = caller.lanes
        self._lane: LaneRead | None = caller.lanes.begin()
        headers: Headers = ()
        if self._lane is not None:
            headers = ((LANE_HEADER, self._lane.name),)
        try:
            self._stream = caller.stream_blocks(READ_VERSION, request, headers)
        except BaseException:
            self._end_lane()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Step]:
        """Yield what comes.

        Raises:
            IntegrityError: The server named memory that it gave nobody
                (MANIFEST_CORRUPT).
            StrongroomError: As `Stream`, or the shared memory did not come
                (TRANSPORT): the next stream does without, or with another lane.
        """
        for response in self._stream:
            self.answer_count += 1
            if isinstance(response, BlockFrame):
                yield self._counted(response)
            elif response.HasField("version"):
                if self._lane is None:
                    self._lanes.tell_problem()
                _lineage.note(self._endpoint, response.version)
                yield response.version
            else:
                for item in response.items.items:
                    yield from self._steps_of(item)

    def mapping(self, number: int) -> memoryview:
        """Return the memory of the file that was mapped.

        Raises:
            IntegrityError: There is none (MANIFEST_CORRUPT).
            UnavailableError: It did not come (TRANSPORT).
        """
        if self._lane is None:
            raise _no_lane()
        memory = self._lane.mapping(number)
        self._lanes.count(shared_bytes=len(memory))
        return memory

    def close(self) -> None:
        """End the call, if it has not ended, and give all memory back."""
        self._stream.close()
        self._end_lane()

    def _steps_of(self, item: pb.TransferItem) -> Iterator[Step]:
        match item.WhichOneof("item"):
            case "block":
                # Protobuf copies the data at each access.
                block = BlockFrame(item.block.offset_bytes, item.block.data)
                yield self._counted(block)
            case "shared":
                yield from self._shared(item.shared)
            case _:
                yield item

    def _shared(self, block: pb.SharedBlock) -> Iterator[Step]:
        if self._lane is None:
            raise _no_lane()
        place = (block.segment, block.segment_offset_bytes, block.length_bytes)
        with self._lane.view(*place) as view:
            self._lanes.count(shared_bytes=block.length_bytes)
            yield BlockFrame(block.offset_bytes, view)
        self._lane.done(block.length_bytes)

    def _counted(self, block: BlockFrame) -> BlockFrame:
        if self._lane is not None:
            self._lanes.count(sent_bytes=len(block.data))
        return block

    def _end_lane(self) -> None:
        if self._lane is not None:
            self._lane.end()


def _no_lane() -> IntegrityError:
    message = "the server named shared memory, and gave none"
    return IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
