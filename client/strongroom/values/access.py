# SPDX-License-Identifier: Apache-2.0
"""What is told about access: who may do what, and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """Roles for principals on resources; a segment `*` stands for any one."""

    id: str
    principal: str
    roles: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccessRemedy:
    """What a call lacks, other than rights.

    Attributes:
        login: Whether the person has to sign in anew, with two factors.
        max_age_s: How long ago they may have signed in at most, in seconds.
        approvals: How many others must approve exactly this request.
    """

    login: bool
    max_age_s: int
    approvals: int


@dataclass(frozen=True, slots=True)
class AccessExplanation:
    """Why a call would be allowed or denied.

    Attributes:
        allowed: Whether it would be allowed.
        principal: Who was asked about.
        action: The right.
        resource: The resource's name.
        policies: The ids of the policies that decide; none if no policy allows it.
        errors: What is wrong with policies; then nothing is allowed.
        assignments: Those that give the principal roles on the resource.
        allowing_roles: With one of these there, and no other, it would be allowed.
        digest: Of the policies and assignments in force; 64 hex digits.
        refusal: Why newer ones are not in force; "" if there are none.
        remedy: What would turn a denial into a permission; None if nothing would.
    """

    allowed: bool
    principal: str
    action: str
    resource: str
    policies: tuple[str, ...]
    errors: tuple[str, ...]
    assignments: tuple[RoleAssignment, ...]
    allowing_roles: tuple[str, ...]
    digest: str
    refusal: str
    remedy: AccessRemedy | None
