# SPDX-License-Identifier: Apache-2.0
"""HTTP exchanges that end: each within its bytes and its seconds, whatever answers.

An answer that comes a byte at a time keeps every step of a connection within its
limit, so a timer ends the whole: name, connection, handshake, header and body.
"""

import http.client
import itertools
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

#: For each step of a connection.
STEP_S: Final = 3.0
#: Between two looks at connections whose time may be over.
LOOK_S: Final = 1.0

#: What `socket.getaddrinfo` returns of each address.
_Address = tuple[Any, ...]
_Found = list[_Address] | OSError


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is asked.

    Attributes:
        method: GET or POST.
        url: `https` where TLS is asked for, else `http`.
        body: Bytes to send.
        headers: What to say of it, and of the answer.
    """

    method: str
    url: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back, whatever its status; redirects are not followed."""

    status: int
    content_type: str
    body: bytes


def exchange(
    request: HttpRequest,
    *,
    tls: ssl.SSLContext | None,
    timeout_s: float,
    max_bytes: int,
) -> HttpAnswer:
    """Make one request, over a connection of its own.

    Args:
        request: What to ask, and where.
        tls: Whom to believe; without it the connection is a plain one.
        timeout_s: For all of it.
        max_bytes: How long the answer's body may be.

    Raises:
        TimeoutError: It took too long, whatever came of it.
        OSError: There is no connection, or the certificate is not good.
        http.client.HTTPException: The answer is no HTTP.
        ValueError: The address is none of that kind, or the answer is too long.
    """
    scheme = "https" if tls is not None else "http"
    parts = urlsplit(request.url)
    if parts.scheme != scheme or not parts.hostname or parts.username is not None:
        message = f"it names an address that is not {scheme}"
        raise ValueError(message)
    made = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    port = parts.port or made.default_port
    target = f"{parts.path or '/'}?{parts.query}".rstrip("?")
    with (
        _connected(parts.hostname, port, tls=tls, timeout_s=timeout_s) as connected,
        closing(made(parts.hostname, parts.port)) as connection,
    ):
        connection.sock = connected
        connection.request(request.method, target, request.body, request.headers)
        with connection.getresponse() as response:
            # Within: what was cut off may look like the end of an answer.
            body = response.read(max_bytes + 1)
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if len(body) > max_bytes:
        message = f"its answer is longer than {max_bytes} bytes"
        raise ValueError(message)
    return HttpAnswer(response.status, kind, body)


def told(error: Exception) -> str:
    """Say what failed, in words; what an answer said is not repeated."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good: {error.verify_message}"
        case TimeoutError():
            return "it took too long"
        case ValueError():
            return str(error)
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return type(error).__name__


class Cutter:
    """Cuts connections off whose time is over: one thread looks after all of them.

    For many short exchanges, each of which a timer would make a thread for. Safe to
    use from many threads; without connections there is no thread.

    Args:
        monotonic: Tells the time that deadlines are of, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._watched: dict[int, tuple[float, http.client.HTTPConnection]] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @contextmanager
    def until(
        self, deadline_s: float, connection: http.client.HTTPConnection
    ) -> Iterator[None]:
        """Cut a connection if it is used for longer; who uses it sees it broken."""
        number = next(self._numbers)
        with self._lock:
            self._watched[number] = deadline_s, connection
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="cutter", daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._watched[number]

    def close(self) -> None:
        """End the thread, for good; nothing is cut any more."""
        self._stop.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            # Within the lock: whoever has ended may lend its connection to others.
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                now_s = self._monotonic()
                for deadline_s, connection in self._watched.values():
                    if now_s >= deadline_s and connection.sock is not None:
                        _cut(connection.sock)


class SecuredConnection(http.client.HTTPSConnection):
    """One whose handshake can be cut off, too.

    Args:
        host: To connect to; its certificate must be for it.
        port: To connect to; None for 443.
        tls: Whom to believe.
        timeout_s: To connect, and for each step after that.
    """

    def __init__(
        self, host: str, port: int | None, *, tls: ssl.SSLContext, timeout_s: float
    ) -> None:
        super().__init__(host, port, timeout=timeout_s, context=tls)
        self._tls = tls

    def connect(self) -> None:
        """Connect; who cuts it off must find the socket before it is secured."""
        http.client.HTTPConnection.connect(self)
        self.secure()

    def secure(self) -> None:
        """Make the handshake over the socket that is there."""
        secured = self._tls.wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.sock = secured
        secured.do_handshake()


def connect_within(
    host: str, port: int, *, step_s: float, left_s: Callable[[], float]
) -> socket.socket:
    """Connect to the first address of a host that answers.

    Args:
        host: Its name, or an address.
        port: To connect to.
        step_s: For each address.
        left_s: How much time is left for all of it: the name, and every address.

    Raises:
        TimeoutError: None was left.
        OSError: It has no address, or none lets us connect.
    """
    failure: OSError = _too_late()
    for family, kind, protocol, _, address in _addresses(host, port, left_s()):
        limit_s = min(step_s, left_s())
        if limit_s <= 0:
            break
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(limit_s)
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        else:
            connection.settimeout(step_s)
            return connection
    raise failure


class _Limit:
    """The time of one exchange: when it is over, the connection is cut."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._to_cut: list[socket.socket] = []

    @property
    def is_over(self) -> bool:
        return self._is_over.is_set()

    def cut(self) -> None:
        self._is_over.set()
        for connection in self._to_cut:
            _cut(connection)

    def bind(self, connection: socket.socket) -> None:
        self._to_cut.append(connection)
        self.check()

    def check(self) -> None:
        if self.is_over:
            raise _too_late()


@contextmanager
def _connected(
    host: str, port: int, *, tls: ssl.SSLContext | None, timeout_s: float
) -> Iterator[socket.socket]:
    """Give a connection that lasts for some seconds at most.

    Raises:
        TimeoutError: It took too long, whatever came of it.
    """
    if timeout_s <= 0:
        raise _too_late()
    limit = _Limit()
    timer = threading.Timer(timeout_s, limit.cut)
    timer.daemon = True
    timer.start()
    try:
        with (
            _connect(_addresses(host, port, timeout_s), limit) as plain,
            _secured(plain, tls, host) as connection,
        ):
            limit.bind(connection)
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            yield connection
            # An answer without a length ends where it was cut off.
            limit.check()
    except (OSError, http.client.HTTPException, ValueError) as error:
        if limit.is_over:
            raise _too_late() from error
        raise
    finally:
        timer.cancel()


def _addresses(host: str, port: int, timeout_s: float) -> list[_Address]:
    """Return the addresses of a host; whoever is asked for them may be silent."""
    found: queue.SimpleQueue[_Found] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            found.put(OSError(0, f"{host} has no address: {error}"))

    # The system's resolver has no deadline, and its own patience ends some time.
    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = found.get(timeout=max(timeout_s, 0.0))
    except queue.Empty as error:
        raise _too_late() from error
    if isinstance(answer, OSError):
        raise answer
    return answer


def _connect(found: list[_Address], limit: _Limit) -> socket.socket:
    """Connect to the first address that answers."""
    failure: OSError = TimeoutError("no address answered in time")
    for family, kind, protocol, _, address in found:
        if limit.is_over:
            break
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(STEP_S)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _secured(
    plain: socket.socket, tls: ssl.SSLContext | None, host: str
) -> socket.socket:
    if tls is None:
        return plain
    return tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        # Not a wrapper's own, which takes TLS away from under a reader.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _too_late() -> TimeoutError:
    message = "it took too long"
    return TimeoutError(message)
