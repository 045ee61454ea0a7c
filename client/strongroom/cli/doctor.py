# SPDX-License-Identifier: Apache-2.0
"""What `strongroom doctor` looks at, from the settings here to the bucket there."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom import _system
from strongroom._channel import handshake, own_certificate
from strongroom._channel.identity import open_source
from strongroom._shared.lane import Lane
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
from strongroom.values import CheckResult, ServerInfo


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing looked at."""

    check: str
    ok: bool
    detail: str
    hint: str = ""
    #: The exit code that a failure deserves.
    exit_code: int = 1
    #: Whether it works now, and somebody should look all the same.
    warning: bool = False


def examine(session: Session) -> Iterator[Diagnosis]:
    """Look at one thing after the other, as far as each allows the next."""
    try:
        settings = session.settings()
    except StrongroomError as error:
        yield _failed("settings", error)
        return
    where = settings.source or "arguments and environment"
    yield Diagnosis("settings", ok=True, detail=f"{settings.endpoint}, from {where}")
    source = open_source(settings)
    try:
        with source.as_files() as local:
            yield from _examine_here(settings, local)
    except _StoppedError:
        return
    except StrongroomError as error:
        # Only an agent's certificate has to be fetched first.
        yield _failed("agent", error)
        return
    finally:
        source.close()
    with session.client() as client:
        yield from _examine_server(client)


class _StoppedError(Exception):
    """What failed allows nothing that comes after it."""


def _examine_here(
    settings: ClientSettings, local: ClientSettings
) -> Iterator[Diagnosis]:
    looks = _LOCAL
    if settings.workload_socket:
        detail = f"{settings.workload_socket} gives a certificate"
        yield Diagnosis("agent", ok=True, detail=detail)
        looks = looks[1:]
    if settings.sidecar_socket is not None:
        looks = (("socket", _look_at_socket),)
    for check, look in looks:
        try:
            seen = look(local)
        except StrongroomError as error:
            yield _failed(check, error)
            raise _StoppedError from error
        yield Diagnosis(
            check, ok=True, detail=seen.detail, hint=seen.hint, warning=bool(seen.hint)
        )


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
        detail=f"version {info.version}, store {info.store_id}, certificate until "
        f"{format_time(info.certificate_expire_time)}",
    )
    yield _look_at_key_exchange(info)
    if client.settings.data_socket is not None:
        yield _look_at_shared_memory(client.settings.data_socket)
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


def _look_at_key_exchange(info: ServerInfo) -> Diagnosis:
    detail = f"{info.tls_version} with {info.key_exchange or 'an unknown group'}"
    if "MLKEM" in info.key_exchange.upper():
        return Diagnosis("key_exchange", ok=True, detail=f"{detail}, post-quantum")
    return Diagnosis(
        "key_exchange",
        ok=True,
        detail=f"{detail}: who records it now could read it with a quantum computer",
        hint="Use a grpcio whose TLS offers X25519MLKEM768, on both sides.",
        warning=True,
    )


def _look_at_shared_memory(path: Path) -> Diagnosis:
    try:
        Lane(path).close()
    except StrongroomError as error:
        detail = f"{error.message} ({path}): reads go over the network"
        hint = "Is the server on this machine, and has it the setting shared_memory?"
        return Diagnosis(
            "shared_memory", ok=True, detail=detail, hint=hint, warning=True
        )
    return Diagnosis("shared_memory", ok=True, detail=f"{path} answers")


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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What works; with a hint if somebody should look all the same."""

    detail: str
    hint: str = ""


def _look_at_files(settings: ClientSettings) -> _Seen:
    own_certificate.check_key_pair(settings)
    _check_private(settings.key_file)
    return _Seen(f"{settings.cert_file} and its key, private")


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


def _look_at_certificate(settings: ClientSettings) -> _Seen:
    own = own_certificate.check_own_certificate(settings)
    detail = f"{own.name}, valid until {format_time(own.not_after)}"
    if own.is_ending(_system.now()):
        return _Seen(detail, "Renew it: less than a quarter of its life is left.")
    return _Seen(detail)


def _look_at_network(settings: ClientSettings) -> _Seen:
    with handshake.reach(settings) as connection:
        address = connection.getpeername()
    return _Seen(f"{settings.endpoint} answers at {address[0]}")


def _look_at_socket(settings: ClientSettings) -> _Seen:
    handshake.reach(settings).close()
    return _Seen(f"the sidecar at {settings.sidecar_socket} answers")


def _look_at_tls(settings: ClientSettings) -> _Seen:
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
    detail = f"{made.tls_version}, both certificates accepted, server is {who}"
    if made.server.is_ending(_system.now()):
        hint = (
            "The server's certificate ends soon and is not renewed; tell its operator."
        )
        return _Seen(detail, hint)
    return _Seen(detail)


def _look_at_clock(settings: ClientSettings) -> _Seen:
    # Both certificates were issued by clocks of others and are valid by this one.
    server = handshake.shake_hands(settings).server
    own = own_certificate.read_own_certificate(settings)
    latest = max(server.not_before, own.not_before)
    now = format_time(_system.now())
    return _Seen(f"{now}, after the last issue {format_time(latest)}")


_LOCAL: Final[tuple[tuple[str, Callable[[ClientSettings], _Seen]], ...]] = (
    ("files", _look_at_files),
    ("certificate", _look_at_certificate),
    ("network", _look_at_network),
    ("tls", _look_at_tls),
    ("clock", _look_at_clock),
)
