# SPDX-License-Identifier: Apache-2.0
"""Calls that a sidecar passes on to central as they are: bytes, deadline, headers.

The sidecar's certificate speaks for the pod. What central answers, errors and trailers
included, is passed back; only that central cannot be reached the sidecar says itself.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, cast

import grpc

from strongroom.errors import Reason, StrongroomError, UnavailableError
from strongroom_server.ports import Clock
from strongroom_server.rpc.admission import Admission
from strongroom_server.rpc.approving import APPROVAL
from strongroom_server.rpc.logins import AUTHORIZATION
from strongroom_server.rpc.responding import Handler
from strongroom_server.rpc.status import (
    AUDIT_ID_KEY,
    DETAILS_KEY,
    TRACE_ID_KEY,
    to_status,
)
from strongroom_server.rpc.watchdog import Watchdog

TRACEPARENT: Final = "traceparent"
#: What is passed on of what a caller sends beside its requests.
_HEADERS: Final = frozenset({TRACEPARENT, "tracestate", AUTHORIZATION, APPROVAL})
#: And of what central sends behind its answers.
_TRAILERS: Final = frozenset({AUDIT_ID_KEY, TRACE_ID_KEY, DETAILS_KEY})

Lend = Callable[[], AbstractContextManager[grpc.Channel]]
Metadata = tuple[tuple[str, str | bytes], ...]


class Forwarder:
    """Passes calls on. Safe to use from many threads.

    Args:
        lend: Lends the channel to central.
        endpoint: Where central is, for messages.
        admission: Counts the calls.
        watchdog: Ends calls whose caller takes nothing, or whose time is long over.
        limit_s: How long a call may take at most.
        clock: Measures that.
    """

    def __init__(
        self,
        lend: Lend,
        *,
        endpoint: str,
        admission: Admission,
        watchdog: Watchdog,
        limit_s: float,
        clock: Clock,
    ) -> None:
        self._lend = lend
        self._endpoint = endpoint
        self._admission = admission
        self._watchdog = watchdog
        self._limit_s = limit_s
        self._clock = clock

    def handler(self, method: str) -> Handler:
        """Return what serves one method, of whatever kind: each is a stream."""

        def serve(
            requests: Iterator[bytes], context: grpc.ServicerContext
        ) -> Iterator[bytes]:
            return self.forward(method, requests, context)

        return cast("Handler", grpc.stream_stream_rpc_method_handler(serve))

    def forward(
        self, method: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Pass a call on, and its answers back."""
        remaining_s = context.time_remaining()
        timeout_s = min(remaining_s or self._limit_s, self._limit_s)
        try:
            with self._admission.inside(self._endpoint), self._lend() as channel:
                # Bytes both ways: gRPC's types know messages only.
                begin: Any = channel.stream_stream(method)
                call: Any = begin(
                    requests, timeout=timeout_s, metadata=_headers(context)
                )
                if not context.add_callback(call.cancel):
                    call.cancel()
                yield from self._answers(call, context, timeout_s)
        except grpc.RpcError as failure:
            self._abort(failure, context)
        except StrongroomError as error:
            context.abort_with_status(to_status(error, trace_id="", audit_id=""))

    def _answers(
        self,
        call: Any,  # noqa: ANN401
        context: grpc.ServicerContext,
        timeout_s: float,
    ) -> Iterator[bytes]:
        deadline_s = self._clock.monotonic() + timeout_s
        with self._watchdog.watch(context.cancel, deadline_s=deadline_s) as watch:
            for answer in call:
                watch.wait_for_peer()
                yield answer
                watch.go_on()
        context.set_trailing_metadata(_trailers(call))

    def _abort(self, failure: grpc.RpcError, context: grpc.ServicerContext) -> None:
        call: Any = failure
        trailers = _trailers(call)
        if any(key == DETAILS_KEY for key, _ in trailers):
            context.set_trailing_metadata(trailers)
            context.abort(call.code(), call.details() or "")
        code = call.code()
        if code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}:
            context.abort(code, call.details() or "")
        context.abort_with_status(
            to_status(unreachable(self._endpoint, code), trace_id="", audit_id="")
        )


def unreachable(endpoint: str, code: grpc.StatusCode) -> UnavailableError:
    """Say that central did not answer a call that only it can answer."""
    return UnavailableError(
        f"central cannot be reached at {endpoint}: {code.name}",
        reason=Reason.TRANSPORT,
        hint="What is open goes on until its lease ends; all else needs central. Look "
        "at its health, at the network, and at the sidecar's certificate.",
        endpoint=endpoint,
    )


def has_login(context: grpc.ServicerContext) -> bool:
    """Tell whether a call is a person's: central alone knows what they may."""
    return any(key == AUTHORIZATION for key, _ in context.invocation_metadata() or ())


def _headers(context: grpc.ServicerContext) -> Metadata:
    sent = context.invocation_metadata() or ()
    return tuple((key, value) for key, value in sent if key in _HEADERS)


def _trailers(call: Any) -> Metadata:  # noqa: ANN401
    return tuple(
        (key, value)
        for key, value in call.trailing_metadata() or ()
        if key in _TRAILERS
    )
