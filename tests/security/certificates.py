# SPDX-License-Identifier: Apache-2.0
"""The certificate zoo: whatever a caller shows that is not one good identity."""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import grpc
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom.errors import Reason
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom_server.ports import IssuedCertificate
from tests.rpc.authority import (
    DEVELOPER,
    NOBODY,
    READER,
    SERVER,
    TRUST_DOMAIN,
    Authority,
)
from tests.rpc.calling import GET_ARTIFACT
from tests.rpc.running import ARTIFACT, Running, call_raw, running_server
from tests.security.attacks import Attack, Family, reasons
from tests.security.calling import NOT_CONNECTED, call, show
from tests.security.http2 import call_by_hand

Make = Callable[[Authority], IssuedCertificate]

_CALLER: Final = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa"
#: Certificates of our own authority that name nobody, or more than one.
NOBODIES: Final[Mapping[str, Make]] = {
    "without any name": lambda ca: ca.issue(),
    "with a host name only": lambda ca: ca.issue("dns:localhost"),
    "with an address only": lambda ca: ca.issue("ip:127.0.0.1"),
    "with two SPIFFE ids": lambda ca: ca.issue(DEVELOPER, READER),
    "with the same SPIFFE id twice": lambda ca: ca.issue(DEVELOPER, DEVELOPER),
    "with a SPIFFE id and another URI": lambda ca: ca.issue(DEVELOPER, "http://x/y"),
    "with an http URI of the same path": lambda ca: ca.issue(
        DEVELOPER.replace("spiffe", "http", 1)
    ),
    "of another trust domain": lambda ca: ca.issue(
        DEVELOPER.replace(TRUST_DOMAIN, "other.internal")
    ),
    "of a trust domain that begins with ours": lambda ca: ca.issue(
        DEVELOPER.replace(TRUST_DOMAIN, f"{TRUST_DOMAIN}.evil")
    ),
    "of a trust domain that ends with ours": lambda ca: ca.issue(
        DEVELOPER.replace(TRUST_DOMAIN, f"evil.{TRUST_DOMAIN}")
    ),
    "with wildcards for a path": lambda ca: ca.issue(
        f"spiffe://{TRUST_DOMAIN}/ns/*/sa/*/job/*"
    ),
    "of the trust domain alone": lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}"),
    "of the server itself": lambda ca: ca.issue(SERVER),
    "with a path that is longer": lambda ca: ca.issue(f"{DEVELOPER}/more"),
    "with a path that climbs": lambda ca: ca.issue(f"{_CALLER}/../job/local"),
    "with an escaped path": lambda ca: ca.issue(f"{_CALLER}/de%20v/job/local"),
    "with an empty segment": lambda ca: ca.issue(f"{_CALLER}//job/local"),
    "with a query": lambda ca: ca.issue(f"{DEVELOPER}?a=b"),
    "with a fragment": lambda ca: ca.issue(f"{DEVELOPER}#a"),
    "with a user and a port": lambda ca: ca.issue(
        DEVELOPER.replace(TRUST_DOMAIN, f"user@{TRUST_DOMAIN}:443")
    ),
    "that may sign others": lambda ca: ca.issue(DEVELOPER, usage="both"),
    "without a key usage": lambda ca: ca.issue(DEVELOPER, usage="none"),
}


def _by_a_caller(authority: Authority) -> IssuedCertificate:
    """Return a certificate that a caller signed with its own key, with both shown."""
    middle = authority.issue(READER)
    key = load_pem_private_key(middle.private_key_pem, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    caller = Authority(key)
    caller.certificate = load_pem_x509_certificate(middle.chain_pem)
    leaf = caller.issue(DEVELOPER)
    return replace(leaf, chain_pem=leaf.chain_pem + middle.chain_pem)


#: Certificates that end in the handshake: nobody reads who they say they are.
UNTRUSTED: Final[Mapping[str, Make]] = {
    "that has ended": lambda ca: ca.issue(DEVELOPER, days=-1),
    "that has not begun": lambda ca: ca.issue(DEVELOPER, starts_in_days=1),
    "signed by itself": lambda ca: ca.issue(DEVELOPER, self_signed=True),
    "of another authority of the same name": lambda ca: Authority().issue(DEVELOPER),
    "for servers only": lambda ca: ca.issue(
        DEVELOPER, purposes=[ExtendedKeyUsageOID.SERVER_AUTH]
    ),
    "for code signing only": lambda ca: ca.issue(
        DEVELOPER, purposes=[ExtendedKeyUsageOID.CODE_SIGNING]
    ),
    "signed by a caller's certificate": _by_a_caller,
}


def _attacks(server: Running) -> Iterator[Attack]:
    authority = server.authority
    honest = partial(show, server, authority.issue(DEVELOPER))
    for name, make in NOBODIES.items():
        by = reasons(Reason.IDENTITY_INVALID)
        shown = [partial(show, server, make(authority))]
        yield Attack(f"a certificate {name}", by, honest, shown)
    for name, make in UNTRUSTED.items():
        by = reasons(NOT_CONNECTED)
        shown = [partial(show, server, make(authority))]
        yield Attack(f"a certificate {name}", by, honest, shown)
    yield Attack(
        "a certificate of an authority",
        reasons(Reason.IDENTITY_INVALID, NOT_CONNECTED),
        honest,
        [
            partial(show, server, authority.issue(DEVELOPER, is_ca=True, usage=usage))
            for usage in ("authority", "both", "leaf", "none")
        ],
    )
    yield Attack(
        "a good certificate of somebody without any right",
        reasons(Reason.ACTION_NOT_ALLOWED),
        honest,
        [partial(show, server, authority.issue(NOBODY))],
    )
    ours, theirs = authority.issue(DEVELOPER), authority.issue(READER)
    yield Attack(
        "no certificate, or one whose key is another's",
        reasons(NOT_CONNECTED),
        honest,
        [
            partial(call, lambda: _without_certificate(server)),
            partial(
                show, server, replace(ours, private_key_pem=theirs.private_key_pem)
            ),
        ],
    )
    yield Attack(
        "a connection in TLS 1.2",
        # gRPC shakes hands in it; the guard does not.
        reasons(Reason.IDENTITY_INVALID),
        partial(_in_tls, server, ours, "TLSv1_3"),
        [partial(_in_tls, server, ours, "TLSv1_2")],
    )
    yield Attack(
        "a connection without TLS",
        reasons(NOT_CONNECTED),
        honest,
        [partial(call, lambda: _plain(server))],
    )


def _without_certificate(server: Running) -> None:
    credentials = grpc.ssl_channel_credentials(server.authority.ca_pem)
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        call_raw(channel, GET_ARTIFACT, b"")


def _plain(server: Running) -> None:
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        call_raw(channel, GET_ARTIFACT, b"")


def _in_tls(server: Running, shown: IssuedCertificate, version: str) -> None:
    request = artifact_pb.GetArtifactRequest(name=ARTIFACT).SerializeToString()
    call_by_hand(server, shown, ssl.TLSVersion[version], GET_ARTIFACT, request)


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with running_server() as server:
        yield list(_attacks(server))


FAMILY: Final = Family("certificate zoo", _opened)
