# SPDX-License-Identifier: Apache-2.0
"""Files of a WriteVersion that the server reads by itself, from descriptors."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.lanes import LANE_HEADER, parse_read
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.ports import SharedMemory, SharedWrite, ToldFile
from strongroom_server.rpc.call import CallView
from strongroom_server.services.uploads.shape import PartIntake, VersionIntake

#: What is read at once: it stays in the cache until it is hashed and taken in.
_READ_BYTES: Final = 1024 * 1024


class FileSources:
    """What one call hands over; used by one thread, and closed at the call's end.

    Args:
        write: The writer's lane; None if there is none.
        call: The call.
    """

    def __init__(self, write: SharedWrite | None, call: CallView) -> None:
        self._write = write
        self._call = call
        self._buffer: memoryview | None = None

    @property
    def are_taken(self) -> bool:
        """Whether files may come by descriptor."""
        return self._write is not None

    def close(self) -> None:
        """Let go of what was handed over and not read."""
        if self._write is not None:
            self._write.close()

    def read(
        self, intake: VersionIntake | PartIntake, item: pb.FileSource
    ) -> Iterator[str]:
        """Take in a file, block by block.

        Yields:
            Nothing ("") after each block, and at last the file's digest.

        Raises:
            InvalidArgumentError: It is no file that is read here (FILE_UNSUPPORTED).
            ConflictError: It is not as was said, or changes (SOURCE_CHANGED).
            UnavailableError: It was not handed over, or cannot be read (TRANSPORT).
            StrongroomError: As `start_file`, `write` and `end_file`.
        """
        if self._write is None:
            message = "a file came by descriptor, and this call has no lane"
            raise InvalidArgumentError(message)
        if item.size_bytes < 0 or item.offset_bytes < 0:
            message = f"the size or the offset of {item.path!r} is below zero"
            raise InvalidArgumentError(message, path=item.path)
        told = ToldFile(
            item.path, item.offset_bytes, item.size_bytes, item.modify_time_ns
        )
        handed = self._write.take(item.source, told)
        with closing(handed):
            intake.start_file(
                item.path, size_bytes=item.size_bytes, executable=item.executable
            )
            position = 0
            buffer = self._memory()
            while position < item.size_bytes:
                count = handed.read_into(buffer, position)
                intake.write(buffer[:count], offset_bytes=position)
                position += count
                self._call.count("bytes", count)
                self._call.check()
                yield ""
                intake.check_pace()
            handed.check_unchanged()
        digest = intake.end_file(None)
        self._call.count("files", 1)
        self._call.count("handed_files", 1)
        yield digest

    def _memory(self) -> memoryview:
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_READ_BYTES))
        return self._buffer


def sources_of(
    memory: SharedMemory | None, context: grpc.ServicerContext, call: CallView
) -> FileSources:
    """Return what a call may hand over: nothing, unless it names a lane of ours."""
    if memory is None:
        return FileSources(None, call)
    for key, value in context.invocation_metadata() or ():
        if key == LANE_HEADER and isinstance(value, bytes):
            token, number = parse_read(value)
            write = memory.begin_write(token, number, call.caller.principal)
            return FileSources(write, call)
    return FileSources(None, call)
