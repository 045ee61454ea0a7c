# SPDX-License-Identifier: Apache-2.0
"""Spans of our own code: what is exported of them is what the SDK would export."""

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace import Span as WholeSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from strongroom_server.spans import OwnSpan, OwnTracerProvider
from tests.support.clock import ManualClock

NAME = "strongroom_server.rpc"
RESOURCE = Resource.create({"service.name": "test"})
SECRET = "projects/demo/artifacts/secret"


def provider(
    *, exported: bool = True
) -> tuple[OwnTracerProvider, InMemorySpanExporter]:
    made, exporter = OwnTracerProvider(RESOURCE, clock=ManualClock()), _exporter()
    if exported:
        made.add_span_processor(SimpleSpanProcessor(exporter))
    return made, exporter


def _exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def told(span: ReadableSpan) -> dict[str, Any]:
    """Return what an exporter reads of a span, without ids and times."""
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "kind": span.kind,
        "attributes": dict(span.attributes or {}),
        "status": (span.status.status_code, span.status.description),
        "events": [event.name for event in span.events],
        "links": len(span.links),
        "resource": span.resource,
        "scope": scope and (scope.name, scope.version),
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "is_child": span.parent is not None,
    }


def use(tracer: trace.Tracer) -> None:
    """Make spans as our code does."""
    with tracer.start_as_current_span(
        "call", kind=SpanKind.SERVER, attributes={"rpc.method": "x"}
    ) as call:
        with tracer.start_as_current_span(
            "S3.Get", kind=SpanKind.CLIENT, record_exception=False
        ) as inner:
            inner.set_attribute("strongroom.bytes", 7)
            inner.set_status(StatusCode.ERROR, "why")
        call.set_attributes({"a": "b", "n": 1})
        call.add_event("something", {"k": "v"})
        call.update_name("renamed")
        call.set_status(Status(StatusCode.OK))


def test_what_is_exported_is_what_the_sdk_would_export() -> None:
    own, exported = provider()
    whole, expected = TracerProvider(resource=RESOURCE), _exporter()
    whole.add_span_processor(SimpleSpanProcessor(expected))

    use(own.get_tracer(NAME, "1"))
    use(whole.get_tracer(NAME, "1"))

    ours, theirs = exported.get_finished_spans(), expected.get_finished_spans()
    assert [told(span) for span in ours] == [told(span) for span in theirs]
    assert isinstance(ours[0], OwnSpan)
    for span in ours:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
    inner, call = ours
    assert inner.parent == call.context
    assert inner.context.trace_id == call.context.trace_id
    assert call.context.trace_flags == theirs[1].context.trace_flags


def test_a_call_goes_on_with_the_trace_of_its_caller() -> None:
    own, exported = provider()
    caller = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    above = trace.set_span_in_context(NonRecordingSpan(caller))

    own.get_tracer(NAME).start_span("call", context=above).end()

    [span] = exported.get_finished_spans()
    assert span.context.trace_id == 7
    assert span.context.span_id != 8
    assert span.parent == caller


def test_what_its_caller_does_not_sample_is_not_exported_and_has_ids() -> None:
    own, exported = provider()
    caller = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(0))
    above = trace.set_span_in_context(NonRecordingSpan(caller))

    span = own.get_tracer(NAME).start_span("call", context=above)
    span.set_attribute("a", "b")
    span.end()

    assert exported.get_finished_spans() == ()
    assert span.get_span_context().trace_id == 7
    assert not span.get_span_context().trace_flags.sampled


def test_where_nobody_exports_there_are_ids_and_nothing_is_recorded() -> None:
    own, _ = provider(exported=False)

    with own.get_tracer(NAME).start_as_current_span("call") as call:
        inner = own.get_tracer(f"{NAME}.x").start_span("inner")

    assert not call.is_recording()
    assert call.get_span_context().is_valid
    assert inner.get_span_context().trace_id == call.get_span_context().trace_id


def test_a_span_ends_once() -> None:
    own, exported = provider()
    span = own.get_tracer(NAME).start_span("call")
    assert span.is_recording()
    span.end()
    span.end()

    assert not span.is_recording()
    assert len(exported.get_finished_spans()) == 1


def test_the_text_of_an_exception_is_in_no_event() -> None:
    own, exported = provider()
    tracer = own.get_tracer(NAME)
    with (
        pytest.raises(ValueError, match="secret"),
        tracer.start_as_current_span("call", set_status_on_exception=False),
    ):
        raise ValueError(SECRET)

    [span] = exported.get_finished_spans()
    [event] = span.events
    assert dict(event.attributes or {})["exception.type"] == "ValueError"
    assert SECRET not in span.to_json()


def test_others_and_uncommon_spans_are_the_sdks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, exported = provider()
    others = own.get_tracer("botocore")
    link = Link(SpanContext(1, 2, is_remote=False))

    assert type(others) is Tracer
    assert isinstance(own.get_tracer(NAME).start_span("x", links=[link]), WholeSpan)

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    off, exported = provider()
    assert type(off.get_tracer(NAME)) is Tracer
    off.get_tracer(NAME).start_span("x").end()
    assert exported.get_finished_spans() == ()

    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    short, exported = provider()
    short.get_tracer(NAME).start_span("x", attributes={"a": "abcdef"}).end()
    assert dict(exported.get_finished_spans()[0].attributes or {}) == {"a": "abc"}

    monkeypatch.delenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    none, _ = provider()
    assert not none.get_tracer(NAME).start_span("x").is_recording()


@pytest.mark.parametrize(
    ("variable", "dropped"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", (1, 0)),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", (1, 0)),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", (0, 1)),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", (0, 0)),
    ],
)
def test_each_limit_of_the_environment_is_kept(
    monkeypatch: pytest.MonkeyPatch, variable: str, dropped: tuple[int, int]
) -> None:
    monkeypatch.setenv(variable, "1")
    limited, exported = provider()

    with limited.get_tracer(NAME).start_as_current_span("x") as span:
        span.set_attributes({"a": 1, "b": 2})
        span.add_event("one", {"a": 1, "b": 2})
        span.add_event("two")

    [told_span] = exported.get_finished_spans()
    assert (told_span.dropped_attributes, told_span.dropped_events) == dropped
    if variable == "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT":
        assert dict(told_span.events[0].attributes or {}) == {"b": 2}


def test_an_sdk_that_has_changed_within_makes_its_own_spans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, exported = provider()
    changed = own.get_tracer("botocore")
    assert isinstance(changed, Tracer)
    vars(changed).pop("_instrumentation_scope")
    monkeypatch.setattr(TracerProvider, "get_tracer", lambda *_: changed)

    assert own.get_tracer(NAME) is changed
    assert exported.get_finished_spans() == ()
