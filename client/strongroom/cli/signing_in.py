# SPDX-License-Identifier: Apache-2.0
"""Commands for people: login, logout, whoami."""

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer

from strongroom import _system
from strongroom._login.device import sign_in_by_code
from strongroom._login.flow import WAIT_S, sign_in
from strongroom._login.logins import Login, forget_login, load_login
from strongroom.cli.output import Output, format_time
from strongroom.cli.session import JsonFlag, QuietFlag, session_of
from strongroom.config import ClientSettings
from strongroom.errors import PermissionDeniedError, Reason


@dataclass(frozen=True, slots=True)
class _Told:
    """A login without its token."""

    name: str
    issuer: str
    endpoint: str
    auth_time: datetime
    expire_time: datetime
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a browser has to go, and what is typed in there."""

    url: str
    code: str


def login(
    context: typer.Context,
    *,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Prove who you are now, for what is dangerous."),
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address to open.")
    ] = False,
    device: Annotated[
        bool,
        typer.Option("--device", help="Sign in on another device, by a short code."),
    ] = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Sign in at your identity provider; commands then act as you.

    Opens a browser, which must run on this machine, and waits for five minutes; where
    none can be opened, it waits only at a terminal. With --device it may run on any,
    if the provider offers that. The login is kept in a file for you alone until it
    ends; nothing is sent to the server.

    For example:

      strongroom login

      strongroom login --fresh

      strongroom login --device
    """
    output = Output(as_json=as_json, quiet=quiet)

    def tell(url: str, code: str = "") -> None:
        output.record("sign_in", _Address(url, code))
        until = format_time(_system.now() + timedelta(seconds=WAIT_S))
        output.say(f"Sign in at this address, before {until}:")
        # Whoever opens it by hand has to have it, however quiet all else is to be.
        output.insist(f"  {url}" if not quiet else url)
        if code:
            output.insist(f"and type in  {code}" if not quiet else code)

    def go_on() -> bool:
        somebody_is_here = sys.stdin.isatty()
        if somebody_is_here:
            output.insist("No browser could be opened here: open the address yourself.")
        return somebody_is_here

    settings = session_of(context).settings()
    if device:
        made = sign_in_by_code(settings, tell, fresh=fresh)
    else:
        made = sign_in(
            settings, tell, fresh=fresh, browser=not no_browser, on_no_browser=go_on
        )
    output.record("login", _told(made))
    output.line(f"signed in as {made.name} until {format_time(made.expire_time)}")
    output.say("Commands now act as you; `strongroom logout` ends that.")


def logout(
    context: typer.Context, *, as_json: JsonFlag = False, quiet: QuietFlag = False
) -> None:
    """Forget the login; commands then act as the certificate alone.

    For example:

      strongroom logout
    """
    output = Output(as_json=as_json, quiet=quiet)
    forgotten = forget_login(session_of(context).settings())
    output.record("logout", {"forgotten": forgotten})
    output.line("signed out" if forgotten else "nobody was signed in")


def whoami(context: typer.Context, *, as_json: JsonFlag = False) -> None:
    """Say whom the server takes you for, and until when.

    For example:

      strongroom whoami
    """
    output = Output(as_json=as_json)
    session = session_of(context)
    try:
        with session.client() as client:
            info = client.server_info()
    except PermissionDeniedError as error:
        principal = error.metadata.get("principal", "")
        if error.reason is not Reason.ACTION_NOT_ALLOWED or not principal:
            raise
        _tell_roleless(output, str(principal), session.settings())
        return
    kept = load_login(session.settings())
    told = None if kept is None else _told(kept)
    record = {
        "principal": info.principal,
        "roles": info.roles,
        "certificate": info.workload,
        "signed_in": info.login,
        "login": told,
    }
    output.record("identity", record)
    output.line(info.principal)
    output.line(f"  roles        {', '.join(info.roles) or 'none'}")
    output.line(f"  certificate  {info.workload}")
    if told is None or info.login is None:
        output.line("  login        none: you are what your certificate says")
        return
    factors = "two factors" if info.login.mfa else "one factor"
    methods = ", ".join(info.login.amr) or info.login.acr or "not said which"
    proved = format_time(info.login.auth_time)
    output.line(f"  signed in    {proved} with {factors} ({methods})")
    output.line(f"  until        {format_time(told.expire_time)}, at {told.issuer}")


def _tell_roleless(output: Output, principal: str, settings: ClientSettings) -> None:
    """Say who somebody is whom no role lets ask more."""
    output.record("identity", {"principal": principal, "roles": ()})
    output.line(principal)
    output.line("  roles        none that lets you ask the server about itself")
    if settings.login_issuer and load_login(settings) is None:
        output.say("Nobody is signed in here: strongroom login")
        return
    output.say("Ask an operator for a role; `strongroom doctor` looks at the rest.")


def _told(login: Login) -> _Told:
    return _Told(
        login.name,
        login.issuer,
        login.endpoint,
        login.auth_time,
        login.expire_time,
        login.methods,
    )
