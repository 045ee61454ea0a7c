# SPDX-License-Identifier: Apache-2.0
"""Good certificates of those who are not, or no longer, let in: rules of a server."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from strongroom.errors import Reason
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.revocation import Revocations, parse_revocations
from strongroom_server.ports import IssuedCertificate
from strongroom_server.rpc.identity import (
    POST_QUANTUM_GROUPS,
    IdentityRules,
    identify,
)
from tests.rpc.authority import DEVELOPER, TRAINER, TRUST_DOMAIN
from tests.rpc.running import VERSION, Running, running_server
from tests.security.attacks import Attack, Family, reasons
from tests.security.calling import call, show

#: Groups without ML-KEM, as BoringSSL and OpenSSL spell them, and tricks of spelling.
_CLASSICAL: Final = (
    *("X25519", "P-256", "P-384", "P-521", "x25519", "ffdhe2048", ""),
    *("X25519MLKEM768 ", "x25519mlkem768", "X25519MLKEM768,X25519", "MLKEM768"),
)


class _Door:
    """A server whose revocations a try may change."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.revoked = Revocations()

    def revoke(self, line: str, act: Callable[[], object]) -> None:
        """Do something while a line stands in the revocations."""
        self.revoked = parse_revocations(line)
        try:
            act()
        finally:
            self.revoked = Revocations()

    def read_on(self, certificate: IssuedCertificate, line: str = "") -> None:
        """Begin to read; then be revoked; then read on to the end."""
        with self.server.transfers(certificate) as stub:
            request = transfer_pb.ReadVersionRequest(name=VERSION)
            responses = stub.ReadVersion(request, timeout=60)
            call(lambda: next(responses))
            review = self.server.reviews.review
            self.revoke(line, review) if line else review()
            call(lambda: [None for _ in responses])


def _attacks(door: _Door, rules: IdentityRules) -> Iterator[Attack]:
    issue = door.server.authority.issue
    good, other = issue(DEVELOPER), issue(TRAINER)
    honest = partial(show, door.server, good)
    lines = [DEVELOPER, DEVELOPER.rpartition("/")[0] + "/*", _digest(good, rules)]
    yield Attack(
        "a revoked principal or certificate",
        reasons(Reason.IDENTITY_REVOKED),
        partial(door.revoke, TRAINER, honest),
        [partial(door.revoke, line, honest) for line in lines],
    )
    yield Attack(
        "a new certificate for a revoked principal",
        reasons(Reason.IDENTITY_REVOKED),
        partial(show, door.server, issue(DEVELOPER)),
        [partial(door.revoke, DEVELOPER, partial(show, door.server, issue(DEVELOPER)))],
    )
    yield Attack(
        "reading on in a stream that began before the revocation",
        reasons(Reason.IDENTITY_REVOKED),
        partial(door.read_on, other),
        [partial(door.read_on, good, line) for line in lines],
    )
    yield Attack(
        "a certificate that outlives what is allowed",
        reasons(Reason.IDENTITY_INVALID),
        honest,
        [partial(show, door.server, issue(DEVELOPER, days=days)) for days in (2, 365)],
    )
    yield Attack(
        "a key exchange that a quantum computer breaks, where none may",
        reasons(Reason.KEY_EXCHANGE_REFUSED),
        lambda: [_over(group, good, rules) for group in POST_QUANTUM_GROUPS],
        [partial(_over, group, good, rules) for group in _CLASSICAL],
    )


def _over(group: str, certificate: IssuedCertificate, rules: IdentityRules) -> str:
    """Be identified over a connection with this key exchange; return the digest."""
    facts = {
        "x509_pem_cert": [certificate.chain_pem],
        "ssl_tls_version": [b"TLSv1.3"],
        "ssl_negotiated_key_exchange_group": [group.encode()],
        "peer_spiffe_id": [DEVELOPER.encode()],
    }
    # It ends in a day and began a day ago.
    now = certificate.not_after - timedelta(hours=12)
    return identify(facts, rules, now=now).certificate_digest


def _digest(certificate: IssuedCertificate, rules: IdentityRules) -> str:
    return _over("X25519MLKEM768", certificate, rules)


@contextmanager
def _opened(_thorough: bool) -> Iterator[Sequence[Attack]]:
    door: list[_Door] = []
    rules = IdentityRules(
        TRUST_DOMAIN,
        max_lifetime=timedelta(days=2),
        post_quantum=True,
        revoked=lambda: door[0].revoked if door else Revocations(),
    )
    with running_server(rules=rules) as server:
        # Long enough that no network has taken it all before the revocation.
        server.script.responses = 400
        server.script.closed = threading.Event()
        door.append(_Door(server))
        yield list(_attacks(door[0], rules))


FAMILY: Final = Family("identity rules", _opened)
