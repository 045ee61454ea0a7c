# SPDX-License-Identifier: Apache-2.0
"""`strongroom login`, `logout`, `whoami`, and commands of somebody who signed in."""

import json
import re
import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry import trace

from strongroom._login.logins import Login, load_login, login_file, save_login
from strongroom.config import ClientSettings, load_settings
from tests.cli.conftest import Command
from tests.support.login_issuer import CLIENT_ID, LoginIssuer, running_login_issuer


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[LoginIssuer]:
    with running_login_issuer(tmp_path / "issuer") as running:
        yield running


@pytest.fixture
def settings(config: Path, issuer: LoginIssuer) -> ClientSettings:
    """Have the client.toml name the provider, and return what it says."""
    lines = {
        "login_issuer": issuer.url,
        "login_client_id": CLIENT_ID,
        "login_ca_file": str(issuer.ca_file),
        "login_folder": "logins",
    }
    with config.open("a") as file:
        file.writelines(
            f"{key} = {json.dumps(value)}\n" for key, value in lines.items()
        )
    return load_settings(config_file=config, environ={})


@pytest.fixture(autouse=True)
def browser(monkeypatch: pytest.MonkeyPatch, issuer: LoginIssuer) -> None:
    """Somebody signs in wherever a browser is sent."""
    monkeypatch.setattr("webbrowser.open", issuer.visit)


def kept(settings: ClientSettings) -> Login:
    login = load_login(settings)
    assert login is not None
    return login


def test_a_person_signs_in_and_out(
    strongroom: Command, settings: ClientSettings, issuer: LoginIssuer
) -> None:
    result = strongroom("login")

    assert result.code == 0, result
    assert result.out.startswith("signed in as alice until ")
    assert f"{issuer.url}/authorize?" in result.err
    assert kept(settings).token not in result.out + result.err
    assert strongroom("logout").out == "signed out\n"
    assert load_login(settings) is None
    again = strongroom("logout")
    assert (again.code, again.out) == (0, "nobody was signed in\n")


def test_json_tells_the_address_at_once_and_never_the_token(
    strongroom: Command, settings: ClientSettings, issuer: LoginIssuer
) -> None:
    result = strongroom("login", "--fresh", "--json")

    first, last = result.lines
    assert (first["message_type"], last["message_type"]) == ("sign_in", "login")
    assert "prompt=login" in first["url"]
    assert last["name"] == "alice"
    assert last["methods"] == ["pwd", "otp", "mfa"]
    assert "token" not in last
    assert kept(settings).token not in result.out + result.err


def test_a_code_is_shown_for_another_device(
    strongroom: Command, settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.device = {
        "device_code": "secret-of-the-device",
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://id.example/device",
        "interval": 0,
    }
    issuer.claims["nonce"] = None
    for flags in ((), ("--json",)):
        issuer.answers = [(200, {"id_token": issuer.token("")})]
        result = strongroom("login", "--device", *flags)
        assert result.code == 0, result
        told = result.out + result.err
        assert "https://id.example/device" in told
        assert "WDJB-MJHT" in told
        assert "secret-of-the-device" not in told
        assert kept(settings).name == "alice"
        strongroom("logout")


def test_a_new_login_takes_the_place_of_the_old(
    strongroom: Command, settings: ClientSettings, issuer: LoginIssuer
) -> None:
    strongroom("login")
    issuer.claims["preferred_username"] = "bob"
    strongroom("login")

    assert kept(settings).name == "bob"


def test_a_refused_login_leaves_the_one_before(
    strongroom: Command, settings: ClientSettings, issuer: LoginIssuer
) -> None:
    strongroom("login")
    issuer.redirect = {"code": None, "error": "access_denied"}

    result = strongroom("login", "--json")

    assert (result.code, result.error["code"]) == (12, "PERMISSION_DENIED")
    assert kept(settings).name == "alice"


def test_without_a_login_one_is_what_the_certificate_says(
    strongroom: Command, settings: ClientSettings
) -> None:
    result = strongroom("whoami")
    [line] = strongroom("whoami", "--json").lines

    assert result.code == 0
    assert result.out.startswith(line["principal"] + "\n")
    assert "login        none" in result.out
    assert line["principal"] == line["certificate"]
    assert line["principal"].startswith("spiffe://")
    assert line["login"] is line["signed_in"] is None


def test_a_login_that_has_ended_stops_commands_and_says_what_to_do(
    strongroom: Command, settings: ClientSettings
) -> None:
    strongroom("login")
    login = kept(settings)
    save_login(settings, replace(login, expire_time=login.auth_time))

    for command in (("whoami",), ("ls",), ("doctor",)):
        result = strongroom(*command)
        assert result.code == 12
        told = result.out + result.err
        assert "the login of alice has ended" in told
        assert "strongroom login" in told
        assert "strongroom logout" in told
        assert login.token not in told
    strongroom("logout")
    assert strongroom("ls").code == 0, "as the certificate"


def test_the_token_goes_to_the_server_which_refuses_it_if_it_knows_no_people(
    strongroom: Command, settings: ClientSettings
) -> None:
    strongroom("login")

    result = strongroom("ls", "--json")

    assert result.code == 12, "never as the certificate instead"
    assert result.error["code"] == "UNAUTHENTICATED"
    assert result.error["reason"] == "TOKEN_INVALID"
    assert kept(settings).token not in result.out + result.err


def test_no_token_is_in_spans(
    strongroom: Command,
    settings: ClientSettings,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A process has one provider, for good; this one must go with the test.
    monkeypatch.setattr(
        trace,
        "set_tracer_provider",
        lambda provider: monkeypatch.setattr(trace, "get_tracer", provider.get_tracer),
    )
    with config.open("a") as file:
        file.write('spans_file = "spans.jsonl"\n')
    strongroom("login")
    strongroom("ls")

    spans = (config.parent / "spans.jsonl").read_text()
    assert spans
    assert kept(settings).token[-20:] not in spans
    assert login_file(settings).is_relative_to(config.parent / "logins")


def test_settings_without_a_provider_say_what_to_set(strongroom: Command) -> None:
    result = strongroom("login", "--json")

    assert (result.code, result.error["reason"]) == (2, "SETTING_INVALID")
    assert "login_issuer" in result.error["hint"]


def test_where_no_browser_opens_nobody_waits_unless_at_a_terminal(
    strongroom: Command, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> bool:
        message = "no browser"
        raise webbrowser.Error(message)

    for opened in (fail, lambda _: False):
        monkeypatch.setattr("webbrowser.open", opened)

        result = strongroom("login")

        assert result.code == 16
        assert "no browser could be opened here" in result.err
        assert "strongroom login --no-browser" in result.err
        assert load_login(settings) is None


def test_at_a_terminal_somebody_may_open_the_address_by_hand(
    strongroom: Command,
    settings: ClientSettings,
    issuer: LoginIssuer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(url: str) -> bool:
        issuer.visit(url)
        return False

    monkeypatch.setattr("webbrowser.open", fail)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)

    result = strongroom("login")

    assert result.code == 0, result
    assert "open the address yourself" in result.err
    assert kept(settings).name == "alice"


def test_however_quiet_the_address_is_printed(
    strongroom: Command, settings: ClientSettings, issuer: LoginIssuer
) -> None:
    loud = strongroom("login")
    quiet = strongroom("login", "--quiet")

    (line,) = quiet.err.splitlines()
    assert line.startswith(f"{issuer.url}/authorize?")
    assert re.search(r"before \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ:\n  https://", loud.err)
    assert kept(settings).name == "alice"
