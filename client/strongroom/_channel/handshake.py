# SPDX-License-Identifier: Apache-2.0
"""Redoes the TLS handshake with the standard library, to say what gRPC cannot.

gRPC reports a missing, expired or foreign certificate as `UNAVAILABLE … Socket
closed`. In TLS 1.3 the server judges the client's certificate after the client's
handshake is done, so its alert shows only in the first read.
"""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom._channel.own_certificate import (
    NEW_CERTIFICATE,
    Certificate,
    certificate_of,
    check_own_certificate,
    is_trusted_here,
    show_own,
    trust_authorities,
)
from strongroom.config import ClientSettings
from strongroom.errors import (
    Reason,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)

TIMEOUT_S: Final = 5.0
#: OpenSSL's X509_V_ERR_…, which `ssl` does not name.
_EXPIRED_CODES: Final = frozenset({9, 10})
_NAME_CODES: Final = frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake that worked."""

    tls_version: str
    #: The server's certificate.
    server: Certificate


def explain(settings: ClientSettings) -> StrongroomError | None:
    """Return why no connection comes about, or None if one does."""
    try:
        if settings.sidecar_socket is not None:
            reach(settings).close()
            return None
        shake_hands(settings)
    except StrongroomError as error:
        return error
    return None


def shake_hands(settings: ClientSettings) -> Handshake:
    """Connect, prove both identities, and hang up.

    Raises:
        UnauthenticatedError: A certificate, on either side, is missing, expired or
            not trusted by the other (CERTIFICATE_MISSING, CERTIFICATE_EXPIRED,
            CERTIFICATE_UNTRUSTED).
        UnavailableError: Nobody answers, or not in TLS 1.3 (TRANSPORT).
        InvalidArgumentError: The file of authorities is unusable (SETTING_INVALID).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    show_own(settings, context)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    trust_authorities(context, settings.ca_file)
    with reach(settings) as plain:
        try:
            tls = context.wrap_socket(plain, server_hostname=settings.host)
        except ssl.SSLCertVerificationError as error:
            raise _server_refused(settings, error) from error
        except OSError as error:
            raise _no_tls(settings, error) from error
        with tls:
            version = tls.version() or "unknown"
            server = certificate_of(tls.getpeercert())
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
    """Open a connection to the server, or to the socket of a sidecar.

    Raises:
        UnavailableError: The name does not resolve, or nobody answers (TRANSPORT).
    """
    path = settings.sidecar_socket
    try:
        if path is not None:
            return _connect(path)
        return socket.create_connection(
            (settings.host, settings.port), timeout=TIMEOUT_S
        )
    except OSError as error:
        why = error.strerror or str(error) or "no answer in time"
        message = f"the server {settings.endpoint} cannot be reached: {why}"
        raise UnavailableError(
            message,
            reason=Reason.TRANSPORT,
            hint="Is it running? `strongroom dev status` shows the local one."
            if path is None
            else "Is the sidecar running, and may this user open its socket?",
            endpoint=settings.endpoint,
        ) from error


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


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
    try:
        own = check_own_certificate(settings)
    except UnauthenticatedError as error:
        error.metadata["endpoint"] = settings.endpoint
        return error
    who = own.name
    if "CERTIFICATE_REQUIRED" in alert.upper():
        reason = Reason.CERTIFICATE_MISSING
        message = f"the server {settings.endpoint} saw no certificate of {who}"
    elif "UNKNOWN_CA" in alert.upper() or not is_trusted_here(settings):
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
        hint=NEW_CERTIFICATE,
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
