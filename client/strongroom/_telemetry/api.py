# SPDX-License-Identifier: Apache-2.0
"""Spans and gauges by OpenTelemetry's API, for an application that has loaded it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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
from strongroom._telemetry import SPAN_ID_BYTES, TRACE_ID_BYTES, ended_attributes

_LIBRARY: Final = "strongroom"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class ApiSpan:
    """The span of one call, of which an SDK may be told."""

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
        """End the span, as `CallSpan` says it."""
        self._span.set_attributes(ended_attributes(code, audit_id))
        if code != "OK":
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()


def start_call(name: str, attributes: Mapping[str, str | int]) -> ApiSpan:
    """Start the span of one call; whoever starts it ends it."""
    tracer = trace.get_tracer(_LIBRARY)
    return ApiSpan(
        _valid(tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes))
    )


@contextmanager
def operation(name: str) -> Iterator[str]:
    """Run a block as one trace; yield its id: 32 hex digits."""
    tracer = trace.get_tracer(_LIBRARY)
    with tracer.start_as_current_span(name) as started:
        span = _valid(started)
        with trace.use_span(span):
            yield trace.format_trace_id(span.get_span_context().trace_id)


def gauge(
    name: str, description: str, *, unit: str, read: Callable[[], Iterable[float]]
) -> None:
    """Have a value read whenever the application collects metrics."""

    def observe(_options: metrics.CallbackOptions) -> list[metrics.Observation]:
        return [metrics.Observation(value) for value in read()]

    metrics.get_meter(_LIBRARY).create_observable_gauge(
        name, [observe], unit=unit, description=description
    )


def _valid(span: Span) -> Span:
    """Return the span, or one with ids by chance where no SDK gave it any."""
    if span.get_span_context().is_valid:
        return span
    context = SpanContext(
        trace_id=_system.new_id(TRACE_ID_BYTES),
        span_id=_system.new_id(SPAN_ID_BYTES),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return NonRecordingSpan(context)
