# SPDX-License-Identifier: Apache-2.0
"""Bytes of strangers: what reaches the loopback, and what calls itself a token."""

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom._login.issuer import _fields
from strongroom._login.loopback import answer_of, redirect_path
from strongroom._login.tokens import LEEWAY, Expected, IdToken, read_id_token
from strongroom.errors import UnauthenticatedError

STATE = "s" * 43
PATH = redirect_path("https://id.example")
NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
EXPECTED = Expected("https://id.example", "us", "nonce", NOW)
GOOD: dict[str, object] = {
    "iss": "https://id.example",
    "aud": "us",
    "sub": "alice",
    "nonce": "nonce",
    "exp": NOW.timestamp() + 60,
    "auth_time": NOW.timestamp(),
}


def redirect(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def token_of(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return f"e30.{payload.decode()}.c2ln"


def read(claims: object) -> IdToken:
    return read_id_token(token_of(claims), EXPECTED, NOW)


def test_the_redirect_with_our_state_is_read() -> None:
    request = redirect(f"{PATH}?code=a%2Bb&state={STATE}&empty=")

    found = answer_of(request, PATH, STATE)

    assert found == {"code": "a+b", "state": STATE, "empty": ""}


def test_each_provider_has_a_path_of_its_own() -> None:
    digest = hashlib.sha256(b"https://id.example").hexdigest()
    assert f"/callback/{digest[:32]}" == PATH
    others = ("https://id.example/", "https://id.example.org", "http://id.example")
    assert PATH not in {redirect_path(other) for other in others}


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"GET\r\n\r\n",
        b"\xff\xfe " + PATH.encode() + b" HTTP/1.1\r\n\r\n",
        redirect(f"{PATH}?code=x&state={STATE}", "POST"),
        redirect(f"{PATH}?code=x&state={STATE[:-1]}"),
        redirect(f"{PATH}?code=x&state={STATE}é"),
        redirect(f"{PATH}?code=x"),
        redirect(PATH),
        redirect(f"/callback?code=x&state={STATE}"),
        redirect(f"{redirect_path('https://evil.example')}?code=x&state={STATE}"),
        redirect(f"/?code=x&state={STATE}"),
        redirect(f"{PATH}/?code=x&state={STATE}"),
        redirect(f"{PATH}?code=x&code=y&state={STATE}"),
        redirect(f"//[{PATH}?code=x&state={STATE}"),
        redirect(f"{PATH} ?code=x&state={STATE}"),
    ],
)
def test_other_requests_are_nothing_to_us(request_: bytes) -> None:
    assert answer_of(request_, PATH, STATE) is None


@given(st.binary(max_size=300))
def test_no_bytes_end_the_wait(data: bytes) -> None:
    assert answer_of(data, PATH, STATE) is None
    assert answer_of(b"GET " + data + b" HTTP/1.1\r\n\r\n", PATH, STATE) is None


def test_a_good_token_is_read() -> None:
    token = read({**GOOD, "email": "alice@example.org", "amr": ["pwd", 7, "otp"]})

    assert token.name == "alice@example.org"
    assert token.methods == ("pwd", "otp")
    assert token.text not in repr(token)


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "amr", "azp", "email", "preferred_username"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
    )
)
def test_no_claims_break_the_reader(claims: dict[str, object]) -> None:
    try:
        token = read({**GOOD, **claims})
    except UnauthenticatedError:
        return
    assert token.name
    assert token.expire_time > NOW - LEEWAY


def test_an_answer_that_is_nested_too_deeply_says_nothing() -> None:
    assert _fields(b'{"a":' + b"[" * 200_000) == {}


def test_half_a_character_is_no_nonce() -> None:
    with pytest.raises(UnauthenticatedError, match="another sign-in"):
        read({**GOOD, "nonce": "\ud800"})


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.x"))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        read_id_token(text, EXPECTED, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "e30.e30.",
        "e30..c2ln",
        ".e30.c2ln",
        "e30.e30.c2ln\r\nstrongroom-approval: 1",
        "e30.e30.c2 ln",
        "e30.e30.c2ln.more",
        f"e30.{'W1tb' * 1500}.c2ln",
    ],
)
def test_what_could_not_travel_in_a_header_is_refused(text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        read_id_token(text, EXPECTED, NOW)
