# SPDX-License-Identifier: Apache-2.0
"""What security keys sign: what counts, and what must not."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.errors import PermissionDeniedError, Reason
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.approvals import MAX_ASSERTION_BYTES
from tests.support.security_keys import (
    BOB,
    ORIGIN,
    PRESENT,
    RELYING_PARTY,
    VERIFIED,
    TestKey,
)

CHALLENGE = bytes(range(32))
KEY = TestKey("bob-1", BOB)
VERIFIER = WebAuthnVerifier(relying_party=RELYING_PARTY, origin=ORIGIN)


@pytest.mark.parametrize("counter", [0, 1, 2**32 - 1])
def test_a_counter_is_told_and_not_judged(counter: int) -> None:
    said = KEY.saying(counter=counter).sign(CHALLENGE)

    for _ in range(2):
        told = VERIFIER.verify(said, challenge=CHALLENGE, credential=KEY.credential)
        assert told == counter


@pytest.mark.parametrize(
    "other",
    [
        {"flags": PRESENT},
        {"flags": VERIFIED},
        {"origin": "https://evil.test"},
        {"origin": ORIGIN + ".evil.test"},
        {"origin": "http://strongroom.test"},
        {"relying_party": "test"},
        {"kind": "webauthn.create"},
        {"kind": "payment.get"},
        pytest.param(
            {"private": ec.generate_private_key(ec.SECP256R1())}, id="another key"
        ),
    ],
    ids=str,
)
def test_what_is_wrong_does_not_count(other: dict[str, object]) -> None:
    said = KEY.saying(**other).sign(CHALLENGE)

    with pytest.raises(PermissionDeniedError) as refused:
        VERIFIER.verify(said, challenge=CHALLENGE, credential=KEY.credential)

    assert refused.value.reason is Reason.APPROVAL_INVALID


def test_another_challenge_does_not_count() -> None:
    said = KEY.sign(CHALLENGE)

    with pytest.raises(PermissionDeniedError):
        VERIFIER.verify(said, challenge=b"x" * 32, credential=KEY.credential)


@pytest.mark.parametrize(
    "part", ["authenticator_data", "client_data", "signature", "credential_id"]
)
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"{}", b"null", b"[" * 5000, b"x" * (MAX_ASSERTION_BYTES + 1)]
)
def test_what_does_not_decode_is_refused_by_name(part: str, data: bytes) -> None:
    said = replace(KEY.sign(CHALLENGE), **{part: data})

    with pytest.raises(PermissionDeniedError) as refused:
        VERIFIER.verify(said, challenge=CHALLENGE, credential=KEY.credential)

    assert refused.value.reason is Reason.APPROVAL_INVALID
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("public_key", [b"", b"\xa0", b"garbage", b"\xa1\x01\x02"])
def test_a_public_key_that_is_none_refuses_everything(public_key: bytes) -> None:
    credential = replace(KEY.credential, public_key=public_key)

    with pytest.raises(PermissionDeniedError) as refused:
        VERIFIER.verify(KEY.sign(CHALLENGE), challenge=CHALLENGE, credential=credential)

    assert refused.value.reason is Reason.APPROVAL_INVALID
