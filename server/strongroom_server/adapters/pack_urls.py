# SPDX-License-Identifier: Apache-2.0
"""`PackFetcher` over HTTP: exact ranges of packs, by URLs that somebody signed.

Connections are kept open and reused. No message names a URL: it opens a pack to
whoever reads it.
"""

import http.client
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.ports import (
    BlobNotFoundError,
    Clock,
    PackFetcher,
    UrlRefusedError,
)

#: How often a fetch is tried; it goes on where the last try ended.
ATTEMPTS: Final = 4
#: To connect, and between two arrivals of bytes.
IDLE_TIMEOUT_S: Final = 10.0
#: For a whole fetch, with all its attempts.
FETCH_TIMEOUT_S: Final = 45.0
#: Connections to one host that are kept open while nobody uses them.
MAX_IDLE: Final = 32
_PIECE_BYTES: Final = 1024 * 1024

_OK: Final = 200
_PARTIAL: Final = 206
_REFUSED: Final = frozenset({400, 401, 403})
_ABSENT: Final = frozenset({404, 405, 410, 416})

T = TypeVar("T")
_Connection = http.client.HTTPConnection
_Failure: Final = (OSError, http.client.HTTPException)


class HttpPacks:
    """Fetches packs. Safe to use from many threads.

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
                hint="See [store] in the sidecar's settings.",
                path=str(ca_file),
            ) from error
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Connection]] = defaultdict(list)

    def read_into(self, url: str, *, offset_bytes: int, buffer: memoryview) -> None:
        """See `PackFetcher`."""
        view = buffer.cast("B")
        done = 0

        def fetch(deadline_s: float) -> None:
            nonlocal done
            first, last = offset_bytes + done, offset_bytes + len(view) - 1
            headers = {"Range": f"bytes={first}-{last}"}
            with self._answer(url, headers, deadline_s) as answer:
                _check_range(answer, first=first, last=last)
                for count in self._arrivals(answer, view[done:], deadline_s):
                    done += count

        if len(view):
            self._repeat(fetch)

    def read_whole(self, url: str, *, max_bytes: int) -> bytearray:
        """See `PackFetcher`."""

        def fetch(deadline_s: float) -> bytearray:
            with self._answer(url, {}, deadline_s) as answer:
                size = answer.length
                if answer.status != _OK or size is None:
                    raise _unavailable("an answer without its length")
                if size > max_bytes:
                    raise BlobNotFoundError(f"longer than {max_bytes}")
                data = bytearray(size)
                with memoryview(data) as view:
                    for _ in self._arrivals(answer, view, deadline_s):
                        pass
                return data

        return self._repeat(fetch)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for place in tuple(self._idle):
            self._close_idle(place)

    def _close_idle(self, place: str) -> None:
        with self._lock:
            idle = self._idle.pop(place, [])
        for connection in idle:
            connection.close()

    def _repeat(self, fetch: Callable[[float], T]) -> T:
        deadline_s = self._clock.monotonic() + FETCH_TIMEOUT_S
        for attempt in range(ATTEMPTS - 1):
            try:
                return fetch(deadline_s)
            except UnavailableError:
                wait_s = 0.1 * 4**attempt
                if self._clock.monotonic() + wait_s >= deadline_s:
                    raise
                self._clock.sleep(wait_s)
        return fetch(deadline_s)

    @contextmanager
    def _answer(
        self, url: str, headers: dict[str, str], deadline_s: float
    ) -> Iterator[http.client.HTTPResponse]:
        """Make one request; the connection is kept if its answer was read to the end.

        Raises:
            BlobNotFoundError, UrlRefusedError: As the status says.
            UnavailableError: The transport failed, or the status says so.
        """
        parts = urlsplit(url)
        self._check_time(deadline_s)
        connection = self._take(parts)
        kept = False
        try:
            connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
            answer = connection.getresponse()
            _check_status(answer)
            yield answer
            kept = answer.isclosed() and not answer.will_close
        except UnavailableError:  # It is an OSError, too.
            raise
        except _Failure as error:
            # The store may have hung up on all that nobody used for a while.
            self._close_idle(parts.netloc)
            raise _unavailable(type(error).__name__) from error
        finally:
            if kept:
                self._give_back(parts, connection)
            else:
                connection.close()

    def _take(self, parts: SplitResult) -> _Connection:
        with self._lock:
            idle = self._idle[parts.netloc]
            if idle:
                return idle.pop()
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=IDLE_TIMEOUT_S, context=self._tls
            )
        return _Connection(host, port, timeout=IDLE_TIMEOUT_S)

    def _give_back(self, parts: SplitResult, connection: _Connection) -> None:
        with self._lock:
            idle = self._idle[parts.netloc]
            if len(idle) < MAX_IDLE:
                idle.append(connection)
                return
        connection.close()

    def _arrivals(
        self, answer: http.client.HTTPResponse, view: memoryview, deadline_s: float
    ) -> Iterator[int]:
        """Fill `view`, yielding the size of each piece as soon as it is there."""
        done = 0
        while done < len(view):
            self._check_time(deadline_s)
            count = answer.readinto(view[done : done + _PIECE_BYTES])
            if not count:
                raise _unavailable("the answer ended early")
            done += count
            yield count

    def _check_time(self, deadline_s: float) -> None:
        if self._clock.monotonic() >= deadline_s:
            raise _unavailable("no time is left")


def _check_status(answer: http.client.HTTPResponse) -> None:
    if answer.status in {_OK, _PARTIAL}:
        return
    if answer.status in _REFUSED:
        raise UrlRefusedError(str(answer.status))
    if answer.status in _ABSENT:
        raise BlobNotFoundError(str(answer.status))
    raise _unavailable(f"status {answer.status}")


def _check_range(answer: http.client.HTTPResponse, *, first: int, last: int) -> None:
    """Check that the answer holds exactly the bytes that were asked for."""
    got = answer.headers.get("Content-Range", "")
    if answer.status != _PARTIAL or not got.startswith(f"bytes {first}-"):
        raise _unavailable("ranges are not served")
    if answer.length != last - first + 1:
        raise BlobNotFoundError(got)


def _unavailable(cause: str) -> UnavailableError:
    return UnavailableError(
        f"the store did not give a pack: {cause}",
        reason=Reason.STORE_UNAVAILABLE,
        hint="Look at the store's health, and at the network to it.",
        cause=cause,
    )


_fetcher: type[PackFetcher] = HttpPacks
