# SPDX-License-Identifier: Apache-2.0
"""Telemetry's set-up: spans, gauges, log lines, and threads that know their call."""

import contextvars
import importlib
import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TextIO, TypeVar

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import format_span_id, format_trace_id

from strongroom.errors import PreconditionError, Reason
from strongroom_server.ports import Clock
from strongroom_server.spans import OwnTracerProvider

#: Spans that are read by people wait at most this long.
EXPORT_DELAY_MS: Final = 500
#: The spans file is put aside, once, when it is larger.
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
#: How long log lines that alarm nobody are gathered, unless they are so many.
LINGER_S: Final = 0.02
MAX_LINES: Final = 1000

# Made once: `json.dumps` with an argument makes one for each line.
_ENCODER: Final = json.JSONEncoder(default=list)

_OTLP: Final = "opentelemetry.exporter.otlp.proto.grpc"

Params = ParamSpec("Params")
Result = TypeVar("Result")


class SpanFileExporter(SpanExporter):
    """Appends spans to a file that only its owner may read, one JSON object a line."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the file, making it if it is missing.

        Raises:
            PreconditionError: It cannot be opened (SETTING_INVALID).
        """
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = _open(path)
        except OSError as error:
            message = f"the spans file {path} cannot be opened: {error.strerror}"
            raise PreconditionError(
                message, reason=Reason.SETTING_INVALID, path=path
            ) from error

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write spans; one write each batch, so that lines stay whole."""
        data = b"".join(_format_span(span) for span in spans)
        try:
            with self._lock:
                if os.fstat(self._fd).st_size + len(data) > self._max_bytes:
                    self._put_aside()
                os.write(self._fd, data)
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        with self._lock:
            os.close(self._fd)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Do nothing: every batch is written at once."""
        return True

    def _put_aside(self) -> None:
        with suppress(FileNotFoundError):  # An earlier try got as far as this.
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        # Opened before the old one is closed: if that fails, the old number is
        # still ours, and not that of somebody else's file or socket.
        fresh = _open(self._path)
        os.close(self._fd)
        self._fd = fresh


class CallThreads(ThreadPoolExecutor):
    """Threads that run each task in the context of the call that submitted it.

    So a request to S3 or Vault, made in a worker thread, is a child of its call's
    span.
    """

    def submit(
        self,
        fn: Callable[Params, Result],
        /,
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> Future[Result]:
        """Schedule a task; see `ThreadPoolExecutor`."""
        context = contextvars.copy_context()
        return super().submit(context.run, partial(fn, *args, **kwargs))


def log_to_stderr() -> None:
    """Send our lines, which are JSON, and others' warnings, made JSON, to stderr."""
    logging.getLogger().addHandler(LineHandler(sys.stderr))
    logging.getLogger("strongroom_server").setLevel(logging.INFO)


class LineHandler(logging.Handler):
    """Writes lines to a stream: what is worth a warning at once, the rest in groups.

    A write lets go of Python's lock, and many threads wait for that; so busy calls
    wait for no write. What is alarming takes with it all that came before.
    """

    def __init__(self, stream: TextIO, *, linger_s: float = LINGER_S) -> None:
        super().__init__()
        self.setFormatter(_LineFormatter())
        self._stream = stream
        self._linger_s = linger_s
        self._lines: deque[str] = deque()
        self._writing = threading.Lock()
        self._is_due = threading.Event()
        thread = threading.Thread(target=self._run, name="log-lines", daemon=True)
        thread.start()

    def createLock(self) -> None:  # noqa: N802 (logging's)
        """Do without the lock of handlers: a deque takes lines from all threads."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; see `logging.Handler`."""
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 (no call fails because of its log)
            line = _unformatted(record, error)
        self._lines.append(line)
        if record.levelno >= logging.WARNING or len(self._lines) >= MAX_LINES:
            self.flush()
        elif not self._is_due.is_set():
            self._is_due.set()

    def flush(self) -> None:
        """Write the lines that wait; called at the process's end, too."""
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            # Whom should it be told that nobody reads?
            with suppress(OSError, ValueError):
                self._stream.write("".join(f"{line}\n" for line in lines))
                self._stream.flush()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._is_due.wait()
            pause.wait(self._linger_s)
            self._is_due.clear()
            self.flush()


class _LineFormatter(logging.Formatter):
    """One JSON object a line, whoever wrote it."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.startswith("strongroom_server."):
            return record.getMessage()
        line = {
            "event": "log",
            "logger": record.name,
            "level": record.levelname,
            "message": record.getMessage(),
        }
        return json.dumps(line)


def _unformatted(record: logging.LogRecord, error: Exception) -> str:
    """Return what is written instead of a line that cannot be; not what it was of."""
    place = f"{record.module}:{record.lineno}"
    line = {
        "event": "log",
        "logger": record.name,
        "level": record.levelname,
        "message": f"the line of {place} cannot be made: {type(error).__name__}",
    }
    return json.dumps(line)


@contextmanager
def telemetry(
    *, service_name: str, spans_file: Path | None, otlp_endpoint: str, clock: Clock
) -> Iterator[None]:
    """Send spans where they belong for as long as the context lasts, then flush.

    Args:
        service_name: Who spans say they are of.
        spans_file: Where they are written to; None for no file.
        otlp_endpoint: Whom they are sent to, metrics too; "" for nobody.
        clock: Says when spans begin and end.

    Raises:
        PreconditionError: The file cannot be opened, or the exporter for OTLP is
            not installed (SETTING_INVALID).
    """
    exporters: list[SpanExporter] = []
    if spans_file is not None:
        exporters.append(SpanFileExporter(spans_file))
    if otlp_endpoint:
        exporters.append(_otlp_spans(otlp_endpoint))
    resource = Resource.create({"service.name": service_name})
    provider = OwnTracerProvider(resource, clock=clock)
    for exporter in exporters:
        processor = BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_DELAY_MS)
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    with ExitStack() as stack:
        stack.callback(provider.shutdown)
        if otlp_endpoint:
            reader = PeriodicExportingMetricReader(_otlp_metrics(otlp_endpoint))
            meters = MeterProvider([reader], resource=resource)
            stack.callback(meters.shutdown)
            metrics.set_meter_provider(meters)
        yield


@contextmanager
def gauge(
    name: str, description: str, *, unit: str, read: Callable[[], float]
) -> Iterator[None]:
    """Have a value read whenever metrics are collected, while the context lasts."""
    shown = True

    def observe(_options: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        if shown:
            yield metrics.Observation(read())

    metrics.get_meter("strongroom_server").create_observable_gauge(
        name, [observe], unit=unit, description=description
    )
    try:
        yield
    finally:
        shown = False


def _otlp_spans(endpoint: str) -> SpanExporter:
    exporter = _otlp("trace_exporter").OTLPSpanExporter(endpoint=endpoint)
    if not isinstance(exporter, SpanExporter):
        message = "OTLP's exporter is not one of spans"
        raise PreconditionError(message, reason=Reason.SETTING_INVALID)
    return exporter


def _otlp_metrics(endpoint: str) -> MetricExporter:
    exporter = _otlp("metric_exporter").OTLPMetricExporter(endpoint=endpoint)
    if not isinstance(exporter, MetricExporter):
        message = "OTLP's exporter is not one of metrics"
        raise PreconditionError(message, reason=Reason.SETTING_INVALID)
    return exporter


def _otlp(module: str) -> Any:  # noqa: ANN401 - an extra of its own, without types
    try:
        return importlib.import_module(f"{_OTLP}.{module}")
    except ImportError as error:
        message = "telemetry.otlp_endpoint is set, but OTLP's exporter is not installed"
        raise PreconditionError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="pip install opentelemetry-exporter-otlp-proto-grpc",
        ) from error


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def _format_span(span: ReadableSpan) -> bytes:
    context, parent = span.context, span.parent
    line = {
        "trace_id": format_trace_id(context.trace_id) if context else "",
        "span_id": format_span_id(context.span_id) if context else "",
        "parent_span_id": format_span_id(parent.span_id) if parent else "",
        "name": span.name,
        "kind": span.kind.name,
        "start_unix_nano": span.start_time,
        "end_unix_nano": span.end_time,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "resource": {"service.name": span.resource.attributes.get("service.name", "")},
    }
    return _ENCODER.encode(line).encode() + b"\n"
