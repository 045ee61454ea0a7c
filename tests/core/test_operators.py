# SPDX-License-Identifier: Apache-2.0
"""What the claims of a login must say, and whom they name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import Reason, UnauthenticatedError
from strongroom_server.core.operators import (
    LEEWAY,
    LoginRules,
    is_operator,
    read_operator,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
LEEWAY_S = int(LEEWAY.total_seconds())
#: The last second of the year 9999.
LAST_S = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
RULES = LoginRules("https://issuer/x", "strongroom")
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer/x",
    "aud": "strongroom",
    "sub": "alice",
    "iat": NOW_S - 60,
    "exp": NOW_S + 60,
    "auth_time": NOW_S - 90,
}
#: In the place of a claim that is to be left out.
MISSING = ...  # whose name is the same in every process


def changed(**changes: object) -> dict[str, object]:
    merged = {**CLAIMS, **changes}
    return {key: value for key, value in merged.items() if value is not MISSING}


def test_a_person_is_read_off_the_claims() -> None:
    operator = read_operator(CLAIMS, RULES, now=NOW)

    assert (operator.name, operator.principal) == ("alice", "operator:alice")
    assert operator.auth_time == NOW - timedelta(seconds=90)
    assert operator.auth_age_s(NOW) == 90
    assert (operator.mfa, operator.acr, operator.amr) == (False, "", ())
    assert is_operator(operator.principal)
    assert not is_operator("spiffe://operator:alice/x")


@pytest.mark.parametrize(
    ("change", "mfa"),
    [
        ({"acr": "phr"}, True),
        ({"acr": "phrh"}, True),
        ({"acr": "PHR"}, False),
        ({"acr": "phr phrh"}, False),
        ({"acr": "urn:mace:incommon:iap:silver"}, False),
        ({"amr": ["mfa"]}, True),
        ({"amr": ["pwd", "otp", "mfa"]}, True),
        # A key that somebody touched: RFC 8176's `user` is presence, no factor.
        ({"amr": ["hwk", "user"]}, False),
        ({"amr": ["hwk"]}, False),
        ({"amr": ["user", "pin"]}, False),
        ({"amr": ["hwk", "user"], "acr": "phr"}, True),
        ({"amr": ["hwk", "user", "mfa"]}, True),
        ({"amr": ["pwd"]}, False),
        ({"amr": ["pwd", "otp"]}, False),
        ({"amr": []}, False),
        ({"amr": ["MFA"]}, False),
    ],
    ids=str,
)
def test_two_factors_are_what_the_provider_says_in_acr_or_amr(
    change: dict[str, object], mfa: bool
) -> None:
    assert read_operator(changed(**change), RULES, now=NOW).mfa is mfa


def test_a_site_may_name_classes_of_its_own() -> None:
    rules = LoginRules(RULES.issuer, RULES.audience, acr_values=("gold",))

    assert read_operator(changed(acr="gold"), rules, now=NOW).mfa
    assert not read_operator(changed(acr="phr"), rules, now=NOW).mfa
    assert not read_operator(changed(), rules, now=NOW).mfa


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://issuer/x/"},
        {"iss": "https://issuer"},
        {"iss": MISSING},
        {"iss": ["https://issuer/x"]},
        {"aud": "Strongroom"},
        {"aud": MISSING},
        {"aud": []},
        {"aud": ["a", "b"]},
        {"aud": ["strongroom", "other"]},
        {"aud": ["strongroom", "other"], "azp": "other"},
        {"azp": "other"},
        {"azp": ""},
        {"typ": "Bearer"},
        {"exp": MISSING},
        {"exp": "2099-01-01"},
        {"exp": True},
        {"exp": -1},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**30},
        {"iat": MISSING},
        {"exp": LAST_S + 1},
        {"iat": NOW_S + LEEWAY_S + 1},
        {"iat": LAST_S},
        {"nbf": LAST_S},
        {"auth_time": LAST_S},
        {"nbf": NOW_S + LEEWAY_S + 1},
        {"nbf": None},
        {"auth_time": MISSING},
        {"auth_time": None},
        {"auth_time": str(NOW_S)},
        {"auth_time": False},
        {"auth_time": NOW_S + LEEWAY_S + 1},
        {"sub": MISSING},
        {"sub": ""},
        {"sub": 7},
        {"sub": "*"},
        {"sub": "alice\n"},
        {"sub": "operator:alice"},
        {"sub": "alice bob"},
        {"sub": "alice/job"},
        {"sub": "-alice"},
        {"sub": "älice"},
        {"sub": "a" * 129},
        {"acr": 7},
        {"acr": "x" * 257},
        {"acr": "ph\ud800r"},
        {"acr": "phr\n"},
        {"amr": ["mfa", "\0"]},
        {"amr": ["m\u00e4fa"]},
        {"amr": "mfa"},
        {"amr": [7]},
        {"amr": ["x" * 33]},
        {"amr": ["pwd"] * 17},
        {"amr": {"mfa": True}},
    ],
    ids=str,
)
def test_a_login_that_says_too_little_or_something_else_is_refused(
    change: dict[str, object],
) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        read_operator(changed(**change), RULES, now=NOW)

    assert caught.value.reason is Reason.TOKEN_INVALID
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({"exp": NOW_S - LEEWAY_S + 1}, True),
        ({"exp": NOW_S - LEEWAY_S}, False),
        ({"auth_time": NOW_S - 12 * 3600 - LEEWAY_S}, True),
        ({"auth_time": NOW_S - 12 * 3600 - LEEWAY_S - 1}, False),
    ],
    ids=str,
)
def test_a_login_ends_to_the_second(change: dict[str, object], good: bool) -> None:
    if good:
        assert read_operator(changed(**change), RULES, now=NOW).name == "alice"
        return
    with pytest.raises(UnauthenticatedError) as caught:
        read_operator(changed(**change), RULES, now=NOW)

    assert caught.value.reason is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize(
    "change",
    [
        {"iat": NOW_S + LEEWAY_S},
        {"nbf": NOW_S + LEEWAY_S},
        {"nbf": NOW_S - 60.5},
        {"exp": LAST_S},
        {"exp": LAST_S + 0.9},
        {"auth_time": NOW_S + LEEWAY_S},
        {"aud": ["strongroom"]},
        {"aud": ["other", "strongroom"], "azp": "strongroom"},
        {"azp": "strongroom"},
        {"typ": "ID"},
        {"sub": "A.b_c-d@example.org"},
        {"groups": ["many", "others"]},
    ],
    ids=str,
)
def test_what_is_unusual_and_good_is_taken(change: dict[str, object]) -> None:
    operator = read_operator(changed(**change), RULES, now=NOW)

    assert operator.auth_age_s(NOW) >= 0


def test_a_name_may_stand_in_another_claim() -> None:
    rules = LoginRules(RULES.issuer, RULES.audience, name_claim="preferred_username")
    claims = changed(preferred_username="bob")

    assert read_operator(claims, rules, now=NOW).name == "bob"
    with pytest.raises(UnauthenticatedError, match="preferred_username"):
        read_operator(CLAIMS, rules, now=NOW)


def test_an_address_that_nobody_verified_is_no_name() -> None:
    rules = LoginRules(RULES.issuer, RULES.audience, name_claim="email")
    verified = changed(email="bob@example.org", email_verified=True)

    assert read_operator(verified, rules, now=NOW).name == "bob@example.org"
    for other in (False, "true", 1, MISSING):
        claims = changed(email="bob@example.org", email_verified=other)
        with pytest.raises(UnauthenticatedError, match="verified"):
            read_operator(claims, rules, now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
TIMES = st.integers(0, LAST_S + 1) | st.floats(0, LAST_S + 1)
NAMES = st.sampled_from([*CLAIMS, "acr", "amr", "azp", "nbf", "typ"]) | st.text()


@given(st.dictionaries(NAMES, JSON | TIMES | st.just(LAST_S), max_size=6))
def test_whatever_is_claimed_it_is_a_person_or_refused(
    claims: dict[str, object],
) -> None:
    try:
        operator = read_operator({**CLAIMS, **claims}, RULES, now=NOW)
    except UnauthenticatedError:
        return
    assert operator.principal.removeprefix("operator:").isascii()
    assert operator.auth_time <= NOW + LEEWAY
    assert "".join((operator.acr, *operator.amr)).isascii()
