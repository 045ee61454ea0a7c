# SPDX-License-Identifier: Apache-2.0
"""The port that waits for the browser, while others crowd it."""

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from strongroom._login.loopback import Loopback, redirect_path
from strongroom.errors import DeadlineExceededError

STATE = "s" * 43
PATH = redirect_path("https://id.example")
ANSWER = f"GET {PATH}?code=x&state={STATE} HTTP/1.1\r\n\r\n".encode()
#: As many connections as are kept.
PLACES = 16


class Crowd:
    """People at the port of one sign-in."""

    def __init__(self, loopback: Loopback) -> None:
        self._loopback = loopback
        self._port = urlsplit(loopback.redirect_uri).port or 0
        self._open = contextlib.ExitStack()

    def come(self, count: int = 1, says: bytes = b"") -> list[socket.socket]:
        """Have some connect, say something, and stay."""
        found = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", self._port), 10)
            found.append(self._open.enter_context(connection))
            connection.sendall(says)
        return found

    def pass_by(self) -> None:
        """Have the wait see all that has happened, and go on."""
        with pytest.raises(DeadlineExceededError):
            self._loopback.wait(0.2)

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with Loopback(STATE, PATH) as waiting:
        yield waiting


@pytest.fixture
def crowd(loopback: Loopback) -> Iterator[Crowd]:
    with contextlib.closing(Crowd(loopback)) as found:
        yield found


def test_an_answer_is_read_though_its_place_is_wanted_at_the_same_moment(
    loopback: Loopback, crowd: Crowd
) -> None:
    [browser] = crowd.come()
    crowd.come(PLACES - 1)
    crowd.pass_by()
    crowd.come()
    browser.sendall(ANSWER)

    assert loopback.wait(10)["code"] == "x"


@pytest.mark.parametrize(
    "says",
    [b"x", b"\x16\x03\x01", b"POST ", b"GET /favicon.ico", ANSWER[:20] + b"x"],
)
def test_who_says_something_else_takes_no_place_from_who_is_still_silent(
    loopback: Loopback, crowd: Crowd, says: bytes
) -> None:
    [browser] = crowd.come()
    crowd.pass_by()
    for _ in range(2):
        crowd.come(PLACES, says)
        crowd.pass_by()
    browser.sendall(ANSWER)

    assert loopback.wait(10)["code"] == "x"


def test_who_says_something_else_is_told_at_once(crowd: Crowd) -> None:
    [stranger] = crowd.come(says=b"GET /other")

    crowd.pass_by()

    assert stranger.recv(100).startswith(b"HTTP/1.1 400 ")


def test_an_answer_that_comes_in_pieces_is_read(
    loopback: Loopback, crowd: Crowd
) -> None:
    [browser] = crowd.come()
    for piece in (ANSWER[:3], ANSWER[3:60]):
        browser.sendall(piece)
        crowd.pass_by()
    browser.sendall(ANSWER[60:])

    assert loopback.wait(10)["code"] == "x"


def test_no_more_than_a_few_are_kept(crowd: Crowd) -> None:
    first, *_ = crowd.come(PLACES)
    crowd.pass_by()
    crowd.come()

    crowd.pass_by()

    assert first.recv(1) == b"", "the one that had the longest time"
