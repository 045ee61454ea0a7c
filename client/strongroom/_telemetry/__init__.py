# SPDX-License-Identifier: Apache-2.0
"""Trace context out, the client's spans, and its gauges.

Whether anything is recorded is the application's choice: one that records has
imported OpenTelemetry, and only then its API is used, which is found in
`sys.modules`, for importing it takes as long as many a call. Every call carries a
trace id even if nobody records.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from strongroom import _system

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8


class CallSpan(Protocol):
    """The span of one call, from its first byte to its last."""

    @property
    def trace_id(self) -> str:
        """The trace in which the call runs: 32 hex digits."""
        ...

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata that carries the trace to the server."""
        ...

    def set_attribute(self, key: str, value: str | int) -> None:
        """Note something about the call; never a name or content."""
        ...

    def end(self, code: str = "OK", audit_id: str = "") -> None:
        """End the span.

        Args:
            code: The name of the gRPC status code.
            audit_id: The call's entry in the audit log, if the server told it.
        """
        ...


@dataclass(slots=True)
class OwnSpan:
    """A span without OpenTelemetry; written down when it ends, if anybody does."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_span_id: str
    start_unix_nano: int
    end_unix_nano: int = 0
    status: str = "UNSET"
    attributes: dict[str, str | int] = field(default_factory=dict)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata that carries the trace to the server."""
        return (("traceparent", f"00-{self.trace_id}-{self.span_id}-01"),)

    def set_attribute(self, key: str, value: str | int) -> None:
        """Note something about the call; never a name or content."""
        self.attributes[key] = value

    def end(self, code: str = "OK", audit_id: str = "") -> None:
        """End the span, as `CallSpan` says it."""
        self.attributes |= ended_attributes(code, audit_id)
        self.finish("UNSET" if code == "OK" else "ERROR")

    def finish(self, status: str) -> None:
        """End the span with a status of OpenTelemetry's."""
        self.status = status
        self.end_unix_nano = _system.unix_ns()
        for write in _WRITERS:
            write(self)


#: Who writes our own spans down; the command line is one at most.
_WRITERS: Final[list[Callable[[OwnSpan], None]]] = []
_CURRENT: Final[ContextVar[OwnSpan | None]] = ContextVar("current_span", default=None)
#: Gauges that wait for an application that collects metrics.
_WAITING: Final[list[Callable[[], None]]] = []


@contextmanager
def own_spans_written(write: Callable[[OwnSpan], None]) -> Iterator[None]:
    """Have all spans that end in the block written down, in place of any SDK."""
    _WRITERS.append(write)
    try:
        yield
    finally:
        _WRITERS.remove(write)


def start_call(service: str, method: str) -> CallSpan:
    """Start the span of one call; whoever starts it ends it."""
    name = f"{service}/{method}"
    attributes: dict[str, str | int] = {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
    }
    if not _is_api_used():
        own = _own_span(name, "CLIENT")
        own.attributes |= attributes
        return own
    from strongroom._telemetry import api  # noqa: PLC0415 - see above

    return api.start_call(name, attributes)


@contextmanager
def operation(name: str) -> Iterator[str]:
    """Run a block as one trace, whatever calls it makes.

    Yields:
        The trace id: 32 hex digits.
    """
    if not _is_api_used():
        yield from _own_operation(f"strongroom.{name}")
        return
    from strongroom._telemetry import api  # noqa: PLC0415 - see above

    with api.operation(f"strongroom.{name}") as trace_id:
        yield trace_id


def gauge(
    name: str, description: str, *, unit: str, read: Callable[[], Iterable[float]]
) -> None:
    """Have a value read whenever the application collects metrics, if it does."""

    def create() -> None:
        from strongroom._telemetry import api  # noqa: PLC0415 - see above

        api.gauge(name, description, unit=unit, read=read)

    _WAITING.append(create)
    _is_api_used()


def _is_api_used() -> bool:
    """Return whether spans are OpenTelemetry's; create gauges once they can be."""
    if "opentelemetry.metrics" in sys.modules:
        for create in _taken_gauges():
            create()
    own = bool(_WRITERS) or _CURRENT.get() is not None
    return not own and "opentelemetry.trace" in sys.modules


def _taken_gauges() -> Iterator[Callable[[], None]]:
    """Yield what waits, each to one thread only."""
    while _WAITING:
        try:
            create = _WAITING.pop()
        except IndexError:
            return  # another thread was faster
        yield create


def _own_span(name: str, kind: str) -> OwnSpan:
    parent = _CURRENT.get()
    return OwnSpan(
        name,
        kind,
        parent.trace_id if parent else f"{_system.new_id(TRACE_ID_BYTES):032x}",
        f"{_system.new_id(SPAN_ID_BYTES):016x}",
        parent.span_id if parent else "",
        _system.unix_ns(),
    )


def _own_operation(name: str) -> Iterator[str]:
    span = _own_span(name, "INTERNAL")
    token = _CURRENT.set(span)
    status = "ERROR"
    try:
        yield span.trace_id
        status = "UNSET"
    finally:
        with suppress(ValueError):  # of a generator that ends in another context
            _CURRENT.reset(token)
        span.finish(status)


def ended_attributes(code: str, audit_id: str) -> dict[str, str | int]:
    """Return what the end of a call says in its span."""
    attributes: dict[str, str | int] = {"rpc.grpc.status_code": code}
    if audit_id:
        attributes["strongroom.audit_id"] = audit_id
    return attributes
