# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that hurts: delays, stalls, resets, cuts, and HTTP errors.

One proxy stands between all servers and S3, one between them and Vault. What befalls
a connection is drawn from a seeded die; HTTP answers are made up only where the
stream is plain HTTP.
"""

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

MAX_CONNECTIONS: Final = 256
PIECE_BYTES: Final = 64 * 1024
#: Longer than any timeout of the server's adapters that must notice.
STALL_S: Final = 20.0
IDLE_S: Final = 300.0
_ERRORS: Final = (
    b"HTTP/1.1 500 Internal Server Error",
    b"HTTP/1.1 503 Slow Down",
)
_BODY: Final = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>chaos</Message></Error>'
)


@dataclass(frozen=True)
class Odds:
    """How likely each fault is for one connection, and for each piece on it."""

    error: float = 0.0
    delay: float = 0.0
    reset: float = 0.0
    cut: float = 0.0
    stall: float = 0.0


CALM: Final = Odds()


class FaultProxy:
    """Forwards connections to a port, and breaks some of them."""

    def __init__(self, name: str, target_port: int, *, seed: int, http: bool) -> None:
        self.name = name
        self.faults: Counter[str] = Counter()
        #: Changes when what is behind it comes back at another port.
        self.target_port = target_port
        self._http = http
        self._dice = random.Random(f"{seed}/{name}")
        self._lock = threading.Lock()
        self._odds = CALM
        self._ends = threading.Event()
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(0.5)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=name, daemon=True)
        self._thread.start()

    def set_odds(self, odds: Odds) -> None:
        """Change what may happen from the next piece on."""
        self._odds = odds

    def close(self) -> None:
        """End; connections that are still open end within a second."""
        self._ends.set()
        self._thread.join(timeout=5)
        self._listener.close()

    def _strikes(self, fault: str, chance: float) -> bool:
        with self._lock:
            strikes = chance > 0 and self._dice.random() < chance
            self.faults[fault] += strikes
        return strikes

    def _accept(self) -> None:
        while not self._ends.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._slots.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                server = socket.create_connection(
                    ("127.0.0.1", self.target_port), timeout=5
                )
                with server:
                    self._pipe_both(client, server)
        finally:
            self._slots.release()

    def _pipe_both(self, client: socket.socket, server: socket.socket) -> None:
        for end in (client, server):
            end.settimeout(IDLE_S)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = threading.Thread(
            target=self._pipe,
            args=(client, server),
            kwargs={"asking": True},
            daemon=True,
        )
        up.start()
        self._pipe(server, client, asking=False)
        up.join(timeout=IDLE_S)

    def _pipe(
        self, source: socket.socket, sink: socket.socket, *, asking: bool
    ) -> None:
        buffer = bytearray(PIECE_BYTES)
        with contextlib.suppress(OSError):
            while not self._ends.is_set():
                count = source.recv_into(buffer)
                if not count or self._is_broken(
                    source, sink, buffer[:count], asking=asking
                ):
                    break
                sink.sendall(memoryview(buffer)[:count])
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_broken(
        self,
        source: socket.socket,
        sink: socket.socket,
        piece: bytearray,
        *,
        asking: bool,
    ) -> bool:
        """Let a fault strike this piece; return whether the connection is over."""
        odds = self._odds
        if self._strikes("delay", odds.delay):
            self._ends.wait(0.05 + 0.4 * random.random())
        if self._strikes("stall", odds.stall):
            self._ends.wait(STALL_S)
        if self._strikes("reset", odds.reset):
            _reset(source)
            _reset(sink)
            return True
        if not asking and self._strikes("cut", odds.cut):
            sink.sendall(memoryview(piece)[: len(piece) // 2])
            return True
        begins = bytes(piece[:5]) in {b"GET /", b"PUT /", b"HEAD ", b"POST "}
        if asking and self._http and begins and self._strikes("5xx", odds.error):
            line = _ERRORS[len(piece) % len(_ERRORS)]
            source.sendall(
                line + b"\r\nContent-Type: application/xml\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
            )
            # Let the answer arrive before the connection goes.
            time.sleep(0.05)
            return True
        return False


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        end.close()
