# SPDX-License-Identifier: Apache-2.0
"""Connections to the store for packs by URL: kept open, reused, with a time limit.

No message names a URL: it opens a pack to whoever reads it.
"""

import contextlib
import http.client
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.bounded_http import Cutter, SecuredConnection
from strongroom_server.ports import Clock, ReadBuffer

#: How often a request is tried.
ATTEMPTS: Final = 4
#: To connect, and between two arrivals or departures of bytes.
IDLE_TIMEOUT_S: Final = 10.0
#: For a whole pack, with all attempts.
PACK_TIMEOUT_S: Final = 45.0
#: Connections to one host that are kept open while nobody uses them.
MAX_IDLE: Final = 32
#: What is sent or read between two looks at the deadline.
PIECE_BYTES: Final = 1024 * 1024

T = TypeVar("T")
_Connection = http.client.HTTPConnection
_Failure: Final = (OSError, http.client.HTTPException)


class PackConnections:
    """Makes requests, and repeats them. Safe to use from many threads.

    Args:
        clock: Measures time, and waits between attempts.
        ca_file: Certificates to trust; the machine's own if None.
    """

    def __init__(self, clock: Clock, *, ca_file: Path | None = None) -> None:
        self._clock = clock
        try:
            self._tls = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise PreconditionError(
                f"the store's authorities in {ca_file} cannot be read",
                reason=Reason.SETTING_INVALID,
                hint="Name a file of PEM certificates: ca_file in [store] of the "
                "sidecar's settings, or --store-ca-file.",
                path=str(ca_file),
            ) from error
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Connection]] = defaultdict(list)
        # A byte now and then keeps each step within its limit.
        self._cutter = Cutter(clock.monotonic)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._cutter.close()
        for place in tuple(self._idle):
            self._close_idle(place)

    def repeat(self, request: Callable[[float], T]) -> T:
        """Return what `request(deadline_s)` returns, repeating it while it may help."""
        deadline_s = self._clock.monotonic() + PACK_TIMEOUT_S
        for attempt in range(ATTEMPTS - 1):
            try:
                return request(deadline_s)
            except UnavailableError:
                wait_s = 0.1 * 4**attempt
                if self._clock.monotonic() + wait_s >= deadline_s:
                    raise
                self._clock.sleep(wait_s)
        return request(deadline_s)

    def check_time(self, deadline_s: float) -> None:
        """Check that a request may still go on (STORE_UNAVAILABLE)."""
        if self._clock.monotonic() >= deadline_s:
            raise unavailable("no time is left")

    @contextmanager
    def answer(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        deadline_s: float,
        body: Sequence[ReadBuffer] = (),
    ) -> Iterator[http.client.HTTPResponse]:
        """Make one request; the connection is kept if its answer was read to the end.

        Raises:
            UnavailableError: The transport failed.
        """
        parts = urlsplit(url)
        self.check_time(deadline_s)
        connection = self._take(parts)
        kept = False
        try:
            with self._cutter.until(deadline_s, connection):
                self._send(connection, method, parts, headers, body, deadline_s)
                found = connection.getresponse()
                yield found
            kept = found.isclosed() and not found.will_close
        except UnavailableError:  # It is an OSError, too.
            raise
        except _Failure as error:
            # The store may have hung up on all that nobody used for a while.
            self._close_idle(parts.netloc)
            raise unavailable(type(error).__name__) from error
        finally:
            if kept:
                self._give_back(parts, connection)
            else:
                connection.close()

    def _send(  # noqa: PLR0917 -- a request, in its order
        self,
        connection: _Connection,
        method: str,
        parts: SplitResult,
        headers: Sequence[tuple[str, str]],
        body: Sequence[ReadBuffer],
        deadline_s: float,
    ) -> None:
        given = {name.lower() for name, _ in headers}
        connection.putrequest(
            method,
            f"{parts.path}?{parts.query}",
            skip_host="host" in given,
        )
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        # Who refuses a request may say so, and hang up, before it has come whole.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._send_body(connection, body, deadline_s)

    def _send_body(
        self, connection: _Connection, body: Sequence[ReadBuffer], deadline_s: float
    ) -> None:
        for piece in body:
            with memoryview(piece) as whole, whole.cast("B") as view:
                for start in range(0, len(view), PIECE_BYTES):
                    self.check_time(deadline_s)
                    connection.send(view[start : start + PIECE_BYTES])

    def _take(self, parts: SplitResult) -> _Connection:
        with self._lock:
            idle = self._idle[parts.netloc]
            if idle:
                return idle.pop()
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            return SecuredConnection(
                host, port, tls=self._tls, timeout_s=IDLE_TIMEOUT_S
            )
        return _Connection(host, port, timeout=IDLE_TIMEOUT_S)

    def _give_back(self, parts: SplitResult, connection: _Connection) -> None:
        with self._lock:
            idle = self._idle[parts.netloc]
            if len(idle) < MAX_IDLE:
                idle.append(connection)
                return
        connection.close()

    def _close_idle(self, place: str) -> None:
        with self._lock:
            idle = self._idle.pop(place, [])
        for connection in idle:
            connection.close()


def unavailable(cause: str) -> UnavailableError:
    """Return the error for a store that did not do what it was asked for."""
    return UnavailableError(
        f"the store did not give or take a pack: {cause}",
        reason=Reason.STORE_UNAVAILABLE,
        hint="Look at the store's health, and at the network to it.",
        cause=cause,
    )
