# SPDX-License-Identifier: Apache-2.0
"""`GrantSource` over gRPC: opening versions, and watching them.

What central sends is checked where it is not authenticated by itself: a page that
does not fit together is refused, whoever made it.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final

import grpc
from opentelemetry import propagate

from strongroom.errors import (
    CancelledError,
    Reason,
    UnavailableError,
)
from strongroom.format.digest import parse_digest
from strongroom.format.names import VersionName, check_path
from strongroom.v1 import grant_service_pb2 as pb
from strongroom_server.adapters.central.channel import CentralChannel
from strongroom_server.adapters.central.status import error_of
from strongroom_server.adapters.central.versions import (
    malformed,
    time_of,
    version_of,
)
from strongroom_server.core.chunk import CHUNK_ID_BYTES, ChunkRef
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import KEY_BYTES
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.grant import (
    FilePart,
    Grant,
    GrantPage,
    PackPlace,
    Revoked,
)
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import find_suite
from strongroom_server.ports import GrantSource

_SERVICE: Final = "/strongroom.v1.GrantService"
#: To each answer of an opening; central decides, audits and reads a manifest.
OPEN_TIMEOUT_S: Final = 20.0
#: Between two answers to a watch: central gives a sign of life every five seconds.
SILENCE_S: Final = 15.0
#: A stream that is read at a slow reader's pace ends some time.
_STREAM_TIMEOUT_S: Final = 86_400.0


class CentralGrants:
    """Asks central. Safe to use from many threads.

    Args:
        channel: To central.
        silence_s: How long central may keep silent on a watch before it is ended.
    """

    def __init__(
        self, channel: CentralChannel, *, silence_s: float = SILENCE_S
    ) -> None:
        self._channel = channel
        self._silence_s = silence_s

    @contextmanager
    def open(
        self, name: VersionName, *, paths: Sequence[str]
    ) -> "Iterator[CentralGrant]":
        """See `GrantSource`."""
        request = pb.OpenVersionRequest(name=name.resource, paths=paths)
        with self._call("OpenVersion", request, pb.OpenVersionResponse) as answers:
            first = _next_within(OPEN_TIMEOUT_S, answers, self._channel.endpoint)
            if first is None or first.WhichOneof("part") != "grant":
                raise malformed("central's first answer is no grant")
            grant = _parse_grant(first.grant)
            yield CentralGrant(grant, answers, self._channel.endpoint)

    def watch(self, names: Sequence[VersionName]) -> "CentralWatch":
        """See `GrantSource`."""
        request = pb.WatchGrantsRequest(names=[name.resource for name in names])
        call = self._call("WatchGrants", request, pb.WatchGrantsResponse)
        return CentralWatch(call, self._channel.endpoint, self._silence_s)

    @contextmanager
    def _call(
        self,
        method: str,
        request: pb.OpenVersionRequest | pb.WatchGrantsRequest,
        answer: type[pb.OpenVersionResponse] | type[pb.WatchGrantsResponse],
    ) -> Iterator[Any]:
        headers: dict[str, str] = {}
        propagate.inject(headers)
        with self._channel.lend() as channel:
            call = channel.unary_stream(
                f"{_SERVICE}/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )(request, timeout=_STREAM_TIMEOUT_S, metadata=tuple(headers.items()))
            try:
                yield call
            finally:
                call.cancel()


class CentralWatch:
    """A `GrantWatch` of central's."""

    def __init__(
        self, call: AbstractContextManager[Any], endpoint: str, silence_s: float
    ) -> None:
        self._endpoint = endpoint
        self._silence_s = silence_s
        self._stack = ExitStack()
        self._answers = self._stack.enter_context(call)

    def __iter__(self) -> Iterator[tuple[Revoked, ...]]:
        """See `GrantWatch`."""
        while True:
            answer = _next_within(self._silence_s, self._answers, self._endpoint)
            if answer is None:
                return
            yield tuple(
                Revoked(item.name, item.reason, item.message) for item in answer.revoked
            )

    def end(self) -> None:
        """See `GrantWatch`."""
        self._answers.cancel()
        self._stack.close()


class CentralGrant:
    """An `OpenedGrant` of central's."""

    def __init__(self, grant: Grant, answers: Any, endpoint: str) -> None:  # noqa: ANN401
        self.grant = grant
        self._answers = answers
        self._endpoint = endpoint

    def pages(self) -> Iterator[GrantPage]:
        """See `OpenedGrant`."""
        while True:
            answer = _next_within(OPEN_TIMEOUT_S, self._answers, self._endpoint)
            if answer is None:
                return
            if answer.WhichOneof("part") != "page":
                raise malformed("central's answer is no page")
            yield _parse_page(answer.page)


def _next_within(limit_s: float, answers: Any, endpoint: str) -> Any | None:  # noqa: ANN401
    """Return the next answer, which must come in time, or None at the end."""
    timer = threading.Timer(limit_s, answers.cancel)
    timer.daemon = True
    timer.start()
    try:
        return _next(answers, endpoint)
    except CancelledError as error:
        raise UnavailableError(
            f"central broke off, or did not answer within {limit_s:g} seconds",
            reason=Reason.TRANSPORT,
            hint="What is open goes on until its lease ends. Look at central.",
            seconds=f"{limit_s:g}",
        ) from error
    finally:
        timer.cancel()


def _next(answers: Any, endpoint: str) -> Any | None:  # noqa: ANN401
    try:
        return next(answers, None)
    except grpc.RpcError as failure:
        raise error_of(failure, endpoint) from failure


def _parse_grant(message: pb.Grant) -> Grant:
    try:
        scope = Scope(message.store_id, message.project_id, message.domain_id, 0)
    except ValueError as error:
        raise malformed("a grant's ids are none") from error
    return Grant(message.grant_id, version_of(message.version), scope)


def _parse_page(message: pb.GrantPage) -> GrantPage:
    keys: dict[tuple[bytes, int], bytes] = {}
    places = [(item.pack, item.version_id) for item in message.packs]
    try:
        files = tuple(_parse_file(item, places, keys) for item in message.files)
    except (ValueError, IndexError) as error:
        raise malformed("a page of a grant does not fit together") from error
    urls = {place: item.url for place, item in zip(places, message.packs, strict=True)}
    return GrantPage(
        files,
        keys,
        urls,
        message.lifetime.ToMilliseconds() / 1000,
        time_of(message.expire_time),
    )


def _parse_file(
    message: pb.GrantedFile,
    places: Sequence[PackPlace],
    keys: dict[tuple[bytes, int], bytes],
) -> FilePart:
    check_path(message.path)
    parse_digest(message.digest)
    chunks = tuple(_parse_chunk(item, places, keys) for item in message.chunks)
    entry = FileEntry(
        message.path, message.size_bytes, message.digest, message.executable, chunks
    )
    return FilePart(entry, message.unfinished)


def _parse_chunk(
    message: pb.GrantedChunk,
    places: Sequence[PackPlace],
    keys: dict[tuple[bytes, int], bytes],
) -> ChunkRef:
    base = None
    if message.HasField("base"):
        base = _parse_chunk(message.base, places, keys)
    find_suite(message.suite)
    is_delta = message.codec == Codec.DELTA
    if len(message.chunk_id) != CHUNK_ID_BYTES or len(message.key) != KEY_BYTES:
        raise ValueError(message.codec)
    if is_delta != (base is not None) or (base and base.base is not None):
        raise ValueError(message.codec)
    keys[message.chunk_id, message.epoch] = message.key
    pack, version_id = places[message.pack_index]
    return ChunkRef(
        message.chunk_id,
        message.suite,
        message.codec,
        message.epoch,
        pack,
        version_id,
        message.offset_bytes,
        message.stored_bytes,
        message.plain_bytes,
        base,
    )


_source: type[GrantSource] = CentralGrants
