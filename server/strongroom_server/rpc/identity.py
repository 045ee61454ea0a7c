# SPDX-License-Identifier: Apache-2.0
"""What calls: one SPIFFE id out of the peer's certificate, or nobody.

gRPC completes the handshake for any certificate of our authority: with two URI
names, with none, with an http one. It sets `peer_spiffe_id` only for exactly one
SPIFFE URI, so its absence is a refusal, and the common name is never read.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from strongroom.errors import Reason, UnauthenticatedError
from strongroom_server.core.operators import Operator
from strongroom_server.core.revocation import Revocations

TLS_VERSION: Final = "TLSv1.3"

#: Key exchanges that also hold against quantum computers: hybrids with ML-KEM.
POST_QUANTUM_GROUPS: Final = frozenset(
    {"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"}
)

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")
_HINT: Final = "Use a certificate with one SPIFFE id; `strongroom doctor` explains."


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """Which SPIFFE ids are callers.

    Attributes:
        trust_domain: The only one accepted.
        paths: Path patterns, `*` for any one segment: `/ns/*/sa/*/job/*`.
        max_lifetime: How long a caller's certificate may be valid in all; None for
            any time.
        post_quantum: Whether a connection without ML-KEM is refused.
        revoked: Who is nobody, whatever certificate is shown.
    """

    trust_domain: str
    paths: tuple[str, ...] = ("/ns/*/sa/*/job/*",)
    max_lifetime: timedelta | None = None
    post_quantum: bool = False
    revoked: Callable[[], Revocations] = Revocations


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller whose certificate, and login if one is shown, have been checked.

    Attributes:
        principal: The SPIFFE id; `operator:NAME` if the call shows a login.
        tls_version: As gRPC tells it.
        key_exchange: The group, as gRPC tells it: `X25519MLKEM768`.
        certificate_digest: `sha256:…` of the certificate's DER bytes.
        workload: The certificate's SPIFFE id, whoever the principal is.
        operator: The person whose login the call shows.
        auth_age_s: How long ago they signed in, when the call began.
    """

    principal: str
    tls_version: str
    key_exchange: str
    certificate_digest: str = ""
    workload: str = ""
    operator: Operator | None = None
    auth_age_s: int = 0


@dataclass(frozen=True, slots=True)
class _Leaf:
    digest: str
    is_ca: bool
    signs_only: bool
    not_before: datetime
    not_after: datetime


def identify(
    auth_context: Mapping[str, Sequence[bytes]], rules: IdentityRules, *, now: datetime
) -> Peer:
    """Return the caller, from what gRPC knows of the connection.

    The certificate's dates are checked again for each call, since a connection
    outlives them.

    Raises:
        UnauthenticatedError: CERTIFICATE_MISSING, CERTIFICATE_EXPIRED,
            KEY_EXCHANGE_REFUSED, IDENTITY_INVALID, or IDENTITY_REVOKED.
    """
    peer, leaf = _identify(
        _only(auth_context, "x509_pem_cert"),
        _only(auth_context, "ssl_tls_version"),
        _only(auth_context, "ssl_negotiated_key_exchange_group"),
        _only(auth_context, "peer_spiffe_id"),
        rules,
    )
    # All else holds for good; this does not.
    _check_dates(leaf, now)
    check_revoked(peer, rules)
    return peer


@lru_cache(maxsize=1024)
def _identify(
    certificate: str,
    tls_version: str,
    key_exchange: str,
    principal: str,
    rules: IdentityRules,
) -> tuple[Peer, "_Leaf"]:
    """Check what never changes of a connection; a refusal is found anew each time."""
    if not certificate:
        raise UnauthenticatedError(
            "the caller showed no certificate",
            reason=Reason.CERTIFICATE_MISSING,
            hint=_HINT,
        )
    if tls_version != TLS_VERSION:
        message = f"the connection uses {tls_version or 'no TLS'}, not {TLS_VERSION}"
        raise _refused(message, tls_version=tls_version)
    if rules.post_quantum and key_exchange not in POST_QUANTUM_GROUPS:
        raise _too_weak(key_exchange)
    leaf = _parse_leaf(certificate)
    _check_leaf(leaf, rules)
    _check_principal(principal, rules)
    return Peer(principal, tls_version, key_exchange, leaf.digest, principal), leaf


def check_revoked(peer: Peer, rules: IdentityRules) -> None:
    """Check that neither a caller, nor what it calls by, is revoked by now.

    Raises:
        UnauthenticatedError: IDENTITY_REVOKED.
    """
    revoked, digest = rules.revoked(), peer.certificate_digest
    if revoked.name(peer.principal, digest) or revoked.name(peer.workload, digest):
        message = f"{peer.principal}, or the certificate that it shows, is revoked"
        raise UnauthenticatedError(
            message,
            reason=Reason.IDENTITY_REVOKED,
            hint="Ask an operator why; a new certificate may be needed.",
            principal=peer.principal,
            certificate=peer.certificate_digest,
        )


def _only(auth_context: Mapping[str, Sequence[bytes]], key: str) -> str:
    values = auth_context.get(key, ())
    return values[0].decode("utf-8", "replace") if len(values) == 1 else ""


def _parse_leaf(pem: str) -> _Leaf:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return _Leaf(
        digest=f"sha256:{certificate.fingerprint(SHA256()).hex()}",
        is_ca=_is_authority(certificate),
        signs_only=_signs_only(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return basic.value.ca


def _signs_only(certificate: x509.Certificate) -> bool:
    """Tell whether the key usage is that of an X.509-SVID's leaf."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    authority = usage.key_cert_sign or usage.crl_sign
    return usage.digital_signature and not authority


def _check_dates(leaf: _Leaf, now: datetime) -> None:
    if not leaf.not_before <= now <= leaf.not_after:
        not_after = leaf.not_after.isoformat()
        message = f"the caller's certificate is not valid now; it ended {not_after}"
        raise UnauthenticatedError(
            message,
            reason=Reason.CERTIFICATE_EXPIRED,
            hint="Renew the certificate and connect again.",
            not_after=not_after,
        )


def _check_leaf(leaf: _Leaf, rules: IdentityRules) -> None:
    if leaf.is_ca:
        raise _refused("the caller's certificate is one of an authority")
    if not leaf.signs_only:
        raise _refused("the caller's certificate is not for digital signatures only")
    lifetime = leaf.not_after - leaf.not_before
    if rules.max_lifetime is not None and lifetime > rules.max_lifetime:
        message = (
            f"the caller's certificate is valid for {lifetime}, and "
            f"{rules.max_lifetime} is the most that is accepted"
        )
        raise _refused(message, lifetime=lifetime, max_lifetime=rules.max_lifetime)


def _check_principal(principal: str, rules: IdentityRules) -> None:
    if not principal:
        raise _refused("the caller's certificate does not carry exactly one SPIFFE id")
    prefix = f"spiffe://{rules.trust_domain}/"
    path = principal.removeprefix(prefix)
    if path == principal:
        message = f"{principal} is not of the trust domain {rules.trust_domain}"
        raise _refused(message, principal=principal, trust_domain=rules.trust_domain)
    given = path.split("/")
    if not any(_path_matches(pattern, given) for pattern in rules.paths):
        wanted = " or ".join(rules.paths)
        message = f"{principal} is not the id of a caller: {wanted}"
        raise _refused(message, principal=principal)


def _path_matches(pattern: str, given: Sequence[str]) -> bool:
    wanted = pattern.removeprefix("/").split("/")
    return len(wanted) == len(given) and all(
        _is_segment(have) and want in {"*", have}
        for want, have in zip(wanted, given, strict=True)
    )


def _is_segment(text: str) -> bool:
    return text not in {".", ".."} and _SEGMENT.match(text) is not None


def _too_weak(key_exchange: str) -> UnauthenticatedError:
    message = (
        f"the connection's key exchange is {key_exchange or 'unknown'}, "
        "which a quantum computer could break later"
    )
    return UnauthenticatedError(
        message,
        reason=Reason.KEY_EXCHANGE_REFUSED,
        hint="Use a gRPC whose TLS offers X25519MLKEM768; grpcio 1.85 does.",
        key_exchange=key_exchange,
    )


def _refused(message: str, **metadata: object) -> UnauthenticatedError:
    return UnauthenticatedError(
        message, reason=Reason.IDENTITY_INVALID, hint=_HINT, **metadata
    )
