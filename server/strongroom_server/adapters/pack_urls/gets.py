# SPDX-License-Identifier: Apache-2.0
"""`PackFetcher` over HTTP: exact ranges of packs, by URLs that somebody signed."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from strongroom_server.adapters.pack_urls.connections import (
    PIECE_BYTES,
    PackConnections,
    unavailable,
)
from strongroom_server.ports import BlobNotFoundError, PackFetcher, UrlRefusedError

_OK: Final = 200
_PARTIAL: Final = 206
_REFUSED: Final = frozenset({400, 401, 403})
_ABSENT: Final = frozenset({404, 405, 410, 416})


class HttpPacks:
    """Fetches packs. Safe to use from many threads.

    Args:
        connections: To the store.
    """

    def __init__(self, connections: PackConnections) -> None:
        self._connections = connections

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
            self._connections.repeat(fetch)

    def read_whole(
        self, url: str, room: Callable[[int], memoryview], *, max_bytes: int
    ) -> memoryview:
        """See `PackFetcher`."""

        def fetch(deadline_s: float) -> memoryview:
            with self._answer(url, {}, deadline_s) as answer:
                size = answer.length
                if answer.status != _OK or size is None:
                    raise unavailable("an answer without its length")
                if size > max_bytes:
                    raise BlobNotFoundError(f"longer than {max_bytes}")
                data = room(size)
                for _ in self._arrivals(answer, data, deadline_s):
                    pass
                return data

        return self._connections.repeat(fetch)

    @contextmanager
    def _answer(
        self, url: str, headers: dict[str, str], deadline_s: float
    ) -> Iterator[http.client.HTTPResponse]:
        with self._connections.answer(
            "GET", url, tuple(headers.items()), deadline_s
        ) as answer:
            _check_status(answer)
            yield answer

    def _arrivals(
        self, answer: http.client.HTTPResponse, view: memoryview, deadline_s: float
    ) -> Iterator[int]:
        """Fill `view`, yielding the size of each piece as soon as it is there."""
        done = 0
        while done < len(view):
            self._connections.check_time(deadline_s)
            count = answer.readinto(view[done : done + PIECE_BYTES])
            if not count:
                raise unavailable("the answer ended early")
            done += count
            yield count


def _check_status(answer: http.client.HTTPResponse) -> None:
    if answer.status in {_OK, _PARTIAL}:
        return
    if answer.status in _REFUSED:
        raise UrlRefusedError(str(answer.status))
    if answer.status in _ABSENT:
        raise BlobNotFoundError(str(answer.status))
    raise unavailable(f"status {answer.status}")


def _check_range(answer: http.client.HTTPResponse, *, first: int, last: int) -> None:
    """Check that the answer holds exactly the bytes that were asked for."""
    got = answer.headers.get("Content-Range", "")
    if answer.status != _PARTIAL or not got.startswith(f"bytes {first}-"):
        raise unavailable("ranges are not served")
    if answer.length != last - first + 1:
        raise BlobNotFoundError(got)


_fetcher: type[PackFetcher] = HttpPacks
