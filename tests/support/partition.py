# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy in front of a real server, whose wire a test takes away."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

#: How a request that writes an object begins, and answers: that it goes on, that it
#: is done. Each comes in a piece of its own, since a client asks once it is answered.
_WRITE: Final = b"PUT /"
_GO_ON: Final = b"HTTP/1.1 1"
_DONE: Final = b"HTTP/1.1 2"
#: A path and its query are in so many.
_PATH_BYTES: Final = 4096


class Wire:
    """Forwards bytes both ways; a test may break it and mend it.

    Attributes:
        address: The URL of this side, with the scheme of the server's.
        swallows: Set when nothing is let through any more.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._whole = threading.Event()
        self._whole.set()
        self.swallows = threading.Event()
        #: How many writes may still be done; None for all.
        self._writes_left: int | None = None
        self._counted = b"/"
        self._lock = threading.Lock()
        self._closed = False
        self._sockets: list[socket.socket] = []
        self.address = f"{parts.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def swallow(self) -> None:
        """Let nothing through from now on; nobody is told."""
        self._whole.clear()
        self.swallows.set()

    def swallow_after(self, writes: int, *, below: str = "/") -> None:
        """Let so many objects be put, and nothing through from the last answer on.

        So as much is written, and who writes knows of one less: they are not done,
        however quick they are.

        Args:
            writes: How many.
            below: Only those with this in their path count.
        """
        with self._lock:
            self._writes_left, self._counted = writes, below.encode()

    def cut(self) -> None:
        """Swallow, and break the connections that there are."""
        self.swallow()
        for item in self._sockets:
            _close(item)

    def mend(self) -> None:
        """Let everything through, on new connections."""
        for item in self._sockets:
            _close(item)
        self._sockets.clear()
        self.swallows.clear()
        self._whole.set()

    def close(self) -> None:
        """Close everything."""
        self._closed = True
        self._whole.set()
        _close(self._listener)
        self._accepting.join(timeout=10)
        for item in self._sockets:
            _close(item)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed:
                here, _ = self._listener.accept()
                self._sockets.append(here)
                if not self._whole.is_set():
                    continue  # accepted by the kernel, and never heard of again
                there = socket.create_connection(self._target, timeout=10)
                there.settimeout(None)
                self._sockets.append(there)
                writes = threading.Event()
                for ends in ((here, there), (there, here)):
                    threading.Thread(
                        target=self._forward, args=(*ends, writes), daemon=True
                    ).start()

    def _forward(
        self, source: socket.socket, target: socket.socket, writes: threading.Event
    ) -> None:
        """Forward one way; `writes` is set while one waits for its answer."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._is_counted(data):
                    writes.set()
                elif _is_answer(data) and writes.is_set():
                    writes.clear()
                    self._count_write(data)
                if not self._whole.is_set():
                    return
                target.sendall(data)
        _close(source)
        _close(target)

    def _is_counted(self, data: bytes) -> bool:
        """Return whether a piece asks to put an object, and not to change a lock."""
        path, _, query = data[:_PATH_BYTES].partition(b" HTTP/")[0].partition(b"?")
        return data.startswith(_WRITE) and self._counted in path and not query

    def _count_write(self, answer: bytes) -> None:
        with self._lock:
            if self._writes_left is None or not answer.startswith(_DONE):
                return
            self._writes_left -= 1
            if not self._writes_left:
                self._writes_left = None
                self.swallow()


def _is_answer(data: bytes) -> bool:
    return data.startswith(b"HTTP/1.1 ") and not data.startswith(_GO_ON)


def _close(item: socket.socket) -> None:
    with contextlib.suppress(OSError):
        item.shutdown(socket.SHUT_RDWR)
    item.close()


@contextlib.contextmanager
def wire_to(target: str) -> Iterator[Wire]:
    """Run a proxy in front of the server at the URL `target`."""
    wire = Wire(target)
    try:
        yield wire
    finally:
        wire.close()
