# SPDX-License-Identifier: Apache-2.0
"""A gRPC call by hand, over any version of TLS: what no gRPC client would do.

Source:
    RFC 9113 for frames, RFC 7541, section 6.2.2, for headers.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_connection
from tempfile import NamedTemporaryFile
from typing import Final

from strongroom_server.ports import IssuedCertificate
from tests.rpc.running import Running
from tests.security.attacks import RefusedError

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_HEAD_BYTES: Final = 9


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def headers(*fields: tuple[str, str]) -> bytes:
    """Return a block of headers that refers to no table; values are short."""
    block = b""
    for name, value in fields:
        block += b"\0" + bytes([len(name)]) + name.encode()
        block += bytes([len(value)]) + value.encode()
    return block


@contextmanager
def connected(
    server: Running, shown: IssuedCertificate, version: ssl.TLSVersion
) -> Iterator[ssl.SSLSocket]:
    """Yield a connection in one version of TLS."""
    context = ssl.create_default_context(cadata=server.authority.ca_pem.decode())
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    with NamedTemporaryFile(suffix=".pem") as file:
        # The key stands before the certificates in one file.
        file.write(shown.private_key_pem + shown.chain_pem)
        file.flush()
        context.load_cert_chain(file.name)
    with (
        create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        yield secure


def call_by_hand(
    server: Running,
    shown: IssuedCertificate,
    version: ssl.TLSVersion,
    method: str,
    request: bytes,
) -> None:
    """Call a method, and wait for its end.

    Raises:
        RefusedError: By the reason in the audit entry of the call.
        ssl.SSLError: In the handshake.
    """
    before = len(server.audit.events())
    message = b"\0" + len(request).to_bytes(4, "big") + request
    fields = (
        (":method", "POST"),
        (":scheme", "https"),
        (":path", method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )
    with connected(server, shown, version) as secure:
        secure.sendall(
            _PREFACE
            + frame(_SETTINGS, 0, 0)
            + frame(_HEADERS, _END_HEADERS, 1, headers(*fields))
            + frame(_DATA, _END_STREAM, 1, message)
        )
        _wait_for_end(secure)
    server.wait_for_entries(before + 1)
    event = server.audit.events()[before]
    if event.decision != "allow":
        raise RefusedError(event.reason)


def _wait_for_end(secure: ssl.SSLSocket) -> None:
    """Read frames until the first stream has ended."""
    received = b""
    while data := secure.recv(65_536):
        received += data
        while len(received) >= _HEAD_BYTES:
            size = int.from_bytes(received[:3], "big")
            if len(received) < _HEAD_BYTES + size:
                break
            kind, flags = received[3], received[4]
            received = received[_HEAD_BYTES + size :]
            if kind in {_DATA, _HEADERS} and flags & _END_STREAM:
                return
