# SPDX-License-Identifier: Apache-2.0
"""Security keys: a device at the USB port, or a file that stands in for one."""

import getpass
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fido2 import cbor
from fido2.client import (
    ClientError,
    DefaultClientDataCollector,
    Fido2Client,
    UserInteraction,
)
from fido2.cose import ES256, EdDSA
from fido2.ctap import CtapDevice
from fido2.ctap2.pin import ClientPin
from fido2.hid import CtapHidDevice
from fido2.webauthn import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRequestOptions,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    UserVerificationRequirement,
)

from strongroom import _system
from strongroom.cli.software_key import SoftwareKey
from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom.values import KeyAssertion, RelyingParty

#: How long a person has to touch the key, in milliseconds.
TIMEOUT_MS: Final = 60_000
_CHALLENGE_BYTES: Final = 32
_PUBLIC_KEY: Final = PublicKeyCredentialType.PUBLIC_KEY
_VERIFIED: Final = UserVerificationRequirement.REQUIRED


@dataclass(frozen=True, slots=True)
class NewCredential:
    """What a security key made: its id, and the public key as COSE_Key in CBOR."""

    credential_id: bytes
    public_key: bytes


def sign_with(
    path: Path | None,
    challenge: bytes,
    party: RelyingParty,
    credential_ids: Sequence[bytes],
) -> KeyAssertion:
    """Have a security key sign, after its person was verified.

    Args:
        path: A software security key; None for a device.
        challenge: What to sign.
        party: For whom.
        credential_ids: One of these has to.

    Raises:
        PreconditionError: There is no security key, or not one of these
            (SETTING_INVALID).
        UnavailableError: Nobody touched it in time.
    """
    if path is not None:
        print(f"signing with the SOFTWARE key {path}: not a device", file=sys.stderr)
        key = SoftwareKey.load(path)
        if key.credential_id not in credential_ids:
            message = f"the software security key {path} is not one of yours"
            raise _unusable(message)
        return key.sign(challenge, party)
    return sign_on_device(find_device(), challenge, party, credential_ids)


def enroll_with(path: Path | None, party: RelyingParty, user: str) -> NewCredential:
    """Make a credential on a security key, or a new software key at `path`.

    Raises:
        PreconditionError: There is no security key, or the file exists
            (SETTING_INVALID).
        UnavailableError: Nobody touched it in time.
    """
    if path is not None:
        key = SoftwareKey.create(party.relying_party)
        key.save(path)
        return NewCredential(key.credential_id, key.public_key)
    return enroll_on_device(find_device(), party, user)


def find_device() -> CtapDevice:
    """Return the one security key that is there.

    Raises:
        PreconditionError: There is none, or more than one (SETTING_INVALID).
    """
    devices = list(CtapHidDevice.list_devices())
    if len(devices) != 1:
        count = "no security key is" if not devices else f"{len(devices)} are"
        message = f"{count} plugged in, and it takes one"
        raise _unusable(message)
    return devices[0]


def sign_on_device(
    device: CtapDevice,
    challenge: bytes,
    party: RelyingParty,
    credential_ids: Sequence[bytes],
) -> KeyAssertion:
    """Have a device sign; errors as `sign_with`."""
    options = PublicKeyCredentialRequestOptions(
        challenge=challenge,
        timeout=TIMEOUT_MS,
        rp_id=party.relying_party,
        allow_credentials=[
            PublicKeyCredentialDescriptor(type=_PUBLIC_KEY, id=item)
            for item in credential_ids
        ],
        user_verification=_VERIFIED,
    )
    try:
        answer = _client(device, party).get_assertion(options).get_response(0)
    except (ClientError, OSError, ValueError) as error:
        raise _failed(error) from error
    told = answer.response
    return KeyAssertion(
        bytes(answer.raw_id),
        bytes(told.authenticator_data),
        bytes(told.client_data),
        bytes(told.signature),
    )


def enroll_on_device(
    device: CtapDevice, party: RelyingParty, user: str
) -> NewCredential:
    """Make a credential on a device; errors as `enroll_with`."""
    options = PublicKeyCredentialCreationOptions(
        rp=PublicKeyCredentialRpEntity(name="Strongroom", id=party.relying_party),
        user=PublicKeyCredentialUserEntity(
            name=user, id=user.encode()[:64], display_name=user
        ),
        # Nothing is attested: what counts is the review of the credentials' file.
        challenge=_system.new_id(_CHALLENGE_BYTES).to_bytes(_CHALLENGE_BYTES, "big"),
        pub_key_cred_params=[
            PublicKeyCredentialParameters(type=_PUBLIC_KEY, alg=kind.ALGORITHM)
            for kind in (ES256, EdDSA)
        ],
        timeout=TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            user_verification=_VERIFIED
        ),
    )
    try:
        answer = _client(device, party).make_credential(options)
    except (ClientError, OSError, ValueError) as error:
        raise _failed(error) from error
    made = answer.response.attestation_object.auth_data.credential_data
    if made is None:
        message = "the security key made no credential"
        raise _unusable(message)
    return NewCredential(bytes(made.credential_id), _cose(made.public_key))


class _Person(UserInteraction):
    """Asks the person at the terminal."""

    def prompt_up(self) -> None:
        """Ask for a touch."""
        print("touch the security key", file=sys.stderr)

    def request_pin(
        self, permissions: ClientPin.PERMISSION, rp_id: str | None
    ) -> str | None:
        """Ask for the key's PIN; it goes to the key alone."""
        del permissions, rp_id
        return getpass.getpass("PIN of the security key: ", sys.stderr)

    def request_uv(self, permissions: ClientPin.PERMISSION, rp_id: str | None) -> bool:
        """Let the key verify its person by itself."""
        del permissions, rp_id
        print("the security key verifies you: finger or PIN", file=sys.stderr)
        return True


def _client(device: CtapDevice, party: RelyingParty) -> Fido2Client:
    return Fido2Client(
        device,
        client_data_collector=DefaultClientDataCollector(party.origin),
        user_interaction=_Person(),
    )


def _cose(public_key: object) -> bytes:
    return cbor.encode(dict(public_key))  # type: ignore[call-overload]


def _failed(error: Exception) -> PreconditionError | UnavailableError:
    if not isinstance(error, ClientError):
        # Of an old device, or of one that was pulled out.
        return _unusable(f"the security key cannot be used: {type(error).__name__}")
    if error.code is ClientError.ERR.TIMEOUT:
        message = "nobody touched the security key in time"
        return UnavailableError(message, hint="Run it again, and touch the key.")
    if error.code is ClientError.ERR.DEVICE_INELIGIBLE:
        return _unusable("the security key is not one of yours, or is enrolled already")
    return _unusable(f"the security key refused: {error.code.name}")


def _unusable(message: str) -> PreconditionError:
    return PreconditionError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Plug in your own security key; strongroom approvals enroll makes one "
        "yours.",
    )
