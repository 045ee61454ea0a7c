# SPDX-License-Identifier: Apache-2.0
"""Both verifiers of logins keep the contract; the real one bounds its issuer, too."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import (
    PreconditionError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom_server.adapters.memory_logins import MemoryLogins
from strongroom_server.adapters.oidc import OidcTokens
from strongroom_server.adapters.oidc.documents import MAX_BYTES
from strongroom_server.adapters.oidc.jwks import ALGORITHMS, MAX_KEYS, parse_keys
from strongroom_server.adapters.oidc.provider import (
    KEYS_AGE_S,
    MAX_WAITING,
    PAUSE_S,
    UNKNOWN_KEY_AGE_S,
)
from strongroom_server.core.operators import LoginRules
from tests.contract.token_verifier_suite import Fail, Issue, TokenVerifierSuite
from tests.support.clock import ManualClock
from tests.support.oidc_issuer import (
    AUDIENCE,
    DISCOVERY,
    KEYS,
    Issuer,
    new_key,
    public_jwk,
    running_issuer,
    sign,
)


def good_claims(issuer: str, clock: ManualClock) -> dict[str, Any]:
    now_s = int(clock.now().timestamp())
    return {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now_s,
        "exp": now_s + 3600,
        "auth_time": now_s,
        "amr": ["pwd", "otp", "mfa"],
    }


class TestMemory(TokenVerifierSuite):
    @pytest.fixture
    def verifier(self, clock: ManualClock) -> MemoryLogins:
        return MemoryLogins(LoginRules("https://memory", AUDIENCE), clock=clock)

    @pytest.fixture
    def claims(self, clock: ManualClock) -> dict[str, Any]:
        return good_claims("https://memory", clock)

    @pytest.fixture
    def issue(self, verifier: MemoryLogins) -> Issue:
        return verifier.issue

    @pytest.fixture
    def fail(self, verifier: MemoryLogins) -> Fail:
        return verifier.fail

    def test_who_signs_in_is_good_at_once(
        self, verifier: MemoryLogins, clock: ManualClock
    ) -> None:
        operator = verifier.verify(verifier.sign_in("bob", age_s=7, mfa=False))

        assert (operator.name, operator.mfa) == ("bob", False)
        assert operator.auth_age_s(clock.now()) == 7


class TestOidc(TokenVerifierSuite):
    @pytest.fixture
    def issuer(self) -> Iterator[Issuer]:
        with running_issuer() as issuer:
            yield issuer

    @pytest.fixture
    def verifier(self, issuer: Issuer, clock: ManualClock) -> OidcTokens:
        rules = LoginRules(issuer.url, AUDIENCE)
        return OidcTokens(rules, ca_file=issuer.ca_file, clock=clock)

    @pytest.fixture
    def claims(self, issuer: Issuer, clock: ManualClock) -> dict[str, Any]:
        return good_claims(issuer.url, clock)

    @pytest.fixture
    def issue(self, issuer: Issuer) -> Issue:
        return issuer.token

    @pytest.fixture
    def fail(self, issuer: Issuer) -> Fail:
        def fail(*, failing: bool) -> None:
            issuer.status = 503 if failing else 200

        return fail

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_every_algorithm_of_the_list_is_taken(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        algorithm: str,
    ) -> None:
        issuer.add_key("other", algorithm)

        token = issuer.token(claims, key_id="other")

        assert verifier.verify(token).name == "alice"

    def test_the_issuer_is_asked_once_for_many_tokens(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        clock: ManualClock,
    ) -> None:
        token = issuer.token(claims)
        with ThreadPoolExecutor(MAX_WAITING + 1) as threads:
            assert len({*threads.map(verifier.verify, [token] * 40)}) == 1
        assert issuer.requests == [DISCOVERY, KEYS]

        clock.advance(KEYS_AGE_S)
        verifier.verify(token)

        assert issuer.requests == [DISCOVERY, KEYS] * 2

    def test_a_new_key_is_found_and_unknown_ones_are_not_asked_for_at_will(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        clock: ManualClock,
    ) -> None:
        verifier.verify(issuer.token(claims))
        issuer.add_key("two", "ES256")
        for _ in range(3):
            with pytest.raises(UnauthenticatedError, match="no key of the issuer"):
                verifier.verify(issuer.token(claims, key_id="two"))
        assert len(issuer.requests) == 2

        clock.advance(UNKNOWN_KEY_AGE_S)

        assert verifier.verify(issuer.token(claims, key_id="two")).name == "alice"
        assert len(issuer.requests) == 4

    def test_a_key_that_the_issuer_took_back_is_good_for_nothing_soon(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        clock: ManualClock,
    ) -> None:
        token = issuer.token(claims)
        verifier.verify(token)
        del issuer.keys["one"]
        clock.advance(KEYS_AGE_S)

        with pytest.raises(UnauthenticatedError) as caught:
            verifier.verify(token)

        assert caught.value.reason is Reason.TOKEN_INVALID

    def test_known_keys_are_not_used_for_ever_while_the_issuer_is_away(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        clock: ManualClock,
        fail: Fail,
    ) -> None:
        token = issuer.token(claims)
        verifier.verify(token)
        fail(failing=True)
        clock.advance(KEYS_AGE_S - 1)
        verifier.verify(token)
        clock.advance(1)

        with pytest.raises(UnavailableError, match="status 503"):
            verifier.verify(token)

    def test_after_a_failure_nobody_waits_for_a_while(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        clock: ManualClock,
        fail: Fail,
    ) -> None:
        token = issuer.token(claims)
        fail(failing=True)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                verifier.verify(token)
        assert len(issuer.requests) == 1

        clock.advance(PAUSE_S)
        with pytest.raises(UnavailableError):
            verifier.verify(token)

        assert len(issuer.requests) == 2

    @pytest.mark.parametrize(
        ("path_and_document", "told"),
        [
            ((DISCOVERY, b"{"), "not JSON"),
            ((DISCOVERY, b"[]"), "no JSON object"),
            ((DISCOVERY, b"\xff\xfe"), "not JSON"),
            ((DISCOVERY, b"[" * 60_000), "nested"),
            ((DISCOVERY, b'{"issuer": "https://evil"}'), "another issuer"),
            ((KEYS, b"{}"), "keys"),
            ((KEYS, b'{"keys": {}}'), "keys"),
            ((KEYS, b" " * (MAX_BYTES + 1)), "longer than"),
            ((KEYS, json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode()), "keys"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_what_the_issuer_should_not_answer_lets_nobody_in(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        path_and_document: tuple[str, bytes],
        told: str,
    ) -> None:
        issuer.documents.update([path_and_document])

        with pytest.raises(UnavailableError, match=told):
            verifier.verify(issuer.token(claims))

    @pytest.mark.parametrize(
        "address",
        ["http://127.0.0.1:1/keys", "file:///etc/passwd", "", None, "https://a@b/c"],
    )
    def test_keys_are_fetched_over_https_only(
        self,
        verifier: OidcTokens,
        issuer: Issuer,
        claims: dict[str, Any],
        address: str | None,
    ) -> None:
        found = {"issuer": issuer.url, "jwks_uri": address}
        issuer.documents[DISCOVERY] = json.dumps(found).encode()

        with pytest.raises(UnavailableError, match="not https"):
            verifier.verify(issuer.token(claims))

    def test_a_redirect_is_not_followed(
        self, verifier: OidcTokens, issuer: Issuer, claims: dict[str, Any]
    ) -> None:
        issuer.status = 302

        with pytest.raises(UnavailableError, match="status 302"):
            verifier.verify(issuer.token(claims))

        assert issuer.requests == [DISCOVERY]

    def test_an_issuer_of_another_authority_is_not_believed(
        self, issuer: Issuer, claims: dict[str, Any], clock: ManualClock
    ) -> None:
        rules = LoginRules(issuer.url, AUDIENCE)
        verifier = OidcTokens(rules, ca_file=None, clock=clock)

        with pytest.raises(UnavailableError, match="certificate is not good"):
            verifier.verify(issuer.token(claims))

        assert issuer.requests == []

    def test_an_issuer_that_does_not_answer_is_waited_for_in_bounds(
        self,
        issuer: Issuer,
        claims: dict[str, Any],
        clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("strongroom_server.bounded_http.STEP_S", 0.2, raising=True)
        rules = LoginRules(issuer.url, AUDIENCE)
        verifier = OidcTokens(rules, ca_file=issuer.ca_file, clock=clock)
        issuer.gate.clear()
        ended = threading.Event()

        def verify() -> None:
            with pytest.raises(UnavailableError, match="took too long"):
                verifier.verify(issuer.token(claims))
            ended.set()

        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(verify)
            assert ended.wait(10)
            issuer.gate.set()
            asked.result()

    def test_authorities_that_cannot_be_read_are_a_bad_setting(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        (tmp_path / "empty").write_text("nothing")
        for path in (tmp_path / "missing", tmp_path / "empty"):
            with pytest.raises(
                PreconditionError, match=r"operators\.ca_file"
            ) as caught:
                OidcTokens(LoginRules("https://x", "y"), ca_file=path, clock=clock)
            assert caught.value.reason is Reason.SETTING_INVALID


def test_a_key_is_good_for_the_algorithms_of_its_kind_only() -> None:
    rsa, curve = new_key("RS256"), new_key("ES256")
    one = {**public_jwk("RS256", rsa), "kid": "r"}
    any_rsa = {key: value for key, value in one.items() if key != "alg"} | {"kid": "a"}
    two = {**public_jwk("ES256", curve), "kid": "e"}

    keys = parse_keys({"keys": [one, any_rsa, two]})

    assert {*keys} == {("r", "RS256"), ("a", "RS256"), ("a", "PS256"), ("e", "ES256")}


def test_keys_that_are_of_no_use_are_left_out() -> None:
    curve = {**public_jwk("ES256", new_key("ES256")), "kid": "k"}
    small = {**public_jwk("RS256", new_key("RS256")), "kid": "k", "n": "AQAB"}
    # PyJWT takes it, with a warning.
    factored = rsa.generate_private_key(65537, 1024)  # noqa: S505
    useless: list[object] = [
        {**curve, "use": "enc"},
        {**curve, "kid": ""},
        {**curve, "kid": 7},
        {key: value for key, value in curve.items() if key != "kid"},
        {**curve, "alg": "ES384"},
        {**curve, "crv": "P-384"},
        {**curve, "x": "AAAA"},
        {**curve, "x": None},
        {**curve, "d": "AAAA"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        small,
        {**public_jwk("RS256", factored), "kid": "k"},
        "key",
    ]

    assert parse_keys({"keys": useless}) == {}
    assert {*parse_keys({"keys": [*useless, curve]})} == {("k", "ES256")}


def test_the_first_of_two_keys_with_one_id_counts() -> None:
    honest, other = new_key("ES256"), new_key("ES256")
    listed = [{**public_jwk("ES256", key), "kid": "k"} for key in (honest, other)]

    key = parse_keys({"keys": listed})["k", "ES256"]

    token = sign({}, honest, "ES256", {})
    jwt.PyJWS().decode_complete(token, key, algorithms=["ES256"])


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=12)
FIELDS = st.sampled_from(["kty", "crv", "kid", "use", "alg", "n", "e", "x", "y", "d"])
FIELD_VALUES = VALUES | st.sampled_from(
    ["RSA", "EC", "OKP", "oct", "P-256", "P-384", "Ed25519", "sig", "ES256", "AQAB"]
)


@given(st.lists(st.dictionaries(FIELDS, FIELD_VALUES) | VALUES, max_size=4) | VALUES)
def test_whatever_is_published_only_whole_keys_count(listed: object) -> None:
    try:
        keys = parse_keys({"keys": listed})
    except ValueError:
        assert not isinstance(listed, list)
        return
    assert all(algorithm in ALGORITHMS for _, algorithm in keys)
