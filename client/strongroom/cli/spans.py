# SPDX-License-Identifier: Apache-2.0
"""The command line's spans, appended to a file as JSON lines."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from strongroom._telemetry import OwnSpan, own_spans_written
from strongroom.errors import InvalidArgumentError, Reason

SERVICE_NAME = "strongroom-client"


@contextmanager
def spans_recorded(path: Path | None) -> Iterator[None]:
    """Record spans while the block runs, if there is a file for them.

    They are our own: OpenTelemetry's SDK takes longer to load than many commands run.

    Raises:
        InvalidArgumentError: The file cannot be written (SETTING_INVALID).
    """
    if path is None:
        yield
        return
    descriptor = _open(path)

    def write(span: OwnSpan) -> None:
        # One write a span, so that lines of others stay whole. A full disk must not
        # fail the command that is traced.
        with suppress(OSError):
            os.write(descriptor, format_span(span))

    try:
        with own_spans_written(write):
            yield
    finally:
        os.close(descriptor)


def format_span(span: OwnSpan) -> bytes:
    """Return one line, of the same form as the server's."""
    line = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "kind": span.kind,
        "start_unix_nano": span.start_unix_nano,
        "end_unix_nano": span.end_unix_nano,
        "status": span.status,
        "attributes": span.attributes,
        "resource": {"service.name": SERVICE_NAME},
    }
    return json.dumps(line).encode() + b"\n"


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
