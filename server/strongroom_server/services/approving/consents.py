# SPDX-License-Identifier: Apache-2.0
"""Which consents count: those of people, by security keys that are believed now."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import PermissionDeniedError, PreconditionError, Reason
from strongroom_server.core.approval_log import Approval, Consented, is_same
from strongroom_server.core.approvals import Assertion, invalid
from strongroom_server.core.operator_credentials import (
    OperatorCredential,
    credential_name,
    of_operator,
)
from strongroom_server.core.revocation import Revocations
from strongroom_server.ports import AssertionVerifier, CredentialSource

#: What the principals of people begin with; programs consent to nothing.
PERSON: Final = "operator:"


@dataclass(frozen=True, slots=True)
class SecurityKeys:
    """Whose security keys are believed, and what for.

    Attributes:
        relying_party: The id that they sign for, a domain.
        origin: What their client data must name.
        credentials: Whose they are.
        verifier: Checks what they sign.
        revoked: Who is nobody: what they consented to before counts no more either.
    """

    relying_party: str
    origin: str
    credentials: CredentialSource
    verifier: AssertionVerifier
    revoked: Callable[[], Revocations] = Revocations

    def of(self, principal: str) -> tuple[OperatorCredential, ...]:
        """Return the security keys of a person."""
        return of_operator(self.credentials.current().values(), principal)


def verify_consent(
    keys: SecurityKeys | None, approval: Approval, assertion: Assertion, principal: str
) -> int:
    """Check that a person's security key signed an approval; return its counter.

    Raises:
        PermissionDeniedError: It is not the person's, or signed something else
            (APPROVAL_INVALID).
        PreconditionError: The server knows no security keys (SETTING_INVALID).
    """
    request = approval.request
    if keys is None:
        message = "this server knows no security keys, so nobody can approve here"
        raise PreconditionError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Set operators.credentials_file and operators.rp_id.",
        )
    known = keys.credentials.current()
    credential = known.get(credential_name(assertion.credential_id))
    if credential is None or credential.operator != principal:
        why = f"the security key is not one of {principal}"
        raise invalid(request.approval_id, why)
    return keys.verifier.verify(
        assertion, challenge=request.challenge, credential=credential
    )


def counted(keys: SecurityKeys | None, approval: Approval, *, store: str) -> Approval:
    """Return an approval with the consents that count, each person's once.

    A person is one however they are spelled: identity providers do not agree on
    whether `Alice` is `alice`.

    Args:
        keys: That are believed now.
        approval: As it is stored.
        store: The store's id; in an approval of another one nothing counts.
    """
    people: dict[str, Consented] = {}
    for consent in approval.consents:
        who = consent.principal
        try:
            verify_consent(keys, approval, consent.assertion, who)
        except (PermissionDeniedError, PreconditionError):
            continue  # Of a key that is not believed any more, or never was.
        if keys is not None and keys.revoked().name(who, ""):
            continue
        if who.startswith(PERSON) and not is_same(who, approval.request.requester):
            people.setdefault(who.casefold(), consent)
    if approval.request.store != store:
        people.clear()
    return replace(approval, consents=tuple(people.values()))
