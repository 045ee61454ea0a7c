# SPDX-License-Identifier: Apache-2.0
"""ReadVersion as a sidecar serves it: from grants."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Final, cast

import grpc

from strongroom.format.frames import BlockFrame
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.rpc import failures
from strongroom_server.rpc.requests import decode_request
from strongroom_server.rpc.responding import Handler
from strongroom_server.rpc.sidecar_calls import LocalCalls
from strongroom_server.rpc.version_reads import VersionReads
from strongroom_server.rpc.watchdog import Watch

READ_VERSION: Final = "/strongroom.v1.TransferService/ReadVersion"


class LocalReads:
    """Serves ReadVersion. Safe to use from many threads.

    Args:
        reads: Reads versions.
        calls: Frames the calls.
    """

    def __init__(self, reads: VersionReads, calls: LocalCalls) -> None:
        self._reads = reads
        self._calls = calls

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
        yield from self._calls.serve(READ_VERSION, requests, context, self._read)

    def _read(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        watch: Watch,
        limit_s: float,  # noqa: ARG002 (as of any `Answer`)
    ) -> Iterator[pb.ReadVersionResponse | BlockFrame]:
        watch.wait_for_peer()
        data = next(requests, None)
        watch.go_on()
        if data is None:
            raise failures.no_request()
        request = decode_request(pb.ReadVersionRequest.FromString, data)
        responses = self._reads.read(cast("pb.ReadVersionRequest", request), context)
        with closing(cast("Generator[pb.ReadVersionResponse | BlockFrame]", responses)):
            for response in responses:
                watch.wait_for_peer()
                yield response
                watch.go_on()


def _encode(response: object) -> bytes:
    if isinstance(response, BlockFrame):
        return response.encode()
    if isinstance(response, pb.ReadVersionResponse):
        return response.SerializeToString()
    return cast("bytes", response)
