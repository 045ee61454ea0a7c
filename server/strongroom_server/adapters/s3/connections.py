# SPDX-License-Identifier: Apache-2.0
"""Connections to the bucket: kept open, reused, each request with a deadline.

botocore spent more time in Python on each request than a store beside us needs to
answer it (ADR 0044).
"""

import contextlib
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from requests.utils import DEFAULT_CA_BUNDLE_PATH as CERTIFICATES

from strongroom_server.adapters.s3.answers import S3Answer
from strongroom_server.adapters.s3.errors import (
    NotConnectedError,
    unavailable,
    unsuitable,
)
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.adapters.s3.signing import S3Signer, query_of
from strongroom_server.bounded_http import (
    Cutter,
    SecuredConnection,
    connect_within,
)
from strongroom_server.ports import Clock, ReadBuffer

#: What is sent or read between two looks at the deadline. A socket's timeout
#: counts for one `sendall`, so whole packs would need timeouts of minutes.
PIECE_BYTES: Final = 256 * 1024
#: Bodies up to this size leave together with their headers.
_TOGETHER_BYTES: Final = 16 * 1024
#: What is read of an answer that nobody has read, so that its connection can be kept.
_MAX_REST_BYTES: Final = 64 * 1024

_Connection = http.client.HTTPConnection


@dataclass(frozen=True, slots=True)
class S3Request:
    """What is asked for.

    Attributes:
        method: Of HTTP.
        key: Prefix and all; "" is the bucket itself.
        query: Parameters.
        headers: Besides those that sign; names in lower case.
        body: To send.
    """

    method: str
    key: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: ReadBuffer = b""


@contextmanager
def open_connections(settings: S3Settings, clock: Clock) -> Iterator["S3Connections"]:
    """Yield connections to the bucket's store, and close them at the end.

    Raises:
        PreconditionError: The settings cannot be used (STORE_UNSUITABLE).
    """
    connections = S3Connections(settings, clock)
    try:
        yield connections
    finally:
        connections.close()


class S3Connections:
    """Makes signed requests. Safe to use from many threads.

    Settings are all there is: no AWS_* variable, no ~/.aws, no proxy variable.

    Raises:
        PreconditionError: The settings cannot be used (STORE_UNSUITABLE).
    """

    def __init__(self, settings: S3Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._signer = S3Signer(settings, clock)
        is_tls = self._signer.endpoint.is_tls
        self._tls = _trusting(settings.ca_file) if is_tls else None
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        # A byte now and then keeps each step within its limit.
        self._cutter = Cutter(clock.monotonic)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._cutter.close()
        self._close_idle()

    @contextmanager
    def answer(self, request: S3Request, deadline_s: float) -> Iterator[S3Answer]:
        """Make one request; the connection is kept if its answer ends soon.

        Args:
            request: What to ask for.
            deadline_s: When all of it is cut off; a monotonic time.

        Raises:
            OSError: The transport failed; NotConnectedError if nothing was sent.
            http.client.HTTPException: So did the answer.
            UnavailableError: No time was left to send all of it.
        """
        head = self._head(request)
        connection = self._take()
        kept = False
        try:
            with self._cutter.until(deadline_s, connection):
                sock = self._connected(connection, deadline_s)
                self._send(sock, head, request.body, deadline_s)
                sock.settimeout(self._settings.read_timeout_s)
                with contextlib.closing(S3Answer(sock, request.method)) as found:
                    found.begin()
                    yield found
                    kept = _is_at_its_end(found) and not found.will_close
        except (OSError, http.client.HTTPException):
            # The store may have hung up on all that nobody used for a while.
            self._close_idle()
            raise
        finally:
            if kept:
                self._give_back(connection)
            else:
                connection.close()

    def _head(self, request: S3Request) -> bytes:
        path, query = self._signer.path(request.key), query_of(request.query)
        headed = self._signer.signed(request.method, path, query, request.headers)
        size = memoryview(request.body).nbytes
        if size or request.method in {"PUT", "POST"}:
            headed["content-length"] = str(size)
        target = f"{path}?{query}" if query else path
        lines = [f"{request.method} {target} HTTP/1.1", "user-agent: strongroom"]
        lines += [f"{name}: {value}" for name, value in headed.items()]
        text = "\r\n".join((*lines, "", ""))
        if text.count("\n") != len(lines) + 1 or not text.isascii():
            # Such as a session token that was copied with more than itself.
            raise unsuitable("any call", "a setting that is no single line of ASCII")
        return text.encode()

    def _connected(self, connection: _Connection, deadline_s: float) -> socket.socket:
        if connection.sock is None:
            try:
                # Nothing could cut it off before there is a socket.
                connection.sock = connect_within(
                    connection.host,
                    connection.port,
                    step_s=self._settings.connect_timeout_s,
                    left_s=lambda: deadline_s - self._clock.monotonic(),
                )
                if isinstance(connection, SecuredConnection):
                    connection.secure()
            except ssl.SSLCertVerificationError:
                raise  # The next attempt would find the same.
            except (OSError, UnicodeError) as error:
                raise NotConnectedError(type(error).__name__) from error
        sock: socket.socket = connection.sock
        sock.settimeout(self._settings.connect_timeout_s)
        return sock

    def _send(
        self, sock: socket.socket, head: bytes, body: ReadBuffer, deadline_s: float
    ) -> None:
        view = memoryview(body).cast("B")
        if len(view) <= _TOGETHER_BYTES:
            sock.sendall(head + view)
            return
        sock.sendall(head)
        # Who refuses a request may say so, and hang up, before it came whole.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for start in range(0, len(view), PIECE_BYTES):
                if self._clock.monotonic() >= deadline_s:
                    raise unavailable("call", "no time is left")
                sock.sendall(view[start : start + PIECE_BYTES])

    def _take(self) -> _Connection:
        while True:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            if idle is None:
                return self._new()
            if _is_quiet(idle):
                return idle
            idle.close()

    def _new(self) -> _Connection:
        endpoint, timeout_s = self._signer.endpoint, self._settings.connect_timeout_s
        if self._tls is None:
            return _Connection(endpoint.hostname, endpoint.port, timeout=timeout_s)
        return SecuredConnection(
            endpoint.hostname, endpoint.port, tls=self._tls, timeout_s=timeout_s
        )

    def _give_back(self, connection: _Connection) -> None:
        with self._lock:
            if len(self._idle) < self._settings.pool_size:
                self._idle.append(connection)
                return
        connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _trusting(ca_file: str) -> ssl.SSLContext:
    """Return what believes these certificates, and nothing of the environment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=ca_file or CERTIFICATES)
    except OSError as error:
        raise unsuitable("any call", "its ca_file cannot be read") from error
    return context


def _is_quiet(connection: _Connection) -> bool:
    """Whether a connection is open, and nothing came that nobody asked for."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


def _is_at_its_end(answer: S3Answer) -> bool:
    """Whether all of an answer was read; a little is read here."""
    if not answer.isclosed():
        answer.read(_MAX_REST_BYTES)
    return answer.isclosed()
