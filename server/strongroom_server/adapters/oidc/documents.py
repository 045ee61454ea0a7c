# SPDX-License-Identifier: Apache-2.0
"""JSON documents over HTTPS, each within its bytes and its seconds, whatever answers.

An answer that comes a byte at a time keeps every step of a connection within its
limit, so a timer ends the whole: name, handshake, header and body.
"""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

MAX_BYTES: Final = 256 * 1024
#: For each step of a connection.
STEP_S: Final = 3.0

_HTTPS_PORT: Final = 443


def fetch_document(
    url: str, *, tls: ssl.SSLContext, timeout_s: float
) -> Mapping[str, Any]:
    """Return the JSON object at an address; a redirect is not followed.

    Args:
        url: It must be `https`.
        tls: Whom to believe.
        timeout_s: For all of it, but for finding the address of the host.

    Raises:
        TimeoutError: It took too long.
        OSError: There is no connection, or the certificate is not good.
        http.client.HTTPException: The answer is no HTTP.
        ValueError: It is another address, answer or document than it should be.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        message = "it names an address that is not https"
        raise ValueError(message)
    host, port = parts.hostname, parts.port or _HTTPS_PORT
    target = f"{parts.path or '/'}?{parts.query}".rstrip("?")
    with _connected(host, port, tls=tls, timeout_s=timeout_s) as connected:
        connection = http.client.HTTPSConnection(host, parts.port)
        connection.sock = connected
        with closing(connection):
            connection.request("GET", target, headers={"Accept": "application/json"})
            with connection.getresponse() as response:
                # Within: what was cut off may look like the end of an answer.
                return _parse(_read(response))


@contextmanager
def _connected(
    host: str, port: int, *, tls: ssl.SSLContext, timeout_s: float
) -> Iterator[ssl.SSLSocket]:
    """Give a connection that lasts for some seconds at most.

    Raises:
        TimeoutError: It took too long, whatever came of it.
    """
    if timeout_s <= 0:
        raise _too_late()
    is_over = threading.Event()
    to_cut: list[socket.socket] = []

    def cut() -> None:
        is_over.set()
        for connection in to_cut:
            with suppress(OSError):
                # Not a wrapper's own, which takes TLS away from under a reader.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        with (
            _connect(host, port, is_over) as plain,
            tls.wrap_socket(
                plain, server_hostname=host, do_handshake_on_connect=False
            ) as wrapped,
        ):
            to_cut.append(wrapped)
            if is_over.is_set():
                raise _too_late()
            wrapped.do_handshake()
            yield wrapped
    except (OSError, http.client.HTTPException, ValueError) as error:
        if is_over.is_set():
            raise _too_late() from error
        raise
    finally:
        timer.cancel()


def _connect(host: str, port: int, is_over: threading.Event) -> socket.socket:
    """Connect to the first address of a host that answers."""
    failure: OSError = TimeoutError("no address answered in time")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        if is_over.is_set():
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


def _read(response: http.client.HTTPResponse) -> bytes:
    if response.status != http.client.OK:
        message = f"it answered with status {response.status}"
        raise ValueError(message)
    answer = response.read(MAX_BYTES + 1)
    if len(answer) > MAX_BYTES:
        message = f"its answer is longer than {MAX_BYTES} bytes"
        raise ValueError(message)
    return answer


def _parse(answer: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(answer)
    except RecursionError as error:
        message = "its answer is nested too deeply"
        raise ValueError(message) from error
    if not isinstance(document, dict):
        message = "its answer is no JSON object"
        raise ValueError(message)  # noqa: TRY004 (of an answer, not of a program)
    return document


def _too_late() -> TimeoutError:
    message = "it took too long"
    return TimeoutError(message)
