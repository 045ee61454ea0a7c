# SPDX-License-Identifier: Apache-2.0
"""A store that answers the bytes that a test wants, first come first served."""

import contextlib
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Answers a request whose head, but not yet its body, was read.
Answer = Callable[[socket.socket, bytes], None]


def answer_of(
    status: int, body: bytes = b"", *, size: int | None = None, more: str = ""
) -> bytes:
    """Return an answer of HTTP; `size` is what it says of its body."""
    said = len(body) if size is None else size
    return (
        f"HTTP/1.1 {status} X\r\ncontent-length: {said}\r\n{more}\r\n".encode() + body
    )


def error_of(status: int, code: str) -> bytes:
    """Return how S3 refuses something."""
    return answer_of(status, f"<Error><Code>{code}</Code></Error>".encode())


def stored(version_id: str = "v1") -> bytes:
    """Return how S3 says that it has stored something."""
    return answer_of(200, more=f"x-amz-version-id: {version_id}\r\n")


class ScriptedS3:
    """Answers each request with the next of `answers`.

    Bytes are sent behind the request's body, and the connection is kept; a function
    does as it likes with the connection, which is then closed.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        scheme = "https" if tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.answers: deque[bytes | Answer] = deque()
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connection_count = 0
        self._start(self._accept)

    def close(self) -> None:
        """Close everything and wait for the threads."""
        self._hang_up(self._listener)
        self._threads[0].join(10)
        self.hang_up()
        for thread in self._threads:
            thread.join(10)

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in self._sockets:
            self._hang_up(connection)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            connection = plain
            if self._tls is not None:
                connection = self._tls.wrap_socket(plain, server_side=True)
            stack.callback(self._hang_up, connection)
            self._sockets.append(connection)
            self.connection_count += 1
            while head := self._read_head(connection):
                self.heads.append(head)
                answer = self.answers.popleft()
                if callable(answer):
                    answer(connection, head)
                    return
                self.bodies.append(read_body(connection, head))
                connection.sendall(answer)

    @staticmethod
    def _read_head(connection: socket.socket) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            got = connection.recv(1)
            if not got:
                return b""
            head += got
        return head

    @staticmethod
    def _hang_up(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def read_body(connection: socket.socket, head: bytes) -> bytes:
    """Read the body of a request."""
    found = re.search(rb"\r\ncontent-length: ([0-9]+)\r\n", head)
    body = b""
    while len(body) < (int(found[1]) if found else 0):
        got = connection.recv(1 << 20)
        if not got:
            break
        body += got
    return body


@contextmanager
def scripted_s3(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedS3]:
    """Run such a store; without a certificate it speaks plain HTTP."""
    store = ScriptedS3(tls)
    try:
        yield store
    finally:
        store.close()
