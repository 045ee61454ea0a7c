# SPDX-License-Identifier: Apache-2.0
"""GrantService: what sidecars need to read and write versions by themselves."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterator

import grpc

from strongroom.format.names import parse_version_name
from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import grant_service_pb2_grpc as pb_grpc
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.grant import Grant, GrantPage, PackPlace
from strongroom_server.ports import Clock
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.granted_writes import GrantedWrites
from strongroom_server.rpc.showing import seen_version
from strongroom_server.services.granting import GrantFeed, Granting
from strongroom_server.services.uploads.by_grant import GrantedWriting


class GrantServicer(pb_grpc.GrantServiceServicer):
    """Answers from the use cases; the guard has decided who may.

    Messages of this service hold keys: none is ever logged or shown.
    """

    def __init__(
        self,
        granting: Granting,
        feed: GrantFeed,
        writing: GrantedWriting,
        *,
        clock: Clock,
    ) -> None:
        self._granting = granting
        self._feed = feed
        self._writes = GrantedWrites(writing, clock=clock)

    def drain(self) -> None:
        """End the calls that only wait for news."""
        self._feed.stop()

    def OpenVersion(
        self, request: pb.OpenVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.OpenVersionResponse]:
        """Grant the reading of files of a version."""
        call = current_call()
        name = parse_version_name(request.name)
        granted = self._granting.open(name, paths=request.paths)
        call.count("version", granted.grant.version.number)
        call.note("grant", granted.grant.grant_id)
        yield pb.OpenVersionResponse(grant=_grant_message(granted.grant))
        for page in granted.pages:
            message = _page_message(page)
            call.count("files", sum(not part.unfinished for part in page.files))
            call.count("chunks", len(page.keys))
            # Whoever has the keys may have read all of it.
            call.count("bytes", _plain_bytes(page))
            yield pb.OpenVersionResponse(page=message)

    def WatchGrants(
        self, request: pb.WatchGrantsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchGrantsResponse]:
        """Tell when versions must not be read any more."""
        call = current_call()
        names = [parse_version_name(name) for name in request.names]
        for revoked in self._feed.watch(names, call.check):
            yield pb.WatchGrantsResponse(
                revoked=[
                    pb.RevokedGrant(
                        name=item.name, reason=item.reason, message=item.message
                    )
                    for item in revoked
                ]
            )

    def WriteGranted(
        self,
        request_iterator: Iterator[pb.WriteGrantedRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.WriteGrantedResponse]:
        """Write a version, or a part of a draft, whose bytes the caller stores."""
        yield from self._writes.write(request_iterator, current_call())


def _plain_bytes(page: GrantPage) -> int:
    return sum(ref.plain_bytes for part in page.files for ref in part.entry.chunks)


def _grant_message(grant: Grant) -> pb.Grant:
    return pb.Grant(
        grant_id=grant.grant_id,
        version=convert.version_message(seen_version(grant.version)),
        store_id=grant.scope.store,
        project_id=grant.scope.project,
        domain_id=grant.scope.domain,
    )


def _page_message(page: GrantPage) -> pb.GrantPage:
    numbers = {place: number for number, place in enumerate(page.urls)}
    message = pb.GrantPage(
        packs=[
            pb.GrantedPack(pack=pack, version_id=version_id, url=url)
            for (pack, version_id), url in page.urls.items()
        ],
        files=[
            pb.GrantedFile(
                path=part.entry.path,
                size_bytes=part.entry.size_bytes,
                digest=part.entry.digest,
                executable=part.entry.executable,
                chunks=[
                    _chunk_message(ref, page, numbers) for ref in part.entry.chunks
                ],
                unfinished=part.unfinished,
            )
            for part in page.files
        ],
        expire_time=convert.timestamp(page.expire_time),
    )
    message.lifetime.FromMilliseconds(round(page.lifetime_s * 1000))
    return message


def _chunk_message(
    ref: ChunkRef, page: GrantPage, numbers: dict[PackPlace, int]
) -> pb.GrantedChunk:
    return pb.GrantedChunk(
        chunk_id=ref.chunk_id,
        suite=ref.suite,
        codec=ref.codec,
        epoch=ref.epoch,
        pack_index=numbers[ref.pack, ref.pack_version],
        offset_bytes=ref.offset_bytes,
        stored_bytes=ref.stored_bytes,
        plain_bytes=ref.plain_bytes,
        key=page.keys[ref.chunk_id, ref.epoch],
        base=_chunk_message(ref.base, page, numbers) if ref.base else None,
    )
