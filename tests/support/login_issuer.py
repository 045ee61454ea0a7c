# SPDX-License-Identifier: Apache-2.0
"""A small identity provider over HTTPS on 127.0.0.1, and a person with a browser.

Its tokens are not signed: clients take them from the provider itself, and servers,
which check signatures, have tests of their own.
"""

import base64
import hashlib
import http.client
import http.server
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from strongroom_server.dev.vault_tls import ensure_vault_tls

CLIENT_ID = "strongroom-cli"


@dataclass
class LoginIssuer:
    """What the provider does next, and what it was asked."""

    port: int
    ca_file: Path
    #: Put over the claims of the next tokens; None leaves a claim out.
    claims: dict[str, Any] = field(default_factory=dict)
    #: Put over the discovery document; None leaves a field out.
    discovery: dict[str, Any] = field(default_factory=dict)
    #: Put over the fields of the redirect; None leaves a field out.
    redirect: dict[str, Any] = field(default_factory=dict)
    #: Answered to forms in place of a token: status and JSON.
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    #: What each authorization request, and each form, said.
    asked: list[dict[str, str]] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    #: What the device endpoint says; None if the provider has no such endpoint.
    device: dict[str, Any] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/realm"

    def visit(self, url: str) -> bool:
        """Sign in as a person does, on a thread: the caller waits for the answer."""
        threading.Thread(target=self.follow, args=(url,), daemon=True).start()
        return True

    def follow(self, url: str) -> int:
        """Open the address, and go where it sends the browser; return the status."""
        status, location = self.get(url)
        if status != 302:
            return status
        target = urlsplit(location)
        connection = http.client.HTTPConnection("127.0.0.1", target.port or 0)
        connection.request("GET", f"{target.path}?{target.query}")
        answer = connection.getresponse().status
        connection.close()
        return answer

    def get(self, url: str) -> tuple[int, str]:
        """Open one address; return the status and where it sends the browser."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        target = urlsplit(url)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context
        )
        connection.request("GET", f"{target.path}?{target.query}")
        response = connection.getresponse()
        connection.close()
        return response.status, response.headers.get("Location", "")

    def token(self, nonce: str) -> str:
        """Return a token for the person who signs in now."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "8a7c",
            "preferred_username": "alice",
            "nonce": nonce,
            "iat": now,
            "exp": now + 3600,
            "auth_time": now,
            "amr": ["pwd", "otp", "mfa"],
        } | self.claims
        kept = {key: value for key, value in claims.items() if value is not None}
        parts = ({"alg": "ES256", "kid": "1"}, kept)
        return ".".join([*(_encoded(part) for part in parts), "c2lnbmF0dXJl"])

    def discovered(self) -> dict[str, Any]:
        """Return the discovery document."""
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
        } | self.discovery
        if self.device is not None:
            found["device_authorization_endpoint"] = f"{self.url}/device"
        return {key: value for key, value in found.items() if value is not None}

    @property
    def redirect_path(self) -> str:
        """Where it sends browsers, at any port of 127.0.0.1, and nowhere else."""
        return f"/callback/{hashlib.sha256(self.url.encode()).hexdigest()[:32]}"

    def redirected(self, query: dict[str, str]) -> str:
        """Note an authorization request; return where the browser goes; "" if not."""
        self.asked.append(query)
        target = urlsplit(query["redirect_uri"])
        if (target.hostname, target.path) != ("127.0.0.1", self.redirect_path):
            return ""
        code = f"code-{len(self.asked)}"
        self.codes[code] = query
        fields = {"code": code, "state": query["state"]} | self.redirect
        kept = {key: value for key, value in fields.items() if value is not None}
        return f"{query['redirect_uri']}?{urlencode(kept)}"

    def exchanged(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Answer a form sent to the token endpoint."""
        self.forms.append(form)
        if self.answers:
            return self.answers.pop(0)
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if proof != asked["code_challenge"] or form["client_id"] != CLIENT_ID:
            return 400, {"error": "invalid_grant"}
        return 200, {"token_type": "Bearer", "id_token": self.token(asked["nonce"])}


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _handler(
    issuer: Callable[[], LoginIssuer],
) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers for one provider."""

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            query = {key: value[0] for key, value in parse_qs(target.query).items()}
            if target.path == "/realm/authorize":
                location = issuer().redirected(query)
                self.send_response(302 if location else 400)
                self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif target.path == "/realm/.well-known/openid-configuration":
                self._answer(200, issuer().discovered())
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: value[0] for key, value in parse_qs(body).items()}
            if self.path == "/realm/device":
                issuer().asked.append(form)
                found = issuer().device or {}
                self._answer(400 if "error" in found else 200, found)
            else:
                self._answer(*issuer().exchanged(form))

        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def _answer(self, status: int, fields: dict[str, Any]) -> None:
            body = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


class _Server(socketserver.ThreadingTCPServer):
    """Like http.server's, but asks no name server what it is called."""

    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def running_login_issuer(folder: Path) -> Iterator[LoginIssuer]:
    """Run a provider; its certificate is vouched for by `ca_file` alone."""
    ensure_vault_tls(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    found: list[LoginIssuer] = []
    server = _Server(("127.0.0.1", 0), _handler(lambda: found[0]))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.append(LoginIssuer(server.server_address[1], folder / "ca.crt"))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
