# SPDX-License-Identifier: Apache-2.0
"""Trace context out, the client's spans, and its gauges.

Only OpenTelemetry's API is used: whether anything is recorded is the application's
choice. Every call carries a trace id even if nobody records.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from strongroom import _system

_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class CallSpan:
    """The span of one call, from its first byte to its last."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """The trace in which the call runs: 32 hex digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata that carries the trace to the server."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(self._span))
        return tuple(carrier.items())

    def set_attribute(self, key: str, value: str | int) -> None:
        """Note something about the call; never a name or content."""
        self._span.set_attribute(key, value)

    def end(self, code: str = "OK", audit_id: str = "") -> None:
        """End the span.

        Args:
            code: The name of the gRPC status code.
            audit_id: The call's entry in the audit log, if the server told it.
        """
        self._span.set_attribute("rpc.grpc.status_code", code)
        if audit_id:
            self._span.set_attribute("strongroom.audit_id", audit_id)
        if code != "OK":
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()


def start_call(service: str, method: str) -> CallSpan:
    """Start the span of one call; whoever starts it ends it."""
    span = _valid(
        trace.get_tracer("strongroom").start_span(
            f"{service}/{method}",
            kind=SpanKind.CLIENT,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
            },
        )
    )
    return CallSpan(span)


@contextmanager
def operation(name: str) -> Iterator[str]:
    """Run a block as one trace, whatever calls it makes.

    Yields:
        The trace id: 32 hex digits.
    """
    tracer = trace.get_tracer("strongroom")
    with tracer.start_as_current_span(f"strongroom.{name}") as started:
        span = _valid(started)
        with trace.use_span(span):
            yield trace.format_trace_id(span.get_span_context().trace_id)


def gauge(
    name: str, description: str, *, unit: str, read: Callable[[], Iterable[float]]
) -> None:
    """Have a value read whenever the application collects metrics, if it does."""

    def observe(_options: metrics.CallbackOptions) -> list[metrics.Observation]:
        return [metrics.Observation(value) for value in read()]

    metrics.get_meter("strongroom").create_observable_gauge(
        name, [observe], unit=unit, description=description
    )


def _valid(span: Span) -> Span:
    """Return the span, or one with ids by chance where no SDK gave it any."""
    if span.get_span_context().is_valid:
        return span
    context = SpanContext(
        trace_id=_system.new_id(_TRACE_ID_BYTES),
        span_id=_system.new_id(_SPAN_ID_BYTES),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return NonRecordingSpan(context)
