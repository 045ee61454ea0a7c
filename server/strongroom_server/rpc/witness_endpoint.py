# SPDX-License-Identifier: Apache-2.0
"""HTTP of a witness: one POST and one GET, bounded in time, size and connections.

Nobody is asked who they are: a checkpoint that its log has not signed is refused,
and what a witness tells is public.
"""

import contextlib
import json
import logging
import re
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias, cast

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom_server.core.witness import (
    ADD_CHECKPOINT,
    MAX_SUBMISSION_BYTES,
    SIZE_TYPE,
    WitnessAnswer,
    WitnessStatus,
)
from strongroom_server.services.witnessing import Witnessing

#: Connections at once; more are closed.
MAX_CONNECTIONS: Final = 64
#: How long a peer may send or take nothing, and how long a connection lasts.
STALL_S: Final = 10.0
LIFE_S: Final = 60.0
#: How soon the end of the process is noticed.
_POLL_S: Final = 0.1
_TEXT: Final = "text/plain; charset=utf-8"
_CHECKPOINT: Final = re.compile(r"/([0-9a-f]{64})/checkpoint\Z")
_LENGTH: Final = re.compile(r"[0-9]{1,9}\Z")

#: As `socketserver` has it; over TCP it is a socket.
Request: TypeAlias = "socket.socket | tuple[bytes, socket.socket]"

_LOG: Final = logging.getLogger("strongroom_server.witness")


@contextmanager
def serving_witness(
    witnessing: Witnessing, listen: tuple[str, int], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve for as long as the context lasts; yields the port.

    Raises:
        PreconditionError: The address cannot be listened at (SETTING_INVALID).
    """
    try:
        server = _Server(listen, partial(_Handler, witnessing), tls)
    except OSError as error:
        raise PreconditionError(
            f"the witness cannot listen at {listen[0]}:{listen[1]}: {error.strerror}",
            reason=Reason.SETTING_INVALID,
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Bounds how many connections there are at once, and how long each lasts."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self,
        listen: tuple[str, int],
        handler: "partial[_Handler]",
        tls: ssl.SSLContext | None,
    ) -> None:
        self._tls = tls
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in listen[0]:
            self.address_family = socket.AF_INET6
        super().__init__(listen, handler)

    def process_request(self, request: Request, client_address: object) -> None:
        """Begin with a connection, or close it if there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Request, client_address: object) -> None:
        """Serve a connection; the body of its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Request, client_address: object) -> None:
        """Serve a connection, after TLS's handshake if there is one."""
        plain = cast("socket.socket", request)
        plain.settimeout(STALL_S)
        # Here, and not where connections are taken, so that nobody holds up others.
        peer = plain
        if self._tls is not None:
            peer = self._tls.wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
        end = threading.Timer(LIFE_S, _break_off, [peer])
        end.daemon = True
        end.start()
        with peer:
            try:
                if isinstance(peer, ssl.SSLSocket):
                    peer.do_handshake()
                super().finish_request(peer, client_address)
            finally:
                end.cancel()

    def handle_error(self, request: Request, client_address: object) -> None:  # noqa: ARG002 - socketserver's
        """Tell what went wrong, unless a connection merely broke."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            line = {"event": "bug", "error": type(error).__qualname__}
            _LOG.error("%s", json.dumps(line))


class _Handler(BaseHTTPRequestHandler):
    """One connection of a log's server."""

    protocol_version = "HTTP/1.1"
    server_version = "strongroom-witness"
    sys_version = ""
    timeout = STALL_S

    def __init__(self, witnessing: Witnessing, *arguments: Any) -> None:  # noqa: ANN401 - socketserver's
        self._witnessing = witnessing
        super().__init__(*arguments)

    def do_POST(self) -> None:
        """Answer `add-checkpoint`."""
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.match(length) or int(length) > MAX_SUBMISSION_BYTES:
            self.close_connection = True  # What follows is not read.
            self._send(413 if _LENGTH.match(length) else 411)
            return
        body = self.rfile.read(int(length))
        if self.path != ADD_CHECKPOINT or len(body) < int(length):
            self._send(404 if self.path != ADD_CHECKPOINT else 400)
            return
        try:
            answer = self._witnessing.add_checkpoint(body)
        except StrongroomError as error:
            self._tell(error)
            answer = WitnessAnswer(WitnessStatus.UNAVAILABLE)
        if answer.status is WitnessStatus.CONFLICT:
            self._send(answer.status, f"{answer.size}\n".encode(), SIZE_TYPE)
        else:
            self._send(answer.status, answer.lines)

    def do_GET(self) -> None:
        """Answer with the note of a log that was cosigned last."""
        found = _CHECKPOINT.match(self.path)
        try:
            note = self._witnessing.newest(found[1]) if found else None
        except StrongroomError as error:
            self._tell(error)
            self._send(WitnessStatus.UNAVAILABLE)
            return
        self._send(404 if note is None else 200, note or b"")

    def log_message(self, *_: object) -> None:
        """Write no line of its own for a request; what matters is told elsewhere."""

    def _send(self, status: int, body: bytes = b"", kind: str = _TEXT) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _tell(self, error: StrongroomError) -> None:
        line = {"event": "witness_failed", "reason": error.reason.value}
        _LOG.error("%s", json.dumps({**line, "message": error.message}))


def _break_off(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)
