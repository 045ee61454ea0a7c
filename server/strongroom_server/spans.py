# SPDX-License-Identifier: Apache-2.0
"""Spans of our own code, at a fraction of the SDK's price: each call has some.

The SDK's span checks and copies each attribute under a lock, and itself when it ends.
One of ours belongs to one thread at a time, holds texts and numbers, and goes as it is
to the same processors. What ours do not do, the SDK's tracers do: spans of other
libraries, samplers and limits that the environment sets, links.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    Event,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    Tracer,
    TracerProvider,
    sampling,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.util.types import Attributes, AttributeValue

from strongroom_server.ports import Clock

#: Whose tracers are ours.
OWN: Final = "strongroom_server"
#: Of a trace that begins here: sampled, by an id of chance.
_ROOT: Final = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)
#: The SDK's own limits, none of them read from the environment: spans of ours have few
#: attributes and events, and need not be counted.
_COMMON_COUNT: Final = 128
_COMMON_LIMITS: Final = SpanLimits(
    max_attributes=_COMMON_COUNT,
    max_events=_COMMON_COUNT,
    max_links=_COMMON_COUNT,
    max_span_attributes=_COMMON_COUNT,
    max_event_attributes=_COMMON_COUNT,
    max_link_attributes=_COMMON_COUNT,
    max_attribute_length=SpanLimits.UNSET,
    max_span_attribute_length=SpanLimits.UNSET,
)


class OwnSpan(Span, ReadableSpan):
    """A span that is written by one thread, then read by those that export it."""

    def __init__(
        self,
        tracer: "OwnTracer",
        name: str,
        *,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        start_time: int,
    ) -> None:
        """Begin it."""
        ReadableSpan.__init__(
            self,
            name,
            context,
            parent,
            tracer.resource,
            attributes,
            kind=kind,
            start_time=start_time,
            instrumentation_scope=tracer.scope,
        )
        self._tracer = tracer
        self._ids = context
        self._own = attributes

    def get_span_context(self) -> SpanContext:
        """Return its ids."""
        return self._ids

    def is_recording(self) -> bool:
        """Tell whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Say one thing about what is traced."""
        self._own[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Say several things about it."""
        self._own.update(attributes)

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Say what happened meanwhile."""
        event = Event(name, attributes=attributes, timestamp=timestamp)
        self._events = (*self._events, event)

    def update_name(self, name: str) -> None:
        """Call it otherwise."""
        self._name = name

    def set_status(
        self, status: Status | StatusCode, description: str | None = None
    ) -> None:
        """Say how it went."""
        if isinstance(status, StatusCode):
            status = Status(status, description)
        self._status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 (OpenTelemetry's)
    ) -> None:
        """Note an exception's class; its text could hold names."""
        told = {
            "exception.type": type(exception).__qualname__,
            "exception.escaped": str(escaped),
            **(attributes or {}),
        }
        self.add_event("exception", told, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it, once, and hand it to those that export it."""
        if self._end_time is None:
            self._end_time = end_time or self._tracer.now_ns()
            self._tracer.span_processor.on_end(self)


class OwnTracer(Tracer):
    """Makes spans of ours where the SDK's would do no more."""

    def __init__(self, whole: Tracer, provider: "OwnTracerProvider") -> None:
        """Make what `whole`, the SDK's, would make, at less cost."""
        super().__init__(
            whole.sampler,
            whole.resource,
            whole.span_processor,
            whole.id_generator,
            whole.instrumentation_info,
            whole._span_limits,  # noqa: SLF001 (nothing else tells them)
            whole._instrumentation_scope,  # noqa: SLF001 (the same)
        )
        self.scope = self._instrumentation_scope
        self._provider = provider

    def now_ns(self) -> int:
        """Return the time since 1970, to the microsecond."""
        return round(self._provider.clock.now().timestamp() * 1e6) * 1000

    def start_span(  # noqa: PLR0917 (OpenTelemetry's)
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002 (OpenTelemetry's)
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002 (the same)
    ) -> Span:
        """Begin a span; one with links is the SDK's."""
        if links:
            return super().start_span(
                name, context, kind, attributes, links, start_time,
                record_exception, set_status_on_exception,
            )  # fmt: skip
        above = trace.get_current_span(context).get_span_context()
        parent = above if above.is_valid else None
        ids = self._identify(parent)
        if not (self._provider.is_exported and ids.trace_flags.sampled):
            return NonRecordingSpan(ids)
        return OwnSpan(
            self,
            name,
            context=ids,
            parent=parent,
            kind=kind,
            attributes=dict(attributes or {}),
            start_time=start_time or self.now_ns(),
        )

    def _identify(self, parent: SpanContext | None) -> SpanContext:
        """Name a span; it is sampled unless its parent is not."""
        make = self.id_generator
        if parent is None:
            return SpanContext(
                make.generate_trace_id(),
                make.generate_span_id(),
                is_remote=False,
                trace_flags=_ROOT,
            )
        return SpanContext(
            parent.trace_id,
            make.generate_span_id(),
            is_remote=False,
            trace_flags=parent.trace_flags,
            trace_state=parent.trace_state,
        )


class OwnTracerProvider(TracerProvider):
    """The SDK's provider, whose tracers of our own code are ours.

    Attributes:
        clock: Says when spans begin and end.
        is_exported: Whether anybody is handed spans that have ended; otherwise they
            have ids, and nothing is recorded.
    """

    def __init__(self, resource: Resource, *, clock: Clock) -> None:
        """Make one that exports nothing yet."""
        super().__init__(resource=resource)
        self.clock = clock
        self.is_exported = False
        # Samplers and limits that the environment sets are for the SDK's tracers.
        self._is_common = (
            self.sampler is sampling.DEFAULT_ON
            and vars(self._span_limits) == vars(_COMMON_LIMITS)
            and isinstance(self.id_generator, RandomIdGenerator)
        )

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Hand spans that have ended to one more."""
        self.is_exported = True
        super().add_span_processor(span_processor)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Return what makes the spans of a module."""
        whole = super().get_tracer(
            instrumenting_module_name,
            instrumenting_library_version,
            schema_url,
            attributes,
        )
        is_own = instrumenting_module_name.partition(".")[0] == OWN
        # With OTEL_SDK_DISABLED it is none that records anything.
        if is_own and self._is_common and isinstance(whole, Tracer):
            # An SDK that has changed within may keep those under other names.
            with suppress(AttributeError):
                return OwnTracer(whole, self)
        return whole
