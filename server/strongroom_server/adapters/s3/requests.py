# SPDX-License-Identifier: Apache-2.0
"""What all requests to S3 have in common: a deadline, repeats, a span, our errors."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from strongroom.errors import StrongroomError, UnavailableError
from strongroom_server.adapters.s3.errors import s3_errors, unavailable
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.ports import BlobExistsError, BlobNotFoundError, Clock

T = TypeVar("T")


class S3Requests:
    """Makes requests to one bucket under one prefix."""

    def __init__(self, client: Any, settings: S3Settings, clock: Clock) -> None:  # noqa: ANN401
        self.client = client
        self.settings = settings
        self.clock = clock
        prefix = settings.prefix.strip("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._tracer = trace.get_tracer(__name__)

    def retry(
        self, call: Callable[[float], T], may_repeat: Callable[[UnavailableError], bool]
    ) -> T:
        """Return what `call(deadline)` returns, repeating it while that may help."""
        deadline = self.clock.monotonic() + self.settings.operation_timeout_s
        for attempt in range(self.settings.attempt_count - 1):
            try:
                return call(deadline)
            except UnavailableError as error:
                wait_s = 0.1 * 4**attempt
                late = self.clock.monotonic() + wait_s >= deadline
                if late or not may_repeat(error):
                    raise
                self.clock.sleep(wait_s)
        return call(deadline)

    def check_time(self, deadline: float) -> None:
        """Check that a call may still go on (STORE_UNAVAILABLE)."""
        if self.clock.monotonic() >= deadline:
            raise unavailable("call", "no time is left")

    @contextmanager
    def request(self, operation: str, key: str) -> Iterator[Span]:
        """One span for one request and its answer's body."""
        attributes = {
            "rpc.system.name": "aws-api",
            "rpc.method": f"S3/{operation}",
            "aws.s3.bucket": self.settings.bucket,
            "aws.s3.key": self.prefix + key,
        }
        with self._tracer.start_as_current_span(
            f"S3.{operation}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                with s3_errors(operation, key):
                    yield span
            except (BlobExistsError, BlobNotFoundError) as answer:
                # An answer like any other; only the caller knows if it is bad.
                span.set_attribute("error.type", type(answer).__name__)
                raise
            except StrongroomError as error:
                span.set_attribute("error.type", error.reason.value)
                span.set_status(StatusCode.ERROR, error.message)
                raise


def always(error: UnavailableError) -> bool:  # noqa: ARG001 - a `may_repeat`
    """Allow to repeat a call whatever became of it."""
    return True


def note(span: Span, answer: Mapping[str, Any], size_bytes: int) -> None:
    """Put an answer's status and size on its span."""
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("strongroom.bytes", size_bytes)
