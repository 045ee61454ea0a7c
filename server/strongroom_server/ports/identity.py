# SPDX-License-Identifier: Apache-2.0
"""The ports of identity and access: certificates, revocations, decisions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from strongroom_server.core.access import AccessAction, CallFacts, Decision, Explanation
from strongroom_server.core.revocation import Revocations


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A private key with its certificate chain."""

    private_key_pem: bytes
    chain_pem: bytes
    ca_pem: bytes
    not_after: datetime

    def __repr__(self) -> str:
        return f"IssuedCertificate(not_after={self.not_after.isoformat()})"


class CertificateIssuer(Protocol):
    """A certificate authority that issues the server's own certificate."""

    def issue(self) -> IssuedCertificate:
        """Issue a fresh key and certificate. Errors as for `KeyService`."""
        ...


class RevocationSource(Protocol):
    """Who is nobody from now on, kept current by somebody outside."""

    def current(self) -> Revocations:
        """Return the newest revocations that could be understood; quick."""
        ...

    def check_current(self) -> None:
        """Check that the newest revocations are those that are used.

        Raises:
            StrongroomError: They could not be understood, and why; those before
                them are in use.
        """
        ...


class Authorizer(Protocol):
    """Decides who may do what on what. Denied is the default.

    A question never fails: what cannot be decided is denied, and the decision says
    what went wrong.
    """

    def decide(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Decision:
        """Decide whether `principal`, a SPIFFE id, may do `action` on `resource`."""
        ...

    def explain(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Explanation:
        """Decide the same, and say why it is so.

        Raises:
            InvalidArgumentError: `action` is not about such a resource.
        """
        ...

    def roles_of(self, principal: str) -> tuple[str, ...]:
        """Return what a principal was given, as `role on resource`."""
        ...

    def check_current(self) -> None:
        """Raise if newer policies were refused, and older ones are in force.

        Raises:
            PreconditionError: Says why they were refused (SETTING_INVALID).
        """
        ...
