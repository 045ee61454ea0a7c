# SPDX-License-Identifier: Apache-2.0
"""The caller's own certificate, and everything that could be wrong with it.

The standard library parses certificates only where it verifies them, so ours is
shown to ourselves in memory, and the answers are read off what OpenSSL says.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom import _system
from strongroom.config import ClientSettings
from strongroom.errors import InvalidArgumentError, Reason, UnauthenticatedError

NEW_CERTIFICATE: Final = (
    "Get a new certificate; in the dev stack `strongroom dev up` issues one."
)

#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` does not name.
_NO_CHECK_TIME: Final = 0x200000
_SPIFFE: Final = "spiffe://"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says, as far as messages need it.

    Attributes:
        uris: Its names that are URIs; a caller's has one, a SPIFFE id.
        other_names: Its other names, as `DNS localhost`.
        not_before: When it begins.
        not_after: When it ends.
        self_signed: Whether it names itself as its authority.
    """

    uris: tuple[str, ...]
    other_names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    self_signed: bool

    @property
    def spiffe_ids(self) -> tuple[str, ...]:
        """Those of the URIs that are SPIFFE ids; servers may have other names, too."""
        return tuple(uri for uri in self.uris if uri.startswith(_SPIFFE))

    def is_ending(self, now: datetime) -> bool:
        """Tell whether less than a quarter of its life is left.

        It should have been renewed at half.
        """
        return self.not_after - now < (self.not_after - self.not_before) / 4

    @property
    def name(self) -> str:
        """What to call its owner in a message."""
        return ", ".join(self.uris or self.other_names) or "nobody"


def read_own_certificate(settings: ClientSettings) -> Certificate:
    """Return what the caller's own certificate says, whether or not it is valid.

    Raises:
        UnauthenticatedError: A file is missing, unreadable, or no certificate, or
            the key belongs to another one (CERTIFICATE_MISSING).
    """
    own, _ = _read(settings)
    return own


def check_own_certificate(settings: ClientSettings) -> Certificate:
    """Return what the caller's own certificate says, if a server could accept it.

    Whether a server's authority vouches for it is another question.

    Raises:
        UnauthenticatedError: As `read_own_certificate`, or it is not valid now
            (CERTIFICATE_EXPIRED), carries not exactly one good SPIFFE id or is an
            authority's (IDENTITY_INVALID), or is self-signed or not for clients
            (CERTIFICATE_UNTRUSTED).
    """
    own, for_clients = _read(settings)
    _check_dates(own)
    problem = _identity_problem(own, settings)
    reason = Reason.IDENTITY_INVALID
    if not problem and own.self_signed:
        reason = Reason.CERTIFICATE_UNTRUSTED
        problem = f"of {own.name} is self-signed: no authority vouches for it"
    if not problem and not for_clients:
        reason = Reason.CERTIFICATE_UNTRUSTED
        problem = f"of {own.name} is not for clients, by its key usage"
    if problem:
        message = f"the certificate {problem}"
        raise UnauthenticatedError(
            message,
            reason=reason,
            hint=NEW_CERTIFICATE,
            cert_file=settings.cert_file,
        )
    return own


def is_trusted_here(settings: ClientSettings) -> bool:
    """Tell whether our own authorities vouch for our own certificate."""
    judge = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    show_own(settings, judge)
    trust_authorities(judge, settings.ca_file)
    try:
        _introduce(settings, judge)
    except ssl.SSLCertVerificationError:
        return False
    return True


def _check_dates(own: Certificate) -> None:
    now = _system.now()
    if own.not_before <= now <= own.not_after:
        return
    span = f"{own.not_before:%Y-%m-%dT%H:%MZ} to {own.not_after:%Y-%m-%dT%H:%MZ}"
    when = "not yet" if now < own.not_before else "not now"
    message = f"the certificate of {own.name} is valid from {span}, {when}"
    raise UnauthenticatedError(
        message,
        reason=Reason.CERTIFICATE_EXPIRED,
        hint=f"{NEW_CERTIFICATE} Check this machine's clock, too.",
        not_before=own.not_before.isoformat(),
        not_after=own.not_after.isoformat(),
    )


def _identity_problem(own: Certificate, settings: ClientSettings) -> str:
    """Return what is wrong with a certificate's names, or nothing."""
    if _is_authority(settings.cert_file):
        return f"of {own.name} is one of an authority"
    if not own.uris:
        others = ", ".join(own.other_names) or "no name at all"
        return f"carries no SPIFFE id, but {others}"
    if len(own.uris) > 1:
        return f"carries {len(own.uris)} URIs, not one SPIFFE id: {own.name}"
    return _uri_problem(own.uris[0], settings.trust_domain)


def _uri_problem(uri: str, trust_domain: str) -> str:
    if not uri.startswith(_SPIFFE):
        return f"carries {uri}, which is no SPIFFE id"
    if "*" in uri:
        return f"carries the wildcard {uri}, which is nobody's SPIFFE id"
    domain = uri.removeprefix(_SPIFFE).partition("/")[0]
    if trust_domain and domain != trust_domain:
        return f"of {uri} is not of the trust domain {trust_domain}"
    return ""


def _is_authority(cert_file: Path) -> bool:
    store = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    store.load_verify_locations(cadata=_first_certificate(cert_file))
    return store.cert_store_stats()["x509_ca"] > 0


def _read(settings: ClientSettings) -> tuple[Certificate, bool]:
    """Return our certificate, and whether it is for clients."""
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        # Trusted for that, whatever its dates.
        judge = ssl.SSLContext(protocol)
        judge.check_hostname = False
        show_own(settings, judge)
        judge.verify_flags = ssl.VerifyFlags(
            judge.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        )
        judge.load_verify_locations(cadata=_first_certificate(settings.cert_file))
        try:
            parsed = _introduce(settings, judge)
        except ssl.SSLError:
            # It may be for servers only: then it is shown as one of a server.
            continue
        return certificate_of(parsed), protocol is ssl.PROTOCOL_TLS_SERVER
    message = f"the certificate {settings.cert_file} is neither for clients nor servers"
    raise UnauthenticatedError(
        message,
        reason=Reason.CERTIFICATE_UNTRUSTED,
        hint=NEW_CERTIFICATE,
        cert_file=settings.cert_file,
    )


def _introduce(settings: ClientSettings, judge: ssl.SSLContext) -> object:
    """Show our certificate to `judge` in memory; return what it read."""
    judge.verify_mode = ssl.CERT_REQUIRED
    is_server = judge.protocol is ssl.PROTOCOL_TLS_SERVER
    shown = ssl.SSLContext(
        ssl.PROTOCOL_TLS_CLIENT if is_server else ssl.PROTOCOL_TLS_SERVER
    )
    shown.check_hostname = False
    shown.verify_mode = ssl.CERT_NONE
    show_own(settings, shown)
    to_judge, to_shown = ssl.MemoryBIO(), ssl.MemoryBIO()
    judging = judge.wrap_bio(to_judge, to_shown, server_side=is_server)
    showing = shown.wrap_bio(to_shown, to_judge, server_side=not is_server)
    client, server = (showing, judging) if is_server else (judging, showing)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return judging.getpeercert()


def check_key_pair(settings: ClientSettings) -> None:
    """Check that authorities, certificate and key load and belong together.

    Raises:
        UnauthenticatedError: Certificate or key do not (CERTIFICATE_MISSING).
        InvalidArgumentError: The authorities do not (SETTING_INVALID).
    """
    show_own(settings, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    check_authorities(settings.ca_file)


def check_authorities(ca_file: Path) -> None:
    """Check that a file holds authorities.

    Raises:
        InvalidArgumentError: It does not (SETTING_INVALID).
    """
    trust_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)


def show_own(settings: ClientSettings, context: ssl.SSLContext) -> None:
    """Have a context show our own certificate.

    Raises:
        UnauthenticatedError: As `read_own_certificate`.
    """
    for path in (settings.cert_file, settings.key_file):
        _check_readable(path)
    try:
        # Without a password to give, OpenSSL would ask on the terminal.
        context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"the key {settings.key_file} is not the key of"
        else:
            problem = f"no certificate with an unencrypted key {settings.key_file} in"
        message = f"{problem} {settings.cert_file}"
        raise UnauthenticatedError(
            message,
            reason=Reason.CERTIFICATE_MISSING,
            hint=NEW_CERTIFICATE,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
        ) from error


def trust_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    """Have a context trust the authorities of a file.

    Raises:
        InvalidArgumentError: It holds none (SETTING_INVALID).
    """
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, FileNotFoundError) else error
        message = f"the authorities in {ca_file} cannot be read: {why}"
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Point ca_file at the PEM file of the server's authority.",
            setting="ca_file",
        ) from error


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise UnauthenticatedError(
            message,
            reason=Reason.CERTIFICATE_MISSING,
            hint=NEW_CERTIFICATE,
            path=path,
        ) from error


def _first_certificate(path: Path) -> str:
    end = "-----END CERTIFICATE-----"
    head, found, _ = path.read_text("ascii", "replace").partition(end)
    return head + found


def certificate_of(parsed: object) -> Certificate:
    """Return what `ssl` says of a certificate."""
    # ssl's own shape: {"notAfter": "Jan  5 09:34:43 2018 GMT",
    # "subjectAltName": (("URI", "spiffe://…"), …), …}; typed loosely there.
    values = parsed if isinstance(parsed, dict) else {}
    names = values.get("subjectAltName", ())
    return Certificate(
        uris=tuple(value for kind, value in names if kind == "URI"),
        other_names=tuple(f"{kind} {value}" for kind, value in names if kind != "URI"),
        not_before=_parse_time(values.get("notBefore", "Jan  1 00:00:00 1970 GMT")),
        not_after=_parse_time(values.get("notAfter", "Jan  1 00:00:00 1970 GMT")),
        self_signed=values.get("issuer") == values.get("subject"),
    )


def _parse_time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
