# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that cuts or stalls answers, in front of a real server."""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Plan:
    """What becomes of one connection.

    Attributes:
        answer_bytes: How much of the answers passes; None for all.
        stalls: Whether the connection then stays open and silent, not closed.
    """

    answer_bytes: int | None = None
    stalls: bool = False


class CuttingProxy:
    """Forwards each connection by the next plan; without a plan, whole."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.plans: deque[Plan] = deque()
        self.connection_count = 0
        self.requests = b""
        self._start(self._accept)

    def close(self) -> None:
        """Close everything and wait for the threads; harmless when repeated."""
        _close(self._listener)
        self._threads[0].join(timeout=10)
        for item in self._sockets:
            _close(item)
        for thread in self._threads:
            thread.join(timeout=10)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target, timeout=10)
                server.settimeout(None)
                self._sockets += [client, server]
                self.connection_count += 1
                plan = self.plans.popleft() if self.plans else Plan()
                self._start(self._forward_requests, client, server)
                self._start(self._forward_answers, server, client, plan)

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                with self._lock:
                    self.requests += data
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _forward_answers(
        self, server: socket.socket, client: socket.socket, plan: Plan
    ) -> None:
        left = plan.answer_bytes
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if left is not None and len(data) >= left:
                    client.sendall(data[:left])
                    break
                left = None if left is None else left - len(data)
                client.sendall(data)
        if not plan.stalls:
            _close(client)
            _close(server)


def _close(item: socket.socket) -> None:
    with contextlib.suppress(OSError):
        item.shutdown(socket.SHUT_RDWR)
    item.close()


@contextlib.contextmanager
def cutting_proxy(target: str) -> Iterator[CuttingProxy]:
    """Run a proxy in front of the server at the URL `target`."""
    proxy = CuttingProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
