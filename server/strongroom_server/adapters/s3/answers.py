# SPDX-License-Identifier: Apache-2.0
"""Answers whose headers came to their end; others are lost answers.

Python's HTTP client takes headers that end with the connection for all of them. A
listing without its length would be an empty one, and half of a version id a whole
one.
"""

from http.client import HTTPResponse, IncompleteRead
from typing import Any, Final

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

#: The empty line behind the headers.
_ENDS: Final = (b"\r\n", b"\n")


class _Lines:
    """Reads lines, and keeps the last one."""

    def __init__(self, source: Any) -> None:  # noqa: ANN401 - what makefile gave
        self._source = source
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._source.readline(limit)
        return self.last

    def close(self) -> None:
        self._source.close()


class WholeAnswer(HTTPResponse):
    """An answer that is refused if its headers break off."""

    def begin(self) -> None:
        """Read status and headers.

        Raises:
            IncompleteRead: The connection ended before the headers did.
        """
        if getattr(self, "headers", None) is not None:
            return
        source: Any = self.fp
        lines: Any = _Lines(source)
        self.fp = lines
        try:
            super().begin()
        finally:
            # None, if the answer is over already.
            if self.fp is lines:
                self.fp = source
        if lines.last not in _ENDS:
            raise IncompleteRead(lines.last)


class _PlainConnection(AWSHTTPConnection):  # type: ignore[misc]
    response_class = WholeAnswer


class _TlsConnection(AWSHTTPSConnection):  # type: ignore[misc]
    response_class = WholeAnswer


class _PlainPool(AWSHTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _PlainConnection


class _TlsPool(AWSHTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _TlsConnection


def take_whole_answers_only(client: Any) -> None:  # noqa: ANN401 - no types
    """Have a botocore client that has made no call yet refuse other answers."""
    # There is no public way to say so; if this one goes, no client is made.
    manager = client._endpoint.http_session._manager  # noqa: SLF001
    if "https" not in manager.pool_classes_by_scheme:
        message = "botocore makes its connections in another way"
        raise AttributeError(message)
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
