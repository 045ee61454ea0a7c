# SPDX-License-Identifier: Apache-2.0
"""Redoes the TLS handshake with the standard library, to say what gRPC cannot.

gRPC reports a missing, expired or foreign certificate as `UNAVAILABLE … Socket
closed`. In TLS 1.3 the server judges the client's certificate after the client's
handshake is done, so its alert shows only in the first read.
"""

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom import _system
from strongroom.config import ClientSettings
from strongroom.errors import (
    InvalidArgumentError,
    Reason,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)

TIMEOUT_S: Final = 5.0
_NEW_CERTIFICATE: Final = (
    "Get a new certificate; in the dev stack `strongroom dev up` issues one."
)

#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` does not name.
_NO_CHECK_TIME: Final = 0x200000
#: OpenSSL's X509_V_ERR_…, which `ssl` does not name.
_EXPIRED_CODES: Final = frozenset({9, 10})
_NAME_CODES: Final = frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says, as far as messages need it."""

    spiffe_ids: tuple[str, ...]
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake that worked."""

    tls_version: str
    #: The server's certificate.
    server: Certificate


def explain(settings: ClientSettings) -> StrongroomError | None:
    """Return why no connection comes about, or None if one does."""
    try:
        shake_hands(settings)
    except StrongroomError as error:
        return error
    return None


def read_own_certificate(settings: ClientSettings) -> Certificate:
    """Return what the caller's own certificate says, whether or not it is valid.

    Raises:
        UnauthenticatedError: A file is missing, unreadable, or no certificate, or
            the key belongs to another one (CERTIFICATE_MISSING).
    """
    # OpenSSL parses certificates only where it verifies them. So the certificate
    # is shown to ourselves in memory, trusted for that, whatever its dates.
    judge = _own_context(settings, ssl.PROTOCOL_TLS_SERVER)
    judge.verify_flags = ssl.VerifyFlags(
        judge.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    )
    judge.load_verify_locations(cadata=_first_certificate(settings.cert_file))
    return _certificate(_show_own(settings, judge))


def _is_trusted_here(settings: ClientSettings) -> bool:
    """Tell whether our own authorities vouch for our own certificate."""
    judge = _own_context(settings, ssl.PROTOCOL_TLS_SERVER)
    _trust_authorities(judge, settings.ca_file)
    try:
        _show_own(settings, judge)
    except ssl.SSLCertVerificationError:
        return False
    return True


def _show_own(settings: ClientSettings, judge: ssl.SSLContext) -> object:
    """Show our certificate to `judge` in memory; return what it read."""
    judge.verify_mode = ssl.CERT_REQUIRED
    shown = _own_context(settings, ssl.PROTOCOL_TLS_CLIENT)
    shown.check_hostname = False
    shown.verify_mode = ssl.CERT_NONE
    to_judge, to_shown = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = judge.wrap_bio(to_judge, to_shown, server_side=True)
    client = shown.wrap_bio(to_shown, to_judge)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return server.getpeercert()


def shake_hands(settings: ClientSettings) -> Handshake:
    """Connect, prove both identities, and hang up.

    Raises:
        UnauthenticatedError: A certificate, on either side, is missing, expired or
            not trusted by the other (CERTIFICATE_MISSING, CERTIFICATE_EXPIRED,
            CERTIFICATE_UNTRUSTED).
        UnavailableError: Nobody answers, or not in TLS 1.3 (TRANSPORT).
        InvalidArgumentError: The file of authorities is unusable (SETTING_INVALID).
    """
    context = _own_context(settings, ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    _trust_authorities(context, settings.ca_file)
    with reach(settings) as plain:
        try:
            tls = context.wrap_socket(plain, server_hostname=settings.host)
        except ssl.SSLCertVerificationError as error:
            raise _server_refused(settings, error) from error
        except OSError as error:
            raise _no_tls(settings, error) from error
        with tls:
            version = tls.version() or "unknown"
            server = _certificate(tls.getpeercert())
            try:
                # The server's first frame, or the alert that it sends instead.
                first = tls.recv(1)
            except TimeoutError as error:
                raise _no_tls(settings, error) from error
            except OSError as error:
                raise _client_refused(settings, str(error)) from error
            if not first:
                raise _client_refused(settings, "connection closed")
    return Handshake(version, server)


def reach(settings: ClientSettings) -> socket.socket:
    """Open a TCP connection to the server.

    Raises:
        UnavailableError: The name does not resolve, or nobody answers (TRANSPORT).
    """
    try:
        return socket.create_connection(
            (settings.host, settings.port), timeout=TIMEOUT_S
        )
    except OSError as error:
        why = error.strerror or str(error) or "no answer in time"
        message = f"the server {settings.endpoint} cannot be reached: {why}"
        raise UnavailableError(
            message,
            reason=Reason.TRANSPORT,
            hint="Is it running? `strongroom dev status` shows the local one.",
            endpoint=settings.endpoint,
        ) from error


def check_key_pair(settings: ClientSettings) -> None:
    """Check that authorities, certificate and key load and belong together.

    Raises:
        UnauthenticatedError: Certificate or key do not (CERTIFICATE_MISSING).
        InvalidArgumentError: The authorities do not (SETTING_INVALID).
    """
    _trust_authorities(
        _own_context(settings, ssl.PROTOCOL_TLS_CLIENT), settings.ca_file
    )


def _own_context(settings: ClientSettings, protocol: int) -> ssl.SSLContext:
    for path in (settings.cert_file, settings.key_file):
        _check_readable(path)
    context = ssl.SSLContext(protocol)
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
            hint=_NEW_CERTIFICATE,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
        ) from error
    return context


def _trust_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
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
            hint=_NEW_CERTIFICATE,
            path=path,
        ) from error


def _first_certificate(path: Path) -> str:
    end = "-----END CERTIFICATE-----"
    head, found, _ = path.read_text("ascii", "replace").partition(end)
    return head + found


def _certificate(parsed: object) -> Certificate:
    # ssl's own shape: {"notAfter": "Jan  5 09:34:43 2018 GMT",
    # "subjectAltName": (("URI", "spiffe://…"), …), …}; typed loosely there.
    values = parsed if isinstance(parsed, dict) else {}
    return Certificate(
        spiffe_ids=tuple(
            value
            for kind, value in values.get("subjectAltName", ())
            if kind == "URI" and value.startswith("spiffe://")
        ),
        not_before=_parse_time(values.get("notBefore", "Jan  1 00:00:00 1970 GMT")),
        not_after=_parse_time(values.get("notAfter", "Jan  1 00:00:00 1970 GMT")),
    )


def _parse_time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _server_refused(
    settings: ClientSettings, error: ssl.SSLCertVerificationError
) -> UnauthenticatedError:
    reason = Reason.CERTIFICATE_UNTRUSTED
    hint = f"Is {settings.ca_file} the authority of this server?"
    if error.verify_code in _EXPIRED_CODES:
        reason = Reason.CERTIFICATE_EXPIRED
        hint = "Its operator must renew it; check this machine's clock, too."
    elif error.verify_code in _NAME_CODES:
        hint = f"Call it by a name in its certificate, not {settings.host!r}."
    message = (
        f"the certificate of the server {settings.endpoint} is refused: "
        f"{error.verify_message.rstrip('.')}"
    )
    return UnauthenticatedError(
        message, reason=reason, hint=hint, endpoint=settings.endpoint
    )


def _client_refused(settings: ClientSettings, alert: str) -> StrongroomError:
    """Say why the server hung up; gRPC's servers send no alert, so we look here."""
    own = read_own_certificate(settings)
    now = _system.now()
    who = ", ".join(own.spiffe_ids) or str(settings.cert_file)
    if not own.not_before <= now <= own.not_after:
        reason = Reason.CERTIFICATE_EXPIRED
        span = f"{own.not_before:%Y-%m-%dT%H:%MZ} to {own.not_after:%Y-%m-%dT%H:%MZ}"
        message = f"the certificate of {who} is valid from {span}, not now"
    elif "CERTIFICATE_REQUIRED" in alert.upper():
        reason = Reason.CERTIFICATE_MISSING
        message = f"the server {settings.endpoint} saw no certificate of {who}"
    elif "UNKNOWN_CA" in alert.upper() or not _is_trusted_here(settings):
        reason = Reason.CERTIFICATE_UNTRUSTED
        message = (
            f"the server {settings.endpoint} does not trust the certificate of {who}: "
            "it is of another authority"
        )
    else:
        message = (
            f"the server {settings.endpoint} hung up on the certificate of {who}: "
            f"{alert}"
        )
        return UnavailableError(
            message,
            reason=Reason.TRANSPORT,
            hint="It may be stopping; or it trusts another authority for clients.",
            endpoint=settings.endpoint,
        )
    return UnauthenticatedError(
        message,
        reason=reason,
        hint=_NEW_CERTIFICATE,
        cert_file=settings.cert_file,
        endpoint=settings.endpoint,
    )


def _no_tls(settings: ClientSettings, error: OSError) -> UnavailableError:
    message = f"{settings.endpoint} answers, but not in TLS 1.3: {error}"
    return UnavailableError(
        message,
        reason=Reason.TRANSPORT,
        hint="Is this the port of a strongroom server?",
        endpoint=settings.endpoint,
    )
