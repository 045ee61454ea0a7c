# SPDX-License-Identifier: Apache-2.0
"""Who calls: one SPIFFE id out of the peer's certificate, or nobody.

gRPC completes the handshake for any certificate of our authority: with two URI
names, with none, with an http one. It sets `peer_spiffe_id` only for exactly one
SPIFFE URI, so its absence is a refusal, and the common name is never read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509

from strongroom.errors import Reason, UnauthenticatedError

TLS_VERSION: Final = "TLSv1.3"

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")
_HINT: Final = "Use a certificate with one SPIFFE id; `strongroom doctor` explains."


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """Which SPIFFE ids are callers.

    Attributes:
        trust_domain: The only one accepted.
        paths: Path patterns, `*` for any one segment: `/ns/*/sa/*/job/*`.
    """

    trust_domain: str
    paths: tuple[str, ...] = ("/ns/*/sa/*/job/*",)


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller whose certificate has been checked."""

    principal: str
    tls_version: str
    key_exchange: str


@dataclass(frozen=True, slots=True)
class _Leaf:
    is_ca: bool
    not_before: datetime
    not_after: datetime


def identify(
    auth_context: Mapping[str, Sequence[bytes]], rules: IdentityRules, *, now: datetime
) -> Peer:
    """Return the caller, from what gRPC knows of the connection.

    The certificate's dates are checked again for each call, since a connection
    outlives them.

    Raises:
        UnauthenticatedError: CERTIFICATE_MISSING, CERTIFICATE_EXPIRED, or
            IDENTITY_INVALID.
    """
    certificate = _only(auth_context, "x509_pem_cert")
    if not certificate:
        raise UnauthenticatedError(
            "the caller showed no certificate",
            reason=Reason.CERTIFICATE_MISSING,
            hint=_HINT,
        )
    tls_version = _only(auth_context, "ssl_tls_version")
    if tls_version != TLS_VERSION:
        message = f"the connection uses {tls_version or 'no TLS'}, not {TLS_VERSION}"
        raise _refused(message, tls_version=tls_version)
    _check_leaf(_parse_leaf(certificate), now)
    principal = _only(auth_context, "peer_spiffe_id")
    _check_principal(principal, rules)
    return Peer(
        principal=principal,
        tls_version=tls_version,
        key_exchange=_only(auth_context, "ssl_negotiated_key_exchange_group"),
    )


def _only(auth_context: Mapping[str, Sequence[bytes]], key: str) -> str:
    values = auth_context.get(key, ())
    return values[0].decode("utf-8", "replace") if len(values) == 1 else ""


@lru_cache(maxsize=1024)
def _parse_leaf(pem: str) -> _Leaf:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        is_ca = basic.value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    return _Leaf(
        is_ca=is_ca,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _check_leaf(leaf: _Leaf, now: datetime) -> None:
    if leaf.is_ca:
        raise _refused("the caller's certificate is one of an authority")
    if not leaf.not_before <= now <= leaf.not_after:
        not_after = leaf.not_after.isoformat()
        message = f"the caller's certificate is not valid now; it ended {not_after}"
        raise UnauthenticatedError(
            message,
            reason=Reason.CERTIFICATE_EXPIRED,
            hint="Renew the certificate and connect again.",
            not_after=not_after,
        )


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


def _refused(message: str, **metadata: object) -> UnauthenticatedError:
    return UnauthenticatedError(
        message, reason=Reason.IDENTITY_INVALID, hint=_HINT, **metadata
    )
