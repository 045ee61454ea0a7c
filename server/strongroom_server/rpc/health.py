# SPDX-License-Identifier: Apache-2.0
"""Liveness and readiness, in the words of `grpc.health.v1`.

Readiness makes the calls that real work would make, a few seconds apart and in a
thread of its own, so that any number of probes costs nothing.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from grpc_health.v1 import health, health_pb2
from opentelemetry import trace

from strongroom.errors import StrongroomError

_LOG: Final = logging.getLogger("strongroom_server.health")

LIVENESS: Final = "liveness"
READINESS: Final = "readiness"
#: Services whose state is readiness; "" is the server as a whole.
READY_SERVICES: Final = ("", READINESS)
#: Requests of probes are nobody's trace; under this parent they make no spans.
_UNSAMPLED: Final = trace.NonRecordingSpan(
    trace.SpanContext(
        trace_id=1, span_id=1, is_remote=False, trace_flags=trace.TraceFlags(0)
    )
)
SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """The state of the server, kept current. Safe to use from many threads.

    Attributes:
        servicer: Answers probes.
    """

    def __init__(
        self,
        checks: Mapping[str, Callable[[], object]],
        *,
        interval_s: float,
        alarms: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        """Begin alive and not ready.

        Args:
            checks: By name; each raises a StrongroomError if its part is not
                ready, and has a time limit of its own.
            interval_s: Between two rounds of checks.
            alarms: By name, which is a health service of its own; what fails here
                somebody has to see to, while the server goes on.
        """
        self.servicer = health.HealthServicer()
        self._checks = checks
        self._alarms = alarms or {}
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._draining = False
        self._failing: dict[str, str] | None = None
        self.servicer.set(LIVENESS, SERVING)
        for service in READY_SERVICES:
            self.servicer.set(service, NOT_SERVING)

    def probe(self) -> Mapping[str, str]:
        """Run every check, set the state, and return what failed and why."""
        failing = {}
        with trace.use_span(_UNSAMPLED):
            for name, check in self._checks.items():
                try:
                    check()
                except StrongroomError as error:
                    failing[name] = error.reason.value
            for name, check in self._alarms.items():
                state = SERVING if _holds(check) else NOT_SERVING
                self.servicer.set(name, state)
        with self._lock:
            if not self._draining:
                self._set(failing)
        return failing

    def drain(self) -> None:
        """Be not ready from now on, whatever the checks say; still alive."""
        with self._lock:
            self._draining = True
            for service in READY_SERVICES:
                self.servicer.set(service, NOT_SERVING)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Probe in a thread of its own for as long as the context lasts."""
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stop,), name="health", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _set(self, failing: dict[str, str]) -> None:
        for service in READY_SERVICES:
            self.servicer.set(service, NOT_SERVING if failing else SERVING)
        if failing != self._failing:
            line = {"event": "readiness", "ready": not failing, "failing": failing}
            _LOG.info("%s", json.dumps(line))
            self._failing = failing

    def _run(self, stop: threading.Event) -> None:
        try:
            self.probe()
            while not stop.wait(self._interval_s):
                self.probe()
        except Exception:
            # A bug in a check must not leave the last answer standing.
            self.drain()
            raise


def _holds(check: Callable[[], object]) -> bool:
    try:
        check()
    except StrongroomError:
        return False
    return True
