# SPDX-License-Identifier: Apache-2.0
"""Those who vouch for a server at Vault: a JWT issuer, a cluster, an authority.

Vault and its login methods are real. Ours are the keys that sign, and the one call
of the Kubernetes API that Vault makes (TokenReview), on loopback over TLS.
"""

import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom_server.dev.vault_client import VaultClient
from strongroom_server.dev.vault_tls import ensure_vault_tls

POLICY = "strongroom-server"
ROLE = "strongroom"
ISSUER = "https://cluster.example"
AUDIENCE = "vault"
SUBJECT = "system:serviceaccount:ml:strongroom"
TOKEN = {
    "token_policies": [POLICY],
    "token_ttl": "15m",
    "token_no_default_policy": True,
    "token_bound_cidrs": ["127.0.0.1/32"],
}


class JwtIssuer:
    """Signs JWTs as a cluster does for its pods."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_pem(self) -> str:
        public = self._key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem.decode()

    def sign(self, **claims: object) -> str:
        """Sign a service account's token, with these claims in place of the usual."""
        now = int(time.time())
        usual: dict[str, object] = {
            "iss": ISSUER,
            "sub": SUBJECT,
            "aud": [AUDIENCE],
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "kubernetes.io": {
                "namespace": "ml",
                "serviceaccount": {"name": "strongroom", "uid": "u-1"},
            },
        }
        head = {"alg": "ES256", "typ": "JWT", "kid": "1"}
        text = ".".join(map(_encode, (head, {**usual, **claims})))
        der = self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        return f"{text}.{_encode_bytes(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass
class Cluster:
    """The one call of the Kubernetes API that Vault makes.

    Attributes:
        address: Its URL.
        ca_pem: Vouches for it.
        valid: The tokens that it holds for good.
        reviews: What it was asked, with the caller's own token.
    """

    address: str
    ca_pem: str
    valid: set[str] = field(default_factory=set)
    reviews: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def review(self, path: str, caller: str, request: dict[str, Any]) -> dict[str, Any]:
        self.reviews.append((path, caller, request["spec"]))
        if request["spec"]["token"] not in self.valid:
            status: dict[str, Any] = {"authenticated": False, "error": "unknown"}
        else:
            user = {"username": SUBJECT, "uid": "u-1"}
            audiences = request["spec"].get("audiences", [])
            status = {"authenticated": True, "user": user, "audiences": audiences}
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        return {**kind, "status": status}


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Answer TokenReviews over TLS on loopback."""
    ensure_vault_tls(folder)
    cluster = Cluster("", (folder / "ca.crt").read_text())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            request = json.loads(self.rfile.read(length))
            caller = self.headers["Authorization"]
            body = json.dumps(cluster.review(self.path, caller, request)).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    cluster.address = f"https://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield cluster
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class Authority:
    """Issues client certificates with one URI, as a SPIFFE authority does."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Strongroom tests: workload authority")
        self._certificate = (
            _builder(name, name, self._key.public_key(), timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def issue(
        self,
        cert_file: Path,
        key_file: Path,
        uri: str,
        *,
        life: timedelta = timedelta(minutes=10),
        password: bytes = b"",
    ) -> str:
        """Write a new certificate and key; give the serial number as Vault does."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            _builder(_name("x"), self._certificate.subject, key.public_key(), life)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]),
                critical=False,
            )
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        protection = BestAvailableEncryption(password) if password else NoEncryption()
        cert_file.write_bytes(leaf.public_bytes(Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        )
        return str(leaf.serial_number)


def enable(root: VaultClient, method: str) -> str:
    """Mount a login method, and give the path of the mount."""
    root.write(f"sys/auth/{method}", {"type": method})
    return f"auth/{method}"


def _encode(value: object) -> str:
    return _encode_bytes(json.dumps(value).encode())


def _encode_bytes(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    life: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + life)
    )
