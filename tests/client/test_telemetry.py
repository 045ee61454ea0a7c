# SPDX-License-Identifier: Apache-2.0
"""Every call belongs to a trace, whether or not anybody records it."""

import re
import subprocess
import sys

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


def test_without_opentelemetry_calls_have_traces_and_can_be_written() -> None:
    script = (
        "import sys, json\n"
        "from strongroom import _telemetry as t\n"
        "seen = []\n"
        "with t.own_spans_written(seen.append), t.operation('push') as trace:\n"
        "    call = t.start_call('s', 'm'); headers = dict(call.headers())\n"
        "    call.end('NOT_FOUND', 'a1')\n"
        "    assert call.trace_id == trace and trace in headers['traceparent']\n"
        "first, second = t.start_call('s', 'm'), t.start_call('s', 'm')\n"
        "assert first.trace_id != second.trace_id\n"
        "assert [s.name for s in seen] == ['s/m', 'strongroom.push']\n"
        "assert seen[0].parent_span_id == seen[1].span_id\n"
        "assert seen[0].status == 'ERROR'\n"
        "assert seen[0].attributes['strongroom.audit_id'] == 'a1'\n"
        "assert 'opentelemetry' not in sys.modules\n"
        "print(headers['traceparent'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert TRACEPARENT.fullmatch(done.stdout.strip())


def test_gauges_wait_for_an_application_that_collects() -> None:
    script = (
        "from strongroom import _telemetry as t\n"
        "t.gauge('g', 'd', unit='s', read=lambda: [7.0])\n"
        "t.start_call('s', 'm')\n"
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "reader = InMemoryMetricReader()\n"
        "metrics.set_meter_provider(MeterProvider([reader]))\n"
        "t.start_call('s', 'm')\n"
        "print('\"g\"' in reader.get_metrics_data().to_json())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.strip() == "True"
