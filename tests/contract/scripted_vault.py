# SPDX-License-Identifier: Apache-2.0
"""An HTTP server on loopback that answers by a script.

Proxies, standbys and half-dead servers answer in ways that OpenBao cannot be made
to answer in.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOGIN = {
    "auth": {"client_token": "s.planted", "lease_duration": 900, "renewable": True}
}

Answer = tuple[int, str]


@dataclass
class ScriptedServer:
    """Answers logins well, and other requests by a script."""

    address: str
    script: list[Answer | Callable[[BaseHTTPRequestHandler], None]] = field(
        default_factory=list
    )
    login: Answer = (200, json.dumps(LOGIN))
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextlib.contextmanager
def scripted_vault() -> Iterator[ScriptedServer]:
    """Run a server on loopback whose script the caller fills."""
    scripted = ScriptedServer("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer()

        def answer(self) -> None:
            scripted.seen.append((self.path, dict(self.headers)))
            step = (
                scripted.login
                if self.path.endswith("/login")
                else scripted.script.pop(0)
            )
            if callable(step):
                step(self)
                return
            status, body = step
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "http://192.0.2.1/v1/elsewhere")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scripted.address = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield scripted
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
