# SPDX-License-Identifier: Apache-2.0
"""What all requests to S3 have in common: a deadline, repeats, a span, our errors."""

import base64
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from strongroom.errors import StrongroomError, UnavailableError
from strongroom_server.adapters.s3.answers import S3Answer
from strongroom_server.adapters.s3.connections import S3Connections, S3Request
from strongroom_server.adapters.s3.documents import parse_document
from strongroom_server.adapters.s3.errors import (
    S3RefusalError,
    s3_errors,
    unavailable,
)
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    Clock,
    ReadBuffer,
)

T = TypeVar("T")

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_FIRST_OTHER_STATUS: Final = 300
_MAX_ERROR_BYTES: Final = 64 * 1024


class S3Requests:
    """Makes requests to one bucket under one prefix."""

    def __init__(
        self, connections: S3Connections, settings: S3Settings, clock: Clock
    ) -> None:
        self._connections = connections
        self.settings = settings
        self.clock = clock
        self.prefix = settings.key_prefix
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
    def exchange(
        self,
        operation: str,
        method: str,
        key: str,
        deadline: float,
        *,
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        body: ReadBuffer = b"",
    ) -> Iterator[S3Answer]:
        """Make one request, in a span of its own; what was refused is an error.

        Args:
            operation: As S3 names it.
            method: Of HTTP.
            key: Without the prefix; "" is the bucket itself.
            deadline: When all of it is cut off; a monotonic time.
            query: Parameters.
            headers: Besides those that sign; names in lower case.
            body: To send.

        Raises:
            BlobExistsError, BlobNotFoundError: S3 said so.
            PreconditionError: It cannot be done (STORE_ACCESS_DENIED,
                STORE_UNSUITABLE).
            UnavailableError: It may have been done, or not (STORE_UNAVAILABLE).
        """
        self.check_time(deadline)
        whole = f"{self.prefix}{key}" if key else ""
        request = S3Request(method, whole, query, headers, body)
        with self._request(operation, key) as span:
            if "prefix" in query:
                span.set_attribute("strongroom.prefix", query["prefix"])
            with self._connections.answer(request, deadline) as answer:
                span.set_attribute("http.response.status_code", answer.status)
                if answer.status < _FIRST_OTHER_STATUS:
                    moved = memoryview(body).nbytes or answer.length or 0
                    span.set_attribute("strongroom.bytes", moved)
                    yield answer
                    return
                refusal = _refusal_of(answer)
            raise refusal

    @contextmanager
    def _request(self, operation: str, key: str) -> Iterator[Span]:
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
                with s3_errors(operation, key, place=self.settings.role):
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


def crc32_header(data: ReadBuffer) -> dict[str, str]:
    """Return the header by which S3 refuses bytes that were garbled on the way."""
    checksum = zlib.crc32(data).to_bytes(4, "big")
    return {"x-amz-checksum-crc32": base64.b64encode(checksum).decode()}


def _refusal_of(answer: S3Answer) -> S3RefusalError:
    """Return what an answer says that is none of success.

    Raises:
        http.client.HTTPException: It says nothing; who knows whether it is S3's.
    """
    data = answer.document(_MAX_ERROR_BYTES)
    if not data:  # As it is with HEAD.
        return S3RefusalError(answer.status, str(answer.status))
    said = parse_document(data, "Error")
    return S3RefusalError(answer.status, said.text("Code"), said.text("ArgumentName"))
