# SPDX-License-Identifier: Apache-2.0
"""A security key at the USB port: enrolled, asked to sign, and not there."""

from collections.abc import Sequence

import pytest
from fido2.ctap import CtapDevice, CtapError

from strongroom.cli import security_keys
from strongroom.errors import StrongroomError
from strongroom.values import KeyAssertion, RelyingParty
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.approvals import Assertion
from strongroom_server.core.operator_credentials import OperatorCredential
from tests.support.ctap_device import TestDevice

PARTY = RelyingParty("strongroom.test", "https://strongroom.test")
CHALLENGE = bytes(range(32))


def check(said: KeyAssertion, made: security_keys.NewCredential) -> int:
    verifier = WebAuthnVerifier(relying_party=PARTY.relying_party, origin=PARTY.origin)
    return verifier.verify(
        Assertion(
            said.credential_id,
            said.authenticator_data,
            said.client_data,
            said.signature,
        ),
        challenge=CHALLENGE,
        credential=OperatorCredential(
            "x", "operator:bob", made.credential_id, made.public_key
        ),
    )


def plugged_in(monkeypatch: pytest.MonkeyPatch, devices: Sequence[CtapDevice]) -> None:
    monkeypatch.setattr("fido2.hid.CtapHidDevice.list_devices", lambda: iter(devices))


def test_a_device_that_was_enrolled_signs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugged_in(monkeypatch, [TestDevice()])

    made = security_keys.enroll_with(None, PARTY, "operator:bob")
    other = security_keys.enroll_with(None, PARTY, "operator:bob")
    said = security_keys.sign_with(
        None, CHALLENGE, PARTY, [b"another", made.credential_id]
    )

    assert check(said, made) > 0
    assert made != other
    assert "touch the security key" in capsys.readouterr().err


def test_a_device_of_somebody_else_does_not_sign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = security_keys.enroll_on_device(TestDevice(), PARTY, "operator:bob")
    plugged_in(monkeypatch, [TestDevice()])

    with pytest.raises(StrongroomError, match="not one of yours"):
        security_keys.sign_with(None, CHALLENGE, PARTY, [made.credential_id])


@pytest.mark.parametrize("devices", [[], [TestDevice(), TestDevice()]], ids=len)
def test_it_takes_one_device(
    monkeypatch: pytest.MonkeyPatch, devices: Sequence[CtapDevice]
) -> None:
    plugged_in(monkeypatch, devices)

    with pytest.raises(StrongroomError, match="plugged in, and it takes one"):
        security_keys.sign_with(None, CHALLENGE, PARTY, [b"x"])


def test_a_device_that_verifies_nobody_is_of_no_use() -> None:
    with pytest.raises(StrongroomError) as refused:
        security_keys.enroll_on_device(
            TestDevice(verifies=False), PARTY, "operator:bob"
        )

    assert refused.value.exit_code == 16


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CtapError.ERR.USER_ACTION_TIMEOUT, 17),
        (CtapError.ERR.OPERATION_DENIED, 16),
        (CtapError.ERR.PIN_BLOCKED, 16),
    ],
)
def test_what_a_device_refuses_is_said(error: CtapError.ERR, code: int) -> None:
    with pytest.raises(StrongroomError) as refused:
        security_keys.sign_on_device(
            TestDevice(refuses=error), CHALLENGE, PARTY, [b"x" * 32]
        )

    assert refused.value.exit_code == code


def test_nothing_is_signed_for_a_site_of_another_name() -> None:
    device = TestDevice()
    made = security_keys.enroll_on_device(device, PARTY, "operator:bob")
    evil = RelyingParty(PARTY.relying_party, "https://evil.test")

    with pytest.raises(StrongroomError):
        security_keys.sign_on_device(device, CHALLENGE, evil, [made.credential_id])
