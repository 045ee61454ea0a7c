# SPDX-License-Identifier: Apache-2.0
"""Logins on disk: whose they are, when they count, and what they are never used for."""

import os
import pickle
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom._login.logins import (
    Login,
    LoginHeaders,
    forget_login,
    login_file,
    save_login,
)
from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import InternalError, Reason, UnauthenticatedError


@pytest.fixture
def settings(tmp_path: Path) -> ClientSettings:
    return ClientSettings(
        endpoint="127.0.0.1:1",
        login_issuer="https://id.example/realm",
        login_client_id="us",
        login_folder=tmp_path / "state" / "logins",
    )


@pytest.fixture
def login(settings: ClientSettings) -> Login:
    """Somebody who has signed in."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = Login(
        endpoint=settings.endpoint,
        issuer=settings.login_issuer,
        name="alice",
        auth_time=now,
        expire_time=now + timedelta(hours=1),
        methods=("pwd", "otp"),
        token="aaa.bbb.ccc",
    )
    save_login(settings, made)
    return made


def test_a_login_is_for_its_owner_only(settings: ClientSettings, login: Login) -> None:
    path = login_file(settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert login.token not in repr(login)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_login_that_others_may_read_is_not_used(
    settings: ClientSettings, login: Login, mode: int
) -> None:
    login_file(settings).chmod(mode)

    with pytest.raises(UnauthenticatedError, match="only its owner's") as caught:
        LoginHeaders(settings)()

    assert "strongroom logout" in caught.value.hint


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_no_login_and_nobody_waits_for_it(
    settings: ClientSettings, login: Login, make: Callable[[Path, int], None]
) -> None:
    path = login_file(settings)
    path.unlink()
    make(path, 0o600)

    with pytest.raises(UnauthenticatedError, match="is not used"):
        LoginHeaders(settings)()


def test_a_login_that_cannot_be_removed_is_told(
    settings: ClientSettings, login: Login
) -> None:
    path = login_file(settings)
    path.unlink()
    path.mkdir()

    with pytest.raises(InternalError, match="cannot be removed"):
        forget_login(settings)


def test_a_login_that_is_a_link_is_not_used(
    settings: ClientSettings, login: Login, tmp_path: Path
) -> None:
    path = login_file(settings)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnauthenticatedError, match="is not used"):
        LoginHeaders(settings)()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "endpoint": "x"}']
)
def test_a_damaged_login_is_told_and_not_passed_over(
    settings: ClientSettings, login: Login, content: str
) -> None:
    login_file(settings).write_text(content)

    with pytest.raises(UnauthenticatedError, match="damaged"):
        LoginHeaders(settings)()


def test_a_login_that_has_ended_is_an_error_and_no_silent_fall_back(
    settings: ClientSettings, login: Login
) -> None:
    save_login(settings, replace(login, expire_time=login.auth_time))

    with pytest.raises(UnauthenticatedError, match="login of alice has ended") as found:
        LoginHeaders(settings)()

    assert found.value.reason is Reason.TOKEN_EXPIRED
    assert "strongroom login" in found.value.hint
    assert "strongroom logout" in found.value.hint
    assert login.token not in str(found.value.metadata) + found.value.message


def test_a_login_is_of_one_server_and_one_provider(
    settings: ClientSettings, login: Login
) -> None:
    for other in (
        replace(settings, endpoint="127.0.0.1:2"),
        replace(settings, login_issuer="https://other.example"),
        replace(settings, login_issuer=""),
    ):
        assert LoginHeaders(other)() == ()
    login_file(settings).rename(login_file(replace(settings, endpoint="127.0.0.1:2")))
    with pytest.raises(UnauthenticatedError, match="another server"):
        LoginHeaders(replace(settings, endpoint="127.0.0.1:2"))()


def test_a_login_that_was_forgotten_is_gone(
    settings: ClientSettings, login: Login
) -> None:
    assert forget_login(settings)
    assert not forget_login(settings)
    assert LoginHeaders(settings)() == ()


def test_programs_do_not_call_as_the_person_unless_told_to(
    settings: ClientSettings, login: Login
) -> None:
    assert Client(settings)._caller.headers() == ()
    as_person = Client(settings, login=True)
    for client in (as_person, pickle.loads(pickle.dumps(as_person))):  # noqa: S301
        [(name, value)] = client._caller.headers()
        assert (name, value) == ("authorization", f"Bearer {login.token}")
    assert login.token.encode() not in pickle.dumps(as_person)


def test_a_folder_that_cannot_be_written_is_told(
    settings: ClientSettings, login: Login, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InternalError, match="cannot be kept") as caught:
        save_login(replace(settings, login_folder=tmp_path / "file" / "x"), login)

    assert "login_folder" in caught.value.hint
