# SPDX-License-Identifier: Apache-2.0
"""Sign-ins at the command line: answers of others, and logins that are not one's own.

Who attacks may reach the port that waits for the browser, be another provider or
another user of the machine; what they don't hold is the sign-in's state and nonce.
"""

import http.client
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from strongroom._login.flow import sign_in
from strongroom._login.logins import Login, LoginHeaders, login_file, save_login
from strongroom._login.loopback import redirect_path
from strongroom.config import ClientSettings
from strongroom.errors import Reason
from tests.security.attacks import Attack, Family, reasons
from tests.support.login_issuer import CLIENT_ID, LoginIssuer, running_login_issuer

_WAIT_S: Final = 20.0
#: How long somebody is given to end a wait that they must not end.
_SHORT_S: Final = 0.4
#: How long a sign-in that nobody may end well is given to end badly.
_MIXED_UP_S: Final = 1.5
#: Places at the port that waits, and how often a crowd comes anew.
_PLACES: Final = 16
_ROUNDS: Final = 40
_TOKEN: Final = reasons(Reason.TOKEN_INVALID)
_SETTING: Final = reasons(Reason.SETTING_INVALID)
_OLD: Final = 1_600_000_000
_FAR: Final = 4_000_000_000

#: What is wrong with the claims of a token that answers a sign-in.
_CLAIMS: Final[tuple[tuple[str, tuple[dict[str, object], ...]], ...]] = (
    ("a token of another issuer", ({"iss": "https://other.example"}, {"iss": None})),
    (
        "a token for somebody else",
        ({"aud": "other"}, {"aud": None}, {"aud": [CLIENT_ID, "x"], "azp": "x"}),
    ),
    ("a token of another sign-in", ({"nonce": "another"}, {"nonce": None})),
    ("a token that has ended", ({"exp": _OLD}, {"exp": None}, {"exp": "never"})),
    (
        "a token that does not say when",
        ({"auth_time": None}, {"auth_time": _OLD}, {"auth_time": _FAR}),
    ),
    ("a token of nobody", ({"preferred_username": None, "sub": ""},)),
    ("a token that no header holds", ({"more": "x" * 8000},)),
)
_DISCOVERY: Final[tuple[dict[str, object], ...]] = (
    {"issuer": "https://other.example"},
    {"authorization_endpoint": "http://127.0.0.1/authorize"},
    {"token_endpoint": "http://127.0.0.1/token"},
    {"token_endpoint": "file:///etc/passwd"},
    {"token_endpoint": None},
)


class _Desk:
    """A person at a command line, and the provider that they sign in at."""

    def __init__(self, issuer: LoginIssuer, folder: Path) -> None:
        self.issuer = issuer
        self.settings = ClientSettings(
            endpoint="127.0.0.1:1",
            login_issuer=issuer.url,
            login_client_id=CLIENT_ID,
            login_ca_file=issuer.ca_file,
        )
        self._folder = folder
        self._numbers = count()

    def fresh_settings(self) -> ClientSettings:
        """Return settings without any login."""
        folder = self._folder / str(next(self._numbers))
        return replace(self.settings, login_folder=folder)

    def sign_in(self, *, fresh: bool = False, **provider: dict[str, object]) -> None:
        """Sign in at a provider that says other things than it should."""
        issuer = self.issuer
        issuer.claims = dict(provider.get("claims", {}))
        issuer.discovery = dict(provider.get("discovery", {}))
        issuer.redirect = dict(provider.get("redirect", {}))
        settings = self.fresh_settings()
        sign_in(settings, issuer.visit, fresh=fresh, browser=False, wait_s=_WAIT_S)

    def sign_in_where(self, target: Callable[[str, str], str]) -> None:
        """Sign in while a stranger, not a browser, comes to the port that waits.

        Args:
            target: Gives what the stranger asks for, of path and state.
        """

        def visit(url: str) -> None:
            query = parse_qs(urlsplit(url).query)
            redirect = urlsplit(query["redirect_uri"][0])
            asked = target(redirect.path, query["state"][0])

            def come() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", redirect.port)
                connection.request("GET", asked)
                connection.getresponse().read()
                connection.close()

            threading.Thread(target=come, daemon=True).start()

        settings = self.fresh_settings()
        sign_in(settings, visit, browser=False, wait_s=_SHORT_S)

    def sign_in_at(self, thief: LoginIssuer) -> None:
        """Sign in at a provider that names the pages of the person's own."""
        thief.discovery = {"authorization_endpoint": f"{self.issuer.url}/authorize"}
        settings = replace(
            self.fresh_settings(), login_issuer=thief.url, login_ca_file=thief.ca_file
        )
        try:
            sign_in(settings, self.issuer.visit, browser=False, wait_s=_MIXED_UP_S)
        finally:
            thief.discovery = {}
            assert not thief.forms, "the thief has the code and its verifier"

    def sign_in_in_a_crowd(self, *, is_person_there: bool) -> None:
        """Sign in while others take all places at the port that waits."""

        def visit(url: str) -> None:
            query = parse_qs(urlsplit(url).query)
            port = urlsplit(query["redirect_uri"][0]).port or 0

            def come() -> None:
                _crowd(port)
                if is_person_there:
                    self.issuer.follow(url)

            threading.Thread(target=come, daemon=True).start()

        wait_s = _WAIT_S if is_person_there else _MIXED_UP_S
        sign_in(self.fresh_settings(), visit, browser=False, wait_s=wait_s)

    def call(self, spoil: Callable[[Path], object] = lambda _: None) -> None:
        """Call with a login whose file somebody has laid hands on."""
        settings = self.fresh_settings()
        save_login(settings, self.login(settings))
        spoil(login_file(settings))
        assert LoginHeaders(settings)()

    def call_elsewhere(self, **other: str) -> None:
        """Call another server, or another provider's, with a login that was moved."""
        settings = self.fresh_settings()
        save_login(settings, self.login(settings))
        elsewhere = replace(settings, **other)  # type: ignore[arg-type]  # texts only
        login_file(settings).rename(login_file(elsewhere))
        LoginHeaders(elsewhere)()

    def login(self, settings: ClientSettings) -> Login:
        """Return a good login."""
        now = datetime.now(UTC)
        return Login(
            settings.endpoint,
            settings.login_issuer,
            "alice",
            now,
            now + timedelta(hours=1),
            (),
            "aaa.bbb.ccc",
        )

    def call_late(self) -> None:
        """Call with a login that has ended."""
        settings = self.fresh_settings()
        login = self.login(settings)
        save_login(settings, replace(login, expire_time=login.auth_time))
        LoginHeaders(settings)()


def _crowd(port: int) -> None:
    """Come to a port in numbers, begin to say something, and stay for a while."""
    with ExitStack() as stack:
        there: list[socket.socket] = []
        for _ in range(_ROUNDS):
            for connection in there[-_PLACES:]:
                with suppress(OSError):
                    connection.send(b"G")
            for _ in range(4):
                with suppress(OSError):
                    connection = socket.create_connection(("127.0.0.1", port), 1)
                    there.append(stack.enter_context(connection))


def _answers(desk: _Desk) -> Iterator[Attack]:
    honest = desk.sign_in
    for name, changes in _CLAIMS:
        tries = [partial(desk.sign_in, claims=claims) for claims in changes]
        yield Attack(name, _TOKEN, honest, tries)
    old: dict[str, object] = {"auth_time": int(time.time()) - 600}
    yield Attack(
        "an old proof in place of a fresh one",
        _TOKEN,
        partial(desk.sign_in, claims=old),
        [partial(desk.sign_in, fresh=True, claims=old)],
    )
    named: dict[str, object] = {"authorization_response_iss_parameter_supported": True}
    yield Attack(
        "a redirect of another issuer, or of nobody where all are named",
        _TOKEN,
        partial(desk.sign_in, discovery=named, redirect={"iss": desk.issuer.url}),
        [
            partial(desk.sign_in, redirect={"iss": "https://other.example"}),
            partial(desk.sign_in, discovery=named),
            partial(desk.sign_in, discovery=named, redirect={"iss": ""}),
        ],
    )
    yield Attack(
        "a provider that is another, or asks to leave TLS",
        _SETTING,
        honest,
        [partial(desk.sign_in, discovery=document) for document in _DISCOVERY],
    )


def _strangers(desk: _Desk, stranger: LoginIssuer) -> Iterator[Attack]:
    targets: tuple[Callable[[str, str], str], ...] = (
        lambda path, _: f"{path}?code=x",
        lambda path, _: f"{path}?code=x&state=",
        lambda path, state: f"{path}?code=x&state={state[:-1]}",
        lambda path, state: f"{path}?code=x&state={state}&state={state}",
        lambda _, state: f"/other?code=x&state={state}",
        lambda _, state: f"/callback?code=x&state={state}",
        lambda _, state: f"{redirect_path(stranger.url)}?code=x&state={state}",
        lambda _, state: f"//[/callback?code=x&state={state}",
        lambda path, _: f"{path}?error=access_denied",
    )
    yield Attack(
        "somebody else at the port that waits",
        reasons(Reason.DEADLINE_EXCEEDED),
        desk.sign_in,
        [partial(desk.sign_in_where, target) for target in targets],
    )

    yield Attack(
        "a crowd at the port that waits",
        reasons(Reason.DEADLINE_EXCEEDED),
        partial(desk.sign_in_in_a_crowd, is_person_there=True),
        [partial(desk.sign_in_in_a_crowd, is_person_there=False)],
    )
    yield Attack(
        "a provider that names the pages of another (mix-up)",
        reasons(Reason.DEADLINE_EXCEEDED),
        desk.sign_in,
        [partial(desk.sign_in_at, stranger)],
    )

    def imposed() -> None:
        settings = replace(desk.fresh_settings(), login_ca_file=stranger.ca_file)
        sign_in(settings, desk.issuer.visit, browser=False, wait_s=_WAIT_S)

    yield Attack(
        "a provider that nobody we trust vouches for",
        reasons(Reason.TRANSPORT),
        desk.sign_in,
        [imposed],
    )


def _files(desk: _Desk) -> Iterator[Attack]:
    def linked(path: Path) -> None:
        path.rename(path.with_suffix(".moved"))
        path.symlink_to(path.with_suffix(".moved"))

    def piped(path: Path) -> None:
        path.unlink()
        os.mkfifo(path, 0o600)

    spoils: tuple[Callable[[Path], object], ...] = (
        *(partial(Path.chmod, mode=mode) for mode in (0o640, 0o604, 0o620, 0o602)),
        linked,
        piped,
        lambda path: path.write_text("{}"),
        lambda path: path.write_text('{"format": 1}'),
    )
    yield Attack(
        "a login's file that others could have read or made",
        _TOKEN,
        desk.call,
        [partial(desk.call, spoil) for spoil in spoils],
    )
    yield Attack(
        "a login carried to another server",
        _TOKEN,
        partial(desk.call_elsewhere),
        [
            partial(desk.call_elsewhere, endpoint="evil.example:1"),
            partial(desk.call_elsewhere, login_issuer="https://evil.example"),
        ],
    )
    yield Attack(
        "a call after the login has ended",
        reasons(Reason.TOKEN_EXPIRED),
        desk.call,
        [desk.call_late],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        issuer = stack.enter_context(running_login_issuer(folder / "issuer"))
        stranger = stack.enter_context(running_login_issuer(folder / "stranger"))
        desk = _Desk(issuer, folder / "logins")
        yield [*_answers(desk), *_strangers(desk, stranger), *_files(desk)]


FAMILY: Final = Family("sign-ins", _opened)
