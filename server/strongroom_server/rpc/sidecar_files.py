# SPDX-License-Identifier: Apache-2.0
"""ReadFiles as a sidecar serves it: from grants."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from typing import Final, cast

import grpc

from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.rpc import failures
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.file_reads import FileReads
from strongroom_server.rpc.requests import RequestReader, RequestStream, decode_request
from strongroom_server.rpc.responding import Handler
from strongroom_server.rpc.sidecar_calls import LocalCalls
from strongroom_server.rpc.watchdog import Watch
from strongroom_server.rpc.wire import COLUMNS

READ_FILES: Final = "/strongroom.v1.TransferService/ReadFiles"


class LocalFiles:
    """Serves ReadFiles. Safe to use from many threads.

    Args:
        files: Reads files.
        calls: Frames the calls.
        stall_s: How long a reader may ask for nothing.
    """

    def __init__(self, files: FileReads, calls: LocalCalls, *, stall_s: float) -> None:
        self._files = files
        self._calls = calls
        self._stall_s = stall_s

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
        yield from self._calls.serve(READ_FILES, requests, context, self._read)

    def _read(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        watch: Watch,
        limit_s: float,  # noqa: ARG002 (as of any `Answer`)
    ) -> Iterator[pb.ReadFilesResponse]:
        watch.wait_for_peer()
        data = next(requests, None)
        watch.go_on()
        if data is None:
            raise failures.no_request()
        decode = pb.ReadFilesRequest.FromString
        first = decode_request(decode, data, depth=COLUMNS)
        with ExitStack() as stack:
            reader = RequestReader(
                requests, decode, stall_s=self._stall_s, depth=COLUMNS
            )
            stack.callback(reader.close)
            stream = RequestStream(first, reader, current_call().check)
            responses = self._files.read(stream, context)
            stack.enter_context(
                closing(cast("Generator[pb.ReadFilesResponse]", responses))
            )
            for response in responses:
                watch.wait_for_peer()
                yield response
                watch.go_on()


def _encode(response: object) -> bytes:
    if isinstance(response, pb.ReadFilesResponse):
        return response.SerializeToString()
    return cast("bytes", response)
