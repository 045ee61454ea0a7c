# SPDX-License-Identifier: Apache-2.0
"""Calls: trace context out, our errors in, a deadline and a watch on each."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message

from strongroom import _status, _telemetry
from strongroom._channel import handshake
from strongroom._channel.connection import Connection
from strongroom._channel.methods import Method, RequestT, ResponseT
from strongroom._channel.watch import StallWatch
from strongroom._shared.lanes import Lanes
from strongroom.config import ClientSettings
from strongroom.errors import (
    DeadlineExceededError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.frames import BlockFrame

#: Values of keys that end in `-bin` are bytes.
Headers = tuple[tuple[str, str | bytes], ...]
_AnswerT = TypeVar("_AnswerT")
_AnswerT_co = TypeVar("_AnswerT_co", covariant=True)


class Answers(Protocol[_AnswerT_co]):
    """What gRPC returns for a call with many answers; its stubs hide the name."""

    def __next__(self) -> _AnswerT_co:
        """Wait for the next answer."""
        ...

    def cancel(self) -> bool:
        """End the call."""
        ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """Return what came behind the last answer."""
        ...


def _no_headers() -> Headers:
    return ()


class Caller:
    """Makes calls over one connection.

    Args:
        settings: Where to, and as whom.
        headers: Is asked before each call for what to send beside trace context.
    """

    def __init__(
        self, settings: ClientSettings, headers: Callable[[], Headers] = _no_headers
    ) -> None:
        self.settings = settings
        self.headers = headers
        #: Memory shared with the server, where it is on this machine.
        self.lanes = Lanes(settings.data_socket)
        self._connection = Connection(settings)

    def close(self) -> None:
        """Close the connection; streams that still run end as cancelled."""
        self._connection.close()
        self.lanes.close()

    def renew(self) -> None:
        """Have the next call connect anew: a connection that fell silent stays so."""
        self._connection.renew()

    def unary(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_s: float | None = None,
    ) -> ResponseT:
        """Make a call with one answer; gRPC retries it if it may be repeated.

        Raises:
            StrongroomError: What the server raised, or why it was not reached.
        """
        span = _telemetry.start_call(method.service, method.name)
        try:
            with self._connection.channel() as channel:
                response, call = channel.unary_unary(
                    method.path,
                    request_serializer=method.encode,
                    response_deserializer=method.response.FromString,
                ).with_call(
                    request,
                    timeout=timeout_s or self.settings.call_timeout_s,
                    metadata=span.headers() + self.headers(),
                )
        except grpc.RpcError as failure:
            error = self.translate(failure, span)
            raise _with_request(error, method, request) from failure
        except BaseException:
            span.end("CANCELLED")
            raise
        trailers = _status.trailers_of(call.trailing_metadata())
        span.end("OK", trailers.get(_status.AUDIT_ID_KEY, ""))
        return response

    def send(
        self, path: str, data: bytes, *, headers: Headers, streamed: bool
    ) -> Iterator[bytes]:
        """Make a call with one request, sent as it is; yield the answers' bytes.

        How long it may take, the server says; a stream of answers may not stop.

        Args:
            path: The method's full name.
            data: The request's bytes.
            headers: What to send beside trace context and login.
            streamed: Whether the method may answer with many messages.

        Raises:
            StrongroomError: What the server raised, or why it was not reached.
        """
        service, _, name = path.removeprefix("/").partition("/")
        limit_s = self.settings.transfer_timeout_s

        def start(channel: grpc.Channel, own: Headers, _: StallWatch) -> Answers[bytes]:
            return channel.unary_stream(
                path, request_serializer=_as_is, response_deserializer=_as_is
            )(data, timeout=limit_s, metadata=own + headers)

        method = Method(service, name, Message, Message)
        # One answer may take its time; many come one after another.
        stall_s = self.settings.stall_timeout_s if streamed else limit_s
        with Stream(self, self._connection, method, start, stall_s=stall_s) as stream:
            yield from stream

    def stream(
        self, method: Method[RequestT, ResponseT], request: RequestT
    ) -> "Stream[ResponseT]":
        """Start a call with many answers.

        Raises:
            StrongroomError: The certificate files are unusable.
        """
        return self._stream(method, request, method.response.FromString)

    def stream_blocks(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        headers: Headers = (),
    ) -> "Stream[ResponseT | BlockFrame]":
        """Start a call with many answers, of which most are large blocks.

        Args:
            method: The method.
            request: The request.
            headers: What to send beside trace context and login.

        Raises:
            StrongroomError: The certificate files are unusable.
        """
        return self._stream(method, request, method.decode, headers)

    def exchange(
        self,
        method: Method[RequestT, ResponseT],
        requests: Iterator[RequestT | BlockFrame],
        headers: Headers = (),
        *,
        may_idle: bool = False,
    ) -> "Stream[ResponseT]":
        """Start a call with many requests and many answers.

        Args:
            method: The method.
            requests: Runs on a thread of gRPC, one step ahead of the network at most,
                and must not raise: gRPC would print it and say UNKNOWN.
            headers: What to send beside trace context and login.
            may_idle: Whether requests come when somebody wants something, so that
                only who waits for an answer can find the server stalled.

        Raises:
            StrongroomError: The certificate files are unusable.
        """

        def start(
            channel: grpc.Channel, own: Headers, watch: StallWatch
        ) -> Answers[ResponseT]:
            return channel.stream_stream(
                method.path,
                request_serializer=method.encode,
                response_deserializer=method.response.FromString,
            )(
                requests if may_idle else _watched(requests, watch),
                timeout=self.settings.transfer_timeout_s,
                metadata=own + headers,
            )

        return Stream(self, self._connection, method, start)

    def _stream(
        self,
        method: Method[RequestT, Any],
        request: RequestT,
        decode: Callable[[bytes], _AnswerT],
        headers: Headers = (),
    ) -> "Stream[_AnswerT]":
        def start(
            channel: grpc.Channel, own: Headers, _: StallWatch
        ) -> Answers[_AnswerT]:
            return channel.unary_stream(
                method.path,
                request_serializer=method.encode,
                response_deserializer=decode,
            )(
                request,
                timeout=self.settings.transfer_timeout_s,
                metadata=own + headers,
            )

        return Stream(self, self._connection, method, start, request)

    def translate(
        self, failure: grpc.RpcError, span: _telemetry.CallSpan
    ) -> StrongroomError:
        """Return the error that a failure means, and end its span."""
        error = _status.error_of(failure, trace_id=span.trace_id)
        if isinstance(error, UnavailableError) and _status.is_transport(error):
            cause = self._explain()
            if cause is not None:
                cause.trace_id = error.trace_id
                error = cause
        span.end(failure.code().name, error.audit_id)
        return error

    def _explain(self) -> StrongroomError | None:
        try:
            with self._connection.as_files() as settings:
                return handshake.explain(settings)
        except StrongroomError as error:
            return error


class Stream(Generic[_AnswerT]):
    """The answers of one call, in order; a context manager that ends the call.

    Only one thread may iterate; any thread may `cancel`.
    """

    def __init__(
        self,
        caller: Caller,
        connection: Connection,
        method: Method[Any, Any],
        start: Callable[[grpc.Channel, Headers, StallWatch], Answers[_AnswerT]],
        request: Message | None = None,
        *,
        stall_s: float | None = None,
    ) -> None:
        self._caller = caller
        self._method = method
        self._request = request
        self._span = _telemetry.start_call(method.service, method.name)
        self._ended = False
        self._call: Answers[_AnswerT] | None = None
        with ExitStack() as stack:
            stack.callback(self._end, "CANCELLED")
            channel = stack.enter_context(connection.channel())
            self._stall_s = stall_s or caller.settings.stall_timeout_s
            self._watch = StallWatch(self._stall_s, self.cancel)
            stack.callback(self._watch.stop)
            stack.callback(self.cancel)
            headers = self._span.headers() + caller.headers()
            self._call = start(channel, headers, self._watch)
            self._resources = stack.pop_all()

    @property
    def trace_id(self) -> str:
        """The trace in which the call runs: 32 hex digits."""
        return self._span.trace_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[_AnswerT]:
        return self

    def __next__(self) -> _AnswerT:
        """Return the next answer.

        Raises:
            StrongroomError: What the server raised, why it was not reached, or that
                it sent nothing for too long (STALLED).
            StopIteration: The call ended well.
        """
        call = self._call
        if call is None:
            raise StopIteration
        try:
            with self._watch.waiting():
                return next(call)
        except StopIteration:
            trailers = _status.trailers_of(call.trailing_metadata())
            self._end("OK", trailers.get(_status.AUDIT_ID_KEY, ""))
            raise
        except grpc.RpcError as failure:
            raise self._error(failure) from failure

    def cancel(self) -> None:
        """End the call at once; the server is told."""
        if self._call is not None:
            self._call.cancel()

    def close(self) -> None:
        """End the call, if it has not ended, and let go of the channel."""
        self._resources.close()

    def _error(self, failure: grpc.RpcError) -> StrongroomError:
        if not self._watch.stalled:
            self._ended = True
            error = self._caller.translate(failure, self._span)
            return _with_request(error, self._method, self._request)
        self._end("DEADLINE_EXCEEDED")
        self._caller.renew()
        limit_s = self._stall_s
        message = f"the server sent and took nothing for {limit_s:g} seconds"
        stalled = DeadlineExceededError(
            message,
            reason=Reason.STALLED,
            hint="Try again; if it lasts, `strongroom doctor` looks for the cause.",
            stall_timeout_s=limit_s,
        )
        stalled.trace_id = self.trace_id
        return stalled

    def _end(self, code: str, audit_id: str = "") -> None:
        if not self._ended:
            self._ended = True
            self._span.end(code, audit_id)


def _as_is(data: bytes) -> bytes:
    return data


def _with_request(
    error: StrongroomError, method: Method[Any, Any], request: Message | None
) -> StrongroomError:
    """Keep what was refused for want of an approval: that is what to ask one for."""
    if error.reason is Reason.APPROVAL_REQUIRED and request is not None:
        error.refused = (method.path, method.encode(request))
    return error


def _watched(
    requests: Iterator[RequestT | BlockFrame], watch: StallWatch
) -> Iterator[RequestT | BlockFrame]:
    while True:
        with watch.working():
            request = next(requests, None)
        if request is None:
            return
        yield request
