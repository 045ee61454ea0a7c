# SPDX-License-Identifier: Apache-2.0
"""WriteVersion as a sidecar serves it: by grant, or passed on where none is given."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from typing import Final, cast

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.ports import Clock, NotGrantedError, SharedMemory, WriteSource
from strongroom_server.rpc import failures
from strongroom_server.rpc.requests import (
    RequestReader,
    RequestStream,
    decode_request,
)
from strongroom_server.rpc.responding import Handler
from strongroom_server.rpc.sidecar_calls import LocalCalls, PassOnError
from strongroom_server.rpc.version_writes import Request, VersionWrites
from strongroom_server.rpc.watchdog import Watch
from strongroom_server.rpc.wire import BATCHES
from strongroom_server.services.uploads import GrantedUploads, GrantedWriteEngine

WRITE_VERSION: Final = "/strongroom.v1.TransferService/WriteVersion"


class LocalWrites:
    """Serves WriteVersion. Safe to use from many threads.

    Args:
        source: Central, which grants.
        engine: What writes run on.
        calls: Frames the calls.
        stall_s: How long a writer may send nothing.
        clock: Says when progress is due.
        memory: What is shared with writers on this machine, if anything is.
    """

    def __init__(
        self,
        source: WriteSource,
        engine: GrantedWriteEngine,
        calls: LocalCalls,
        *,
        stall_s: float,
        clock: Clock,
        memory: SharedMemory | None = None,
    ) -> None:
        self._source = source
        self._engine = engine
        self._calls = calls
        self._stall_s = stall_s
        self._clock = clock
        self._memory = memory

    def handler(self) -> Handler:
        """Return what serves the method."""
        return cast(
            "Handler",
            grpc.stream_stream_rpc_method_handler(
                self.serve, response_serializer=_encode
            ),
        )

    def serve(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[object]:
        """Serve one call."""
        yield from self._calls.serve(WRITE_VERSION, requests, context, self._write)

    def _write(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        watch: Watch,
        limit_s: float,
    ) -> Iterator[pb.WriteVersionResponse]:
        watch.wait_for_peer()
        data = next(requests, None)
        watch.go_on()
        if data is None:
            raise failures.no_request()
        first = cast(
            "pb.WriteVersionRequest",
            decode_request(pb.WriteVersionRequest.FromString, data, depth=BATCHES),
        )
        if first.WhichOneof("part") != "start":
            message = "something else came where `start` belongs"
            raise InvalidArgumentError(message)
        start = first.start.SerializeToString()
        with ExitStack() as stack:
            try:
                write = stack.enter_context(
                    self._source.write(start, timeout_s=limit_s)
                )
            except NotGrantedError as error:
                raise PassOnError(data) from error
            if not context.add_callback(write.end):
                write.end()
            reader = RequestReader(
                requests, pb.WriteVersionRequest.FromString, stall_s=self._stall_s
            )
            stack.callback(reader.close)
            uploads = GrantedUploads(self._engine, write)
            writes = VersionWrites(
                uploads, uploads, clock=self._clock, memory=self._memory
            )
            stream = cast("Iterator[Request]", RequestStream(first, reader, _go_on))
            responses = writes.write(stream, context)
            stack.enter_context(
                closing(cast("Generator[pb.WriteVersionResponse]", responses))
            )
            for response in responses:
                watch.wait_for_peer()
                yield response
                watch.go_on()


def _go_on() -> None:
    """Look at nothing between requests: the write ends with the call."""


def _encode(response: object) -> bytes:
    if isinstance(response, pb.WriteVersionResponse):
        return response.SerializeToString()
    return cast("bytes", response)
