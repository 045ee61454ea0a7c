# SPDX-License-Identifier: Apache-2.0
"""Where a browser comes back to after a sign-in: one port of 127.0.0.1, once."""

import hashlib
import hmac
import selectors
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

from strongroom import _system
from strongroom.errors import DeadlineExceededError

_HOST: Final = "127.0.0.1"
#: 128 bits: no second provider finds a URL that has the same ones.
_DIGEST_CHARACTERS: Final = 32
_MAX_REQUEST_BYTES: Final = 16 * 1024
_MAX_CONNECTIONS: Final = 16
_READ_BYTES: Final = 4096
#: How often it is looked whether waiting is in vain.
_LOOK_S: Final = 1.0

_PAGE: Final = (
    "HTTP/1.1 {status}\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "Content-Security-Policy: default-src 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-store\r\n"
    "Content-Length: {length}\r\n"
    "Connection: close\r\n\r\n{body}"
)
_DONE: Final = "Strongroom has what it needs. You may close this window."
_STRANGE: Final = "This is not the end of a sign-in that strongroom waits for."


def redirect_path(issuer: str) -> str:
    """Return the path that one provider, and no other, sends its browsers to.

    A provider that names another one's pages as its own would get that one's code,
    and our verifier for it; but the other one knows us by another path, and refuses.

    Args:
        issuer: The provider's URL, as its tokens spell it.

    Source:
        RFC 9700, section 4.4.2.2: a redirect URI for each issuer, against mix-up.
    """
    digest = hashlib.sha256(issuer.encode()).hexdigest()
    return f"/callback/{digest[:_DIGEST_CHARACTERS]}"


class Loopback:
    """Waits for the one redirect that carries our state; all others change nothing.

    Args:
        state: What the redirect has to carry.
        path: Where it has to come, of `redirect_path`.

    Source:
        RFC 8252, section 7.3: the loopback address, any free port.
    """

    def __init__(self, state: str, path: str) -> None:
        self._state = state
        self._path = path
        self._start = f"GET {path}?".encode()
        self._listener = socket.create_server((_HOST, 0), backlog=_MAX_CONNECTIONS)
        self._listener.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._received: dict[socket.socket, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for connection in list(self._received):
            self._drop(connection)
        self._selector.close()
        self._listener.close()

    @property
    def redirect_uri(self) -> str:
        """Where the provider has to send the browser."""
        return f"http://{_HOST}:{self._listener.getsockname()[1]}{self._path}"

    def wait(
        self, timeout_s: float, check: Callable[[], None] = lambda: None
    ) -> Mapping[str, str]:
        """Return what the redirect with our state says.

        Args:
            timeout_s: How long to wait.
            check: Called every second; raises if waiting is in vain.

        Raises:
            DeadlineExceededError: Nobody came back in time.
        """
        deadline = _system.monotonic_s() + timeout_s
        while (left_s := deadline - _system.monotonic_s()) > 0:
            check()
            selected = self._selector.select(min(left_s, _LOOK_S))
            ready = {key.fileobj for key, _ in selected}
            for connection in [known for known in self._received if known in ready]:
                found = self._read(connection)
                if found is not None:
                    return found
            # Last: a connection that is dropped for it had nothing more to be read.
            if self._listener in ready:
                self._accept()
        message = f"nobody signed in within {timeout_s:g} seconds"
        raise DeadlineExceededError(
            message,
            hint="Run `strongroom login` again. If the provider refused the redirect, "
            f"it has to know us by http://{_HOST}{self._path}, with any port.",
        )

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._received) >= _MAX_CONNECTIONS:
            # It has said nothing wrong, but has had the longest time to say more: a
            # browser's spare connection, or somebody's nuisance.
            self._drop(next(iter(self._received)))
        connection.settimeout(0)
        self._received[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> Mapping[str, str] | None:
        try:
            data = connection.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        received = self._received[connection] + data
        self._received[connection] = received
        if not data or len(received) > _MAX_REQUEST_BYTES:
            self._drop(connection)
            return None
        if b"\r\n\r\n" not in received and self._may_become_answer(received):
            return None
        found = answer_of(received, self._path, self._state)
        if found is None:
            self._tell(connection, "400 Bad Request", _STRANGE)
        else:
            self._tell(connection, "200 OK", _DONE)
        return found

    def _may_become_answer(self, received: bytes) -> bool:
        """Tell whether the wait for the rest is worth one of the few places."""
        start = self._start
        return received[: len(start)] == start[: len(received)]

    def _tell(self, connection: socket.socket, status: str, text: str) -> None:
        page = _PAGE.format(status=status, length=len(text), body=text)
        try:
            connection.sendall(page.encode())
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        del self._received[connection]
        self._selector.unregister(connection)
        connection.close()


def answer_of(request: bytes, path: str, state: str) -> Mapping[str, str] | None:
    """Return what a redirect says; None if it is not the answer to our sign-in."""
    words = request.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" ")
    if len(words) != 3 or words[0] != "GET":  # noqa: PLR2004 - method, target, version
        return None
    try:
        target = urlsplit(words[1])
        fields = parse_qsl(target.query, keep_blank_values=True)
    except ValueError:
        return None
    values = dict(fields)
    # A field that comes twice would leave open which of both counts.
    if target.path != path or len(values) != len(fields):
        return None
    found = values.get("state", "")
    return values if hmac.compare_digest(found.encode(), state.encode()) else None
