# SPDX-License-Identifier: Apache-2.0
"""`WriteSource` over gRPC: one stream a write, asked ahead and answered in order.

Whatever ends the stream is raised by everything that is asked of the write from then
on. While nothing is to be said, a sign of life is sent.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import grpc
from opentelemetry import propagate

from strongroom.errors import (
    CancelledError,
    InternalError,
    PermissionDeniedError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.adapters.central import write_messages as messages
from strongroom_server.adapters.central.channel import CentralChannel
from strongroom_server.adapters.central.status import error_of
from strongroom_server.adapters.central.versions import malformed, version_of
from strongroom_server.core.write_grant import (
    ChunkName,
    NamedChunk,
    SealedPack,
    WriteGrant,
)
from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.core.write_steps import OpenLimits, PackPlan, WrittenItem
from strongroom_server.ports import (
    GrantedWrite,
    NotGrantedError,
    SignedPut,
    WriteSource,
)

_METHOD: Final = "/strongroom.v1.GrantService/WriteGranted"
#: To the grant; central decides, audits, and may make a project.
GRANT_TIMEOUT_S: Final = 30.0
#: Nothing to say for that long, and a sign of life is sent.
QUIET_S: Final = 5.0
#: Requests that wait for the network.
_MAX_WAITING: Final = 64
_SIGN_OF_LIFE: Final = pb.WriteGrantedRequest(items=pb.GrantedItems())
#: Between two looks whether the write has ended.
_LOOK_S: Final = 0.5
#: How many of these a request may wait for room.
_SEND_TRIES: Final = 120

Answer = TypeVar("Answer")
Parse = Callable[[pb.WriteGrantedResponse], object]


class CentralWrites:
    """Asks central to write. Safe to use from many threads.

    Args:
        channel: To central.
        grant_timeout_s: How long central may take to grant.
    """

    def __init__(
        self, channel: CentralChannel, *, grant_timeout_s: float = GRANT_TIMEOUT_S
    ) -> None:
        self._channel = channel
        self._grant_timeout_s = grant_timeout_s

    @contextmanager
    def write(self, start: bytes, *, timeout_s: float) -> "Iterator[CentralWrite]":
        """See `WriteSource`."""
        headers: dict[str, str] = {}
        propagate.inject(headers)
        with self._channel.lend() as channel:
            method = channel.stream_stream(
                _METHOD,
                request_serializer=pb.WriteGrantedRequest.SerializeToString,
                response_deserializer=pb.WriteGrantedResponse.FromString,
            )

            def begin(requests: Iterator[pb.WriteGrantedRequest]) -> Any:  # noqa: ANN401
                return method(
                    requests, timeout=timeout_s, metadata=tuple(headers.items())
                )

            write = CentralWrite(begin, start, self._channel.endpoint)
            try:
                write.wait_for_grant(self._grant_timeout_s)
                yield write
            finally:
                write.close()


class CentralWrite:
    """A `GrantedWrite` of central's."""

    def __init__(
        self,
        begin: Callable[[Iterator[pb.WriteGrantedRequest]], Any],
        start: bytes,
        endpoint: str,
    ) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._requests: queue.Queue[pb.WriteGrantedRequest | None] = queue.Queue(
            _MAX_WAITING
        )
        self._asked: deque[tuple[str, Parse, Future[Any]]] = deque()
        self._seal_count = 0
        self._error: StrongroomError | None = None
        self._granted: Future[WriteGrant] = Future()
        self._limits: Future[OpenLimits] = Future()
        self._position: Future[Position] = Future()
        self._result: Future[CommitResult | PartResult] = Future()
        first = transfer_pb.WriteStart.FromString(start)
        self._requests.put(pb.WriteGrantedRequest(start=first))
        self._call = begin(self._sent())
        self._reader = threading.Thread(target=self._read, name="write", daemon=True)
        self._reader.start()

    def wait_for_grant(self, timeout_s: float) -> None:
        """Wait until central grants it; errors as `WriteSource.write`."""
        try:
            self._granted.result(timeout_s)
        except TimeoutError as error:
            raise self._silent(timeout_s) from error
        except StrongroomError as error:
            if _is_passed_on(error):
                raise NotGrantedError(error) from error
            raise

    @property
    def grant(self) -> WriteGrant:
        """See `GrantedWrite`."""
        return self._granted.result(0)

    @property
    def limits(self) -> OpenLimits:
        """See `GrantedWrite`."""
        return self._limits.result(0)

    def resume(self) -> Iterator[Position | None]:
        """See `GrantedWrite`."""
        while True:
            try:
                yield self._position.result(_LOOK_S)
            except TimeoutError:
                yield None
            else:
                return

    def name(self, chunks: Sequence[ChunkName]) -> "Future[Sequence[NamedChunk]]":
        """See `GrantedWrite`."""
        request = pb.WriteGrantedRequest(names=messages.names_request(chunks))

        def parse(answer: pb.WriteGrantedResponse) -> Sequence[NamedChunk]:
            return messages.named_of(answer.named, len(chunks))

        return self._ask(request, "named", parse)

    def seal(self, plan: PackPlan) -> "tuple[int, Future[SealedPack]]":
        """See `GrantedWrite`."""
        request = pb.WriteGrantedRequest(seal=messages.seal_request(plan))
        with self._lock:
            number = self._seal_count
            self._seal_count += 1
            return number, self._ask_locked(request, "sealed", messages.sealed_of)

    def locate(self, pack: int, *, digest: bytes, crc32: int) -> "Future[SignedPut]":
        """See `GrantedWrite`."""
        put = pb.PutPack(pack=pack, digest=digest, crc32=crc32)
        return self._ask(pb.WriteGrantedRequest(put=put), "url", messages.url_of)

    def stored(self, pack: int, version_id: str) -> None:
        """See `GrantedWrite`."""
        stored = pb.StoredPack(pack=pack, version_id=version_id)
        self._send(pb.WriteGrantedRequest(stored=stored))

    def tell(self, items: Sequence[WrittenItem]) -> None:
        """See `GrantedWrite`."""
        for part in messages.item_batches(items):
            self._send(pb.WriteGrantedRequest(items=part))

    def check(self) -> None:
        """See `GrantedWrite`."""
        if self._error is not None:
            raise self._error

    def commit(self, *, file_count: int, digest: str) -> CommitResult | PartResult:
        """See `GrantedWrite`. Ends with the call's time at the latest."""
        commit = transfer_pb.WriteCommit(file_count=file_count, digest=digest)
        self._send(pb.WriteGrantedRequest(commit=commit))
        return self._result.result()

    def end(self) -> None:
        """See `GrantedWrite`."""
        self._fail(CancelledError("the write was given up"))
        self._call.cancel()

    def close(self) -> None:
        """End it, and wait until nothing of it runs any more."""
        self.end()
        self._reader.join()

    def _sent(self) -> Iterator[pb.WriteGrantedRequest]:
        """Yield the requests; runs on a thread of gRPC."""
        while self._error is None:
            try:
                request = self._requests.get(timeout=QUIET_S)
            except queue.Empty:
                request = _SIGN_OF_LIFE
            if request is None:
                return
            yield request

    def _ask(
        self,
        request: pb.WriteGrantedRequest,
        kind: str,
        parse: Callable[[pb.WriteGrantedResponse], Answer],
    ) -> "Future[Answer]":
        with self._lock:
            return self._ask_locked(request, kind, parse)

    def _ask_locked(
        self,
        request: pb.WriteGrantedRequest,
        kind: str,
        parse: Callable[[pb.WriteGrantedResponse], Answer],
    ) -> "Future[Answer]":
        """Ask; the lock keeps answers and questions in one order."""
        future: Future[Answer] = Future()
        self._asked.append((kind, parse, future))
        self._send(request)
        return future

    def _send(self, request: pb.WriteGrantedRequest) -> None:
        for _ in range(_SEND_TRIES):
            self.check()
            try:
                self._requests.put(request, timeout=_LOOK_S)
            except queue.Full:
                continue
            return
        raise self._silent(_SEND_TRIES * _LOOK_S)

    def _read(self) -> None:
        try:
            for answer in self._call:
                self._hear(answer)
        except grpc.RpcError as failure:
            self._fail(_ended_with(failure, self._endpoint))
        except StrongroomError as error:
            self._fail(error)
            self._call.cancel()
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            name = type(error).__name__
            self._fail(malformed(f"central's answer cannot be read ({name})"))
            self._call.cancel()
        else:
            message = "central ended the write without a result"
            self._fail(UnavailableError(message, reason=Reason.TRANSPORT))

    def _hear(self, answer: pb.WriteGrantedResponse) -> None:
        kind = answer.WhichOneof("part")
        if kind == "progress":
            return
        if not self._granted.done():
            if kind != "grant":
                raise malformed("central's first answer is no grant")
            self._limits.set_result(messages.limits_of(answer.grant))
            self._granted.set_result(messages.grant_of(answer.grant))
        elif kind == "position":
            self._position.set_result(messages.position_of(answer.position))
        elif kind == "result":
            version = version_of(answer.result.version)
            self._result.set_result(CommitResult(version, answer.result.unchanged))
        elif kind == "draft_part":
            self._result.set_result(messages.part_of(answer.draft_part))
        else:
            self._settle(kind, answer)

    def _settle(self, kind: str | None, answer: pb.WriteGrantedResponse) -> None:
        """Hand an answer to who asked first."""
        try:
            wanted, parse, future = self._asked.popleft()
        except IndexError:
            raise malformed("central answers what nobody asked") from None
        if wanted != kind:
            error = malformed(f"central's answer is {kind}, not {wanted}")
            future.set_exception(error)
            raise error
        try:
            future.set_result(parse(answer))
        except StrongroomError as error:
            future.set_exception(error)
            raise

    def _fail(self, error: StrongroomError) -> None:
        """Raise an error from everything that is not answered, and from now on."""
        # At once: who holds the lock may wait for room, and looks at this.
        self._error = self._error or error
        with self._lock:
            waiting = [future for _, _, future in self._asked]
            self._asked.clear()
        ends = cast("list[Future[Any]]", [self._granted, self._position, self._result])
        for future in (*waiting, *ends):
            if not future.done():
                future.set_exception(self._error)
        try:
            # Whoever waits for room sees the error; gRPC's thread the end.
            self._requests.put_nowait(None)
        except queue.Full:
            return

    def _silent(self, seconds: float) -> UnavailableError:
        return UnavailableError(
            f"central did not answer within {seconds:g} seconds",
            reason=Reason.TRANSPORT,
            hint="Try again; look at central's health, and at the network to it.",
            endpoint=self._endpoint,
            seconds=f"{seconds:g}",
        )


def _is_passed_on(error: StrongroomError) -> bool:
    """Tell whether the call may do without a grant."""
    return (
        isinstance(error, PermissionDeniedError)
        or error.reason is Reason.WRITE_NOT_GRANTED
        or isinstance(error, _OldCentralError)
    )


class _OldCentralError(InternalError):
    """Central does not know the method."""


def _ended_with(failure: grpc.RpcError, endpoint: str) -> StrongroomError:
    call: Any = failure
    if call.code() is grpc.StatusCode.UNIMPLEMENTED:
        return _OldCentralError("central grants no writes")
    return error_of(failure, endpoint)


_writes: type[WriteSource] = CentralWrites
_write: type[GrantedWrite] = CentralWrite
