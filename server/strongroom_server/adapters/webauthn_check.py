# SPDX-License-Identifier: Apache-2.0
"""`AssertionVerifier` over WebAuthn: a security key, with its person verified."""

from typing import Final

from webauthn import verify_authentication_response
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
)

from strongroom.errors import PermissionDeniedError, Reason
from strongroom_server.core.approvals import MAX_ASSERTION_BYTES, Assertion
from strongroom_server.core.operator_credentials import (
    OperatorCredential,
    credential_name,
)
from strongroom_server.ports import AssertionVerifier

#: Counters are told, not trusted: many keys have none, and a copy may count as well.
_NO_COUNTER: Final = 0
#: The library repeats what it was given.
_MAX_WHY_CHARS: Final = 200


class WebAuthnVerifier:
    """Believes what was signed for one relying party and one origin."""

    def __init__(self, *, relying_party: str, origin: str) -> None:
        self._relying_party = relying_party
        self._origin = origin

    def verify(
        self, assertion: Assertion, *, challenge: bytes, credential: OperatorCredential
    ) -> int:
        """See `AssertionVerifier`."""
        parts = (
            assertion.authenticator_data,
            assertion.client_data,
            assertion.signature,
        )
        if credential.credential_id != assertion.credential_id:
            raise _refused("it is of another credential")
        if sum(map(len, parts)) > MAX_ASSERTION_BYTES:
            raise _refused("it is too long")
        try:
            verified = verify_authentication_response(
                credential=AuthenticationCredential(
                    id=credential_name(assertion.credential_id),
                    raw_id=assertion.credential_id,
                    response=AuthenticatorAssertionResponse(
                        client_data_json=assertion.client_data,
                        authenticator_data=assertion.authenticator_data,
                        signature=assertion.signature,
                    ),
                ),
                expected_challenge=challenge,
                expected_rp_id=self._relying_party,
                expected_origin=self._origin,
                credential_public_key=credential.public_key,
                credential_current_sign_count=_NO_COUNTER,
                require_user_verification=True,
            )
        except WebAuthnException as error:
            raise _refused(str(error)[:_MAX_WHY_CHARS]) from error
        except Exception as error:  # the library lets its decoders' errors through
            raise _refused("it does not decode") from error
        return verified.new_sign_count


def _refused(why: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"the security key's answer does not count: {why}",
        reason=Reason.APPROVAL_INVALID,
        hint="Approve again; see `strongroom approvals show`.",
    )


_verifier: type[AssertionVerifier] = WebAuthnVerifier
