# SPDX-License-Identifier: Apache-2.0
"""TransferService: the bytes of versions, in and out."""

# Names are those of the generated base class.
# ruff: noqa: N802

from collections.abc import Iterator

import grpc

from strongroom.format.frames import BlockFrame
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.ports import Clock, SharedMemory
from strongroom_server.rpc.draft_calls import DraftCalls
from strongroom_server.rpc.file_reads import FileReads
from strongroom_server.rpc.version_reads import VersionReads
from strongroom_server.rpc.version_writes import VersionWrites
from strongroom_server.services.downloads import DownloadSource
from strongroom_server.services.uploads import Drafts, Uploads


class TransferServicer(DraftCalls):
    """Carries bytes; the guard has decided who may move them."""

    def __init__(
        self,
        uploads: Uploads,
        drafts: Drafts,
        downloads: DownloadSource,
        *,
        clock: Clock,
        memory: SharedMemory | None = None,
    ) -> None:
        super().__init__(drafts)
        self._writes = VersionWrites(uploads, drafts, clock=clock, memory=memory)
        self._reads = VersionReads(downloads, clock=clock, memory=memory)
        self._files = FileReads(downloads, clock=clock, memory=memory)

    def WriteVersion(
        self,
        request_iterator: Iterator[pb.WriteVersionRequest | BlockFrame],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.WriteVersionResponse]:
        """Write a version, or a part of a draft: all files, then the commit."""
        yield from self._writes.write(request_iterator, context)

    def ReadVersion(  # type: ignore[override]  # the guard encodes frames, too
        self, request: pb.ReadVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadVersionResponse | BlockFrame]:
        """Read files of a version, in byte order of path."""
        yield from self._reads.read(request, context)

    def ReadFiles(
        self,
        request_iterator: Iterator[pb.ReadFilesRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.ReadFilesResponse]:
        """Read files of one version, as they are asked for."""
        yield from self._files.read(request_iterator, context)
