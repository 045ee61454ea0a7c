# SPDX-License-Identifier: Apache-2.0
"""Spans in a file, and worker threads that know their call."""

import importlib.util
import json
import os
import resource
import stat
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from strongroom.errors import PreconditionError, Reason
from strongroom_server.rpc.certificates import CertificateKeeper
from strongroom_server.telemetry import (
    CallThreads,
    SpanFileExporter,
    gauge,
    telemetry,
)
from tests.rpc.authority import Authority, FixedIssuer
from tests.support.clock import ManualClock


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def provider_to(exporter: SpanFileExporter) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": "test"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def test_spans_are_lines_of_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "telemetry" / "spans.jsonl"
    provider = provider_to(SpanFileExporter(path))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("parent", kind=trace.SpanKind.SERVER) as parent:
        parent.set_attribute("strongroom.bytes", 7)
        with tracer.start_as_current_span("child"):
            pass
    provider.shutdown()

    child_line, parent_line = read(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert parent_line["name"] == "parent"
    assert parent_line["kind"] == "SERVER"
    assert parent_line["parent_span_id"] == ""
    assert parent_line["attributes"] == {"strongroom.bytes": 7}
    assert parent_line["resource"] == {"service.name": "test"}
    assert child_line["parent_span_id"] == parent_line["span_id"]
    assert child_line["trace_id"] == parent_line["trace_id"]
    assert len(parent_line["trace_id"]) == 32
    assert parent_line["start_unix_nano"] <= child_line["end_unix_nano"]


def test_threads_make_spans_of_their_call(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    provider = provider_to(SpanFileExporter(path))
    tracer = provider.get_tracer("test")

    def work(name: str) -> str:
        with tracer.start_as_current_span(name):
            return name

    with CallThreads(2) as threads:
        with tracer.start_as_current_span("call"):
            inside = threads.submit(work, "inside")
        outside = threads.submit(work, "outside")
        assert [inside.result(), outside.result()] == ["inside", "outside"]
    provider.shutdown()

    lines = {line["name"]: line for line in read(path)}
    assert lines["inside"]["parent_span_id"] == lines["call"]["span_id"]
    assert lines["outside"]["parent_span_id"] == ""


def test_the_file_is_put_aside_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    provider = provider_to(SpanFileExporter(path, max_bytes=2000))
    tracer = provider.get_tracer("test")
    for number in range(20):
        tracer.start_span(f"span {number}").end()
    provider.shutdown()

    assert path.stat().st_size <= 2000
    assert path.with_name("spans.jsonl.1").stat().st_size <= 2000
    assert read(path)[-1]["name"] == "span 19"


def test_a_file_that_cannot_be_begun_anew_loses_spans_and_no_descriptor(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spans.jsonl"
    exporter = SpanFileExporter(path, max_bytes=1)
    tracer = TracerProvider().get_tracer("test")
    span = tracer.start_span("x")
    span.end()
    assert isinstance(span, ReadableSpan)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        assert exporter.export([span]) is SpanExportResult.FAILURE
        assert exporter.export([span]) is SpanExportResult.FAILURE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert exporter.export([span]) is SpanExportResult.SUCCESS
    exporter.shutdown()

    assert [line["name"] for line in read(path)] == ["x"]


def test_a_full_disk_loses_spans_and_nothing_else(tmp_path: Path) -> None:
    exporter = SpanFileExporter(Path("/dev/full"))
    span = TracerProvider().get_tracer("test").start_span("x")
    span.end()

    assert exporter.export([span]) is SpanExportResult.FAILURE  # type: ignore[list-item]
    exporter.shutdown()


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(PreconditionError) as caught:
            SpanFileExporter(path)
        assert caught.value.reason is Reason.SETTING_INVALID


@pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.exporter") is not None,
    reason="the exporter for OTLP is installed here",
)
def test_otlp_without_its_exporter_is_told() -> None:
    settings: dict[str, Any] = {
        "service_name": "x",
        "spans_file": None,
        "otlp_endpoint": "http://127.0.0.1:4317",
        "clock": ManualClock(),
    }

    with (
        pytest.raises(PreconditionError, match="not installed"),
        telemetry(**settings),
    ):
        pass


def test_a_gauge_is_read_when_metrics_are_collected_and_not_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    clock = ManualClock()
    keeper = CertificateKeeper(FixedIssuer(Authority()), clock=clock)

    with gauge("left", "Until then.", unit="s", read=keeper.time_left_s):
        first = collected(reader)
        clock.advance(60)
        second = collected(reader)

    assert first[0] - second[0] == pytest.approx(60)
    assert collected(reader) == []
    provider.shutdown()


def collected(reader: InMemoryMetricReader) -> list[float]:
    data = reader.get_metrics_data()
    found = data.resource_metrics if data else []
    return [
        float(point.value)
        for resource in found
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint)
    ]
