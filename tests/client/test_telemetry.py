# SPDX-License-Identifier: Apache-2.0
"""Every call belongs to a trace, whether or not anybody records it."""

import re

from opentelemetry import trace

from strongroom._telemetry import operation, start_call

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")


def test_a_call_without_an_sdk_has_a_trace_of_its_own() -> None:
    first, second = start_call("s", "m"), start_call("s", "m")

    parsed = TRACEPARENT.fullmatch(dict(first.headers())["traceparent"])
    assert parsed is not None
    assert parsed[1] == first.trace_id
    assert first.trace_id != second.trace_id


def test_calls_of_one_operation_share_a_trace() -> None:
    with operation("push") as trace_id:
        first, second = start_call("s", "m"), start_call("s", "m")

    assert first.trace_id == second.trace_id == trace_id
    assert start_call("s", "m").trace_id != trace_id


def test_the_callers_own_trace_is_carried_on() -> None:
    context = trace.SpanContext(
        trace_id=7, span_id=9, is_remote=False, trace_flags=trace.TraceFlags(1)
    )
    with trace.use_span(trace.NonRecordingSpan(context)), operation("pull") as trace_id:
        headers = dict(start_call("s", "m").headers())

    assert int(trace_id, 16) == 7
    assert headers["traceparent"] == f"00-{7:032x}-{9:016x}-01"
