# SPDX-License-Identifier: Apache-2.0
"""Calls that a sidecar serves itself, without a guard of its own.

Whoever may open the socket may do what the sidecar may: central decides, and audits,
when it grants. A person's call is central's altogether.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Protocol

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from strongroom.errors import CancelledError, StrongroomError
from strongroom_server.core.access import AccessAction
from strongroom_server.core.records import Caller
from strongroom_server.ports import Clock, Entropy
from strongroom_server.rpc import failures
from strongroom_server.rpc.admission import Admission
from strongroom_server.rpc.call import CallView, enter_call
from strongroom_server.rpc.forwarding import TRACEPARENT, Forwarder, has_login
from strongroom_server.rpc.identity import Peer
from strongroom_server.rpc.status import call_metadata, to_status
from strongroom_server.rpc.watchdog import Watch, Watchdog

_LOG: Final = logging.getLogger("strongroom_server.calls")
_TRACER: Final = trace.get_tracer("strongroom_server.rpc")
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class PassOnError(Exception):
    """Central is to have the call, of which `first` has been read.

    Args:
        first: The requests that were taken, as they came.
    """

    def __init__(self, first: bytes) -> None:
        super().__init__()
        self.first = first


@dataclass(slots=True)
class LocalCall:
    """What is known of a call that is served here."""

    method: str
    span: trace.Span
    trace_id: str
    started_s: float
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, key: str, number: int) -> None:
        """Add to what its log line counts."""
        self.counts[key] = self.counts.get(key, 0) + number


class Answer(Protocol):
    """Answers one call, whose view is the current one."""

    def __call__(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        watch: Watch,
        limit_s: float,
    ) -> Iterator[object]:
        """Yield the responses.

        Raises:
            PassOnError: Central is to answer; nothing was answered yet.
        """
        ...


class LocalCalls:
    """Frames calls: time limits, counting, spans, log lines and statuses.

    Safe to use from many threads.

    Args:
        forwarder: Has the calls of people, and what cannot be done here.
        admission: Counts the calls.
        watchdog: Ends calls whose peer takes or sends nothing.
        principal: Who the sidecar is.
        limit_s: How long a call may take at most.
        clock: Measures that.
        entropy: Names traces that nobody else named.
    """

    def __init__(
        self,
        forwarder: Forwarder,
        *,
        admission: Admission,
        watchdog: Watchdog,
        principal: str,
        limit_s: float,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._forwarder = forwarder
        self._admission = admission
        self._watchdog = watchdog
        self._principal = principal
        self._limit_s = limit_s
        self._clock = clock
        self._entropy = entropy

    def serve(
        self,
        method: str,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        answer: Answer,
    ) -> Iterator[object]:
        """Serve one call."""
        if has_login(context):
            yield from self._forwarder.forward(method, requests, context)
            return
        try:
            yield from self._served(method, requests, context, answer)
        except PassOnError as error:
            whole = chain([error.first], requests)
            yield from self._forwarder.forward(method, whole, context)

    def _served(
        self,
        method: str,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        answer: Answer,
    ) -> Iterator[object]:
        call = self._begin(method, context)
        limit_s = min(self._limit_s, context.time_remaining() or self._limit_s)
        deadline_s = call.started_s + limit_s
        failure: StrongroomError | None = None
        with self._watchdog.watch(context.cancel, deadline_s=deadline_s) as watch:
            try:
                with self._admission.inside(self._principal):
                    enter_call(self._view(call, context, watch))
                    yield from answer(requests, context, watch, limit_s)
            except GeneratorExit:
                self._end(call, failures.gave_up(watch, context))
                raise
            except PassOnError:
                call.span.end()
                raise
            except (grpc.RpcError, CancelledError):
                failure = failures.gave_up(watch, context)
            except StrongroomError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 (every error becomes a status)
                failure = failures.bug(call.trace_id)
                self._end_with_bug(call, error)
        self._end(call, failure)
        if failure is not None:
            context.abort_with_status(
                to_status(failure, trace_id=call.trace_id, audit_id="")
            )
        context.set_trailing_metadata(call_metadata(call.trace_id, ""))

    def _view(
        self, call: LocalCall, context: grpc.ServicerContext, watch: Watch
    ) -> CallView:
        def allow(_action: AccessAction, _on: str) -> bool:
            # Central has left out of a grant what the sidecar may not see.
            return True

        def check() -> None:
            if not context.is_active():
                raise failures.gave_up(watch, context)

        return CallView(
            caller=Caller(self._principal, call.trace_id, ""),
            peer=Peer(self._principal, tls_version="", key_exchange=""),
            approved=None,
            may=allow,
            might=allow,
            needed=lambda _who, _by, _what: None,
            count=call.count,
            note=lambda _key, _text: None,
            check=check,
        )

    def _begin(self, method: str, context: grpc.ServicerContext) -> LocalCall:
        carrier = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if key == TRACEPARENT and isinstance(value, str)
        }
        parent = _PROPAGATOR.extract(carrier)
        name = method.removeprefix("/")
        span = _TRACER.start_span(
            name,
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": name},
        )
        # gRPC runs each call in a context of its own; nothing is to be detached.
        otel_context.attach(trace.set_span_in_context(span, parent))
        found = span.get_span_context()
        is_named = found.is_valid
        trace_id = (
            trace.format_trace_id(found.trace_id)
            if is_named
            else self._entropy.token_bytes(16).hex()
        )
        return LocalCall(method, span, trace_id, self._clock.monotonic())

    def _end(self, call: LocalCall, failure: StrongroomError | None) -> None:
        code = failure.code if failure else "OK"
        call.span.set_attribute("rpc.response.status_code", code)
        if failure is not None:
            call.span.set_attribute("strongroom.reason", failure.reason.value)
            call.span.set_status(
                trace.Status(trace.StatusCode.ERROR, failure.reason.value)
            )
        for key, count in call.counts.items():
            call.span.set_attribute(f"strongroom.{key}", count)
        call.span.end()
        line = {
            "event": "call",
            "method": call.method,
            "code": code,
            "reason": failure.reason.value if failure else "",
            "duration_ms": round((self._clock.monotonic() - call.started_s) * 1000, 3),
            "trace_id": call.trace_id,
            **call.counts,
        }
        _LOG.info("%s", json.dumps(line))

    def _end_with_bug(self, call: LocalCall, error: Exception) -> None:
        # Its text could hold names; where it came from does not.
        line = {
            "event": "bug",
            "method": call.method,
            "error": type(error).__qualname__,
            "frames": failures.frames_of(error),
            "trace_id": call.trace_id,
        }
        _LOG.error("%s", json.dumps(line))
