# SPDX-License-Identifier: Apache-2.0
"""The command line's spans, appended to a file as JSON lines."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

SERVICE_NAME = "strongroom-client"


@contextmanager
def spans_recorded(path: Path | None) -> Iterator[None]:
    """Record spans while the block runs.

    Nothing is recorded without a file, or without OpenTelemetry's SDK, which only
    the extra `server` installs; calls carry a trace id all the same.

    Raises:
        InvalidArgumentError: The file cannot be written (SETTING_INVALID).
    """
    if path is None:
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import (
            SimpleSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )
    except ModuleNotFoundError:
        yield
        return

    descriptor = _open(path)

    class FileExporter(SpanExporter):
        """Appends each batch with one write, so that lines of others stay whole."""

        def export(self, spans: "Sequence[ReadableSpan]") -> SpanExportResult:
            """Write spans; a full disk must not fail the command that they trace."""
            try:
                os.write(descriptor, b"".join(format_span(span) for span in spans))
            except OSError:
                return SpanExportResult.FAILURE
            return SpanExportResult.SUCCESS

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE_NAME}))
    provider.add_span_processor(SimpleSpanProcessor(FileExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
        os.close(descriptor)


def format_span(span: "ReadableSpan") -> bytes:
    """Return one line, of the same form as the server's."""
    context = span.get_span_context()
    line = {
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "kind": span.kind.name,
        "start_unix_nano": span.start_time,
        "end_unix_nano": span.end_time,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "resource": {"service.name": SERVICE_NAME},
    }
    return json.dumps(line, default=list).encode() + b"\n"


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        message = f"the spans file {path} cannot be opened: {error.strerror}"
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Correct spans_file in your client.toml, or leave it out.",
            setting="spans_file",
        ) from error
