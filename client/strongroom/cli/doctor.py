# SPDX-License-Identifier: Apache-2.0
"""What `strongroom doctor` looks at, from the settings here to the bucket there."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from strongroom import _system
from strongroom._channel import handshake
from strongroom.cli.output import format_time
from strongroom.cli.session import Session
from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import (
    ERROR_BY_CODE,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnauthenticatedError,
)
from strongroom.values import CheckResult

#: A certificate that ends sooner than this is worth a word.
_SOON: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing looked at."""

    check: str
    ok: bool
    detail: str
    hint: str = ""
    #: The exit code that a failure deserves.
    exit_code: int = 1


def examine(session: Session) -> Iterator[Diagnosis]:
    """Look at one thing after the other, as far as each allows the next."""
    try:
        settings = session.settings()
    except StrongroomError as error:
        yield _failed("settings", error)
        return
    where = settings.source or "arguments and environment"
    yield Diagnosis("settings", ok=True, detail=f"{settings.endpoint}, from {where}")
    for check, look in _LOCAL:
        try:
            detail = look(settings)
        except StrongroomError as error:
            yield _failed(check, error)
            return
        yield Diagnosis(check, ok=True, detail=detail)
    with session.client() as client:
        yield from _examine_server(client)


def _examine_server(client: Client) -> Iterator[Diagnosis]:
    try:
        info = client.server_info()
    except StrongroomError as error:
        yield _failed("identity", error)
        return
    roles = ", ".join(info.roles) or "no role"
    yield Diagnosis("identity", ok=True, detail=f"{info.principal} ({roles})")
    yield Diagnosis(
        "server",
        ok=True,
        detail=f"version {info.version}, store {info.store_id}, {info.tls_version} "
        f"with {info.key_exchange}, certificate until "
        f"{format_time(info.certificate_expire_time)}",
    )
    try:
        results = client.check_server()
    except PermissionDeniedError as error:
        # No fault: training identities need no right to probe the store.
        detail = f"not looked at: {error.message}"
        yield Diagnosis("store", ok=True, detail=detail)
        return
    except StrongroomError as error:
        yield _failed("store", error)
        return
    for result in results:
        yield Diagnosis(
            result.check, result.ok, result.detail, result.hint, _exit_code(result)
        )


def _exit_code(result: CheckResult) -> int:
    """Return 17 for what is away and comes back, 16 for what has to be mended."""
    error = ERROR_BY_CODE.get(result.code, PreconditionError)
    return error.exit_code


def _failed(check: str, error: StrongroomError) -> Diagnosis:
    return Diagnosis(
        check,
        ok=False,
        detail=f"{error.message} ({error.reason})",
        hint=error.hint,
        exit_code=error.exit_code,
    )


def _look_at_files(settings: ClientSettings) -> str:
    handshake.check_key_pair(settings)
    _check_private(settings.key_file)
    return f"{settings.cert_file} and its key, private"


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"others may use the key {path}: its mode is {mode:04o}"
        raise UnauthenticatedError(
            message,
            reason=Reason.CERTIFICATE_UNTRUSTED,
            hint=f"chmod 600 {path}",
            path=path,
        )


def _look_at_certificate(settings: ClientSettings) -> str:
    own = handshake.read_own_certificate(settings)
    now = _system.now()
    who = ", ".join(own.spiffe_ids) or "no SPIFFE id"
    span = f"{format_time(own.not_before)} to {format_time(own.not_after)}"
    if not own.not_before <= now <= own.not_after:
        message = f"the certificate of {who} is valid from {span}, not now"
        raise UnauthenticatedError(
            message,
            reason=Reason.CERTIFICATE_EXPIRED,
            hint="Get a new certificate, or set this machine's clock right.",
        )
    soon = " (soon!)" if own.not_after - now < _SOON else ""
    return f"{who}, valid until {format_time(own.not_after)}{soon}"


def _look_at_network(settings: ClientSettings) -> str:
    with handshake.reach(settings) as connection:
        address = connection.getpeername()
    return f"{settings.endpoint} answers at {address[0]}"


def _look_at_tls(settings: ClientSettings) -> str:
    made = handshake.shake_hands(settings)
    who = ", ".join(made.server.spiffe_ids) or "a server without SPIFFE id"
    expected = settings.server_spiffe_id
    if expected and expected not in made.server.spiffe_ids:
        message = f"the server is {who}, not {expected}"
        raise UnauthenticatedError(
            message,
            reason=Reason.IDENTITY_INVALID,
            hint="Is this the right endpoint? Correct server_spiffe_id if it is.",
        )
    return f"{made.tls_version}, both certificates accepted, server is {who}"


def _look_at_clock(settings: ClientSettings) -> str:
    # Both certificates were issued by clocks of others and are valid by this one.
    server = handshake.shake_hands(settings).server
    own = handshake.read_own_certificate(settings)
    latest = max(server.not_before, own.not_before)
    return f"{format_time(_system.now())}, after the last issue {format_time(latest)}"


_LOCAL: Final[tuple[tuple[str, Callable[[ClientSettings], str]], ...]] = (
    ("files", _look_at_files),
    ("certificate", _look_at_certificate),
    ("network", _look_at_network),
    ("tls", _look_at_tls),
    ("clock", _look_at_clock),
)
