# SPDX-License-Identifier: Apache-2.0
"""A small OpenID Connect provider on 127.0.0.1: real HTTPS, real signatures."""

import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.rpc.authority import Authority

AUDIENCE: Final = "strongroom-people"
DISCOVERY: Final = "/.well-known/openid-configuration"
KEYS: Final = "/keys"

#: How a key is made, by the algorithm that it is for.
_MAKERS: Final[dict[str, Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def new_key(algorithm: str) -> PrivateKeyTypes:
    """Make a key that can sign by an algorithm."""
    key: PrivateKeyTypes = _MAKERS[algorithm]()
    return key


@dataclass
class Issuer:
    """A provider that signs whatever it is told to, and may be told to misbehave.

    Attributes:
        url: The issuer.
        ca_file: The authority of its certificate.
        keys: What it signs with, by key id; `jwks` publishes the public halves.
        documents: What it answers in place of the truth, by path.
        status: What it answers with.
        requests: The paths that were asked for.
        gate: While it is not set, nothing is answered.
    """

    url: str
    ca_file: Path
    keys: dict[str, tuple[str, PrivateKeyTypes]] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    requests: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def add_key(self, key_id: str, algorithm: str) -> None:
        """Make a key and publish it."""
        self.keys[key_id] = (algorithm, new_key(algorithm))

    def token(
        self,
        claims: Mapping[str, object],
        *,
        key_id: str = "one",
        headers: Mapping[str, object] | None = None,
    ) -> str:
        """Sign claims with a key of the issuer."""
        algorithm, key = self.keys[key_id]
        return sign(claims, key, algorithm, {"kid": key_id, **(headers or {})})

    def jwks(self) -> dict[str, Any]:
        """Return what it publishes."""
        return {
            "keys": [
                {**public_jwk(algorithm, key), "kid": key_id, "use": "sig"}
                for key_id, (algorithm, key) in self.keys.items()
            ]
        }

    def answer(self, path: str) -> bytes:
        """Return the document of a path."""
        if path in self.documents:
            return self.documents[path]
        if path == DISCOVERY:
            found = {"issuer": self.url, "jwks_uri": self.url + KEYS}
            return json.dumps(found).encode()
        return json.dumps(self.jwks()).encode()


def sign(
    claims: Mapping[str, object],
    key: PrivateKeyTypes,
    algorithm: str,
    headers: Mapping[str, object],
) -> str:
    """Sign claims with any key."""
    made: Any = key
    return jwt.PyJWS().encode(
        json.dumps(claims).encode(), made, algorithm, headers=dict(headers)
    )


def sign_raw(
    header: Mapping[str, object],
    claims: Mapping[str, object],
    key: PrivateKeyTypes,
    algorithm: str,
) -> str:
    """Sign claims below a header that no library would write."""
    text = f"{part(header)}.{part(claims)}"
    signer: Any = jwt.get_algorithm_by_name(algorithm)
    return f"{text}.{part(signer.sign(text.encode(), key))}"


def public_jwk(algorithm: str, key: PrivateKeyTypes) -> dict[str, Any]:
    """Return the public half of a key as a JSON Web Key."""
    signer: Any = jwt.get_algorithm_by_name(algorithm)
    made: Any = key
    told: dict[str, Any] = signer.to_jwk(made.public_key(), as_dict=True)
    told.pop("key_ops", None)
    return {**told, "alg": algorithm}


def public_pem(key: PrivateKeyTypes) -> bytes:
    """Return the public half of a key as PEM."""
    made: Any = key
    pem: bytes = made.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def part(value: object) -> str:
    """Return one part of a token: JSON in base64url."""
    encoded = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(encoded).decode().rstrip("=")


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Serve a provider with the ES256 key `one`."""
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as issuer:
        issuer.add_key("one", "ES256")
        issuer.gate.set()
        yield issuer
        issuer.gate.set()


@contextmanager
def _server(folder: Path) -> Iterator[Issuer]:
    authority = Authority()
    made = authority.issue("dns:localhost", "ip:127.0.0.1")
    (folder / "ca.pem").write_bytes(authority.ca_pem)
    (folder / "both.pem").write_bytes(made.private_key_pem + made.chain_pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "both.pem")
    holder: list[Issuer] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer = holder[0]
            issuer.requests.append(self.path)
            issuer.gate.wait(30)
            body = issuer.answer(self.path)
            self.send_response(issuer.status)
            self.send_header("Location", f"{issuer.url}/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that hang up are part of the tests."""

    with Server(("127.0.0.1", 0), Answer) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        url = f"https://127.0.0.1:{server.server_address[1]}"
        holder.append(Issuer(url, folder / "ca.pem"))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield holder[0]
        finally:
            server.shutdown()
            thread.join()
