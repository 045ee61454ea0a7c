# SPDX-License-Identifier: Apache-2.0
"""Remedies: what would turn a denial into a permission, without more rights.

Policies may ask that somebody has just proved with two factors who they are, or that
others have approved. Who is denied for the lack of that only is told so; who has no
right at all learns nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from strongroom_server.core.access import CallFacts

#: More approvals than these never help.
MAX_APPROVALS: Final = 8
#: The ages of a login that are tried, in seconds; the highest good one is told.
_AGES_S: Final = (43_200, 3_600, 900, 300, 60)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a call lacks.

    Attributes:
        max_age_s: How long ago the caller may have signed in, with two factors; None
            if their login is good enough.
        approvals: By how many others the call must be approved; 0 if by nobody more.
    """

    max_age_s: int | None = None
    approvals: int = 0


def find_remedy(
    allows: Callable[[CallFacts], bool],
    facts: CallFacts,
    *,
    is_person: bool,
    approvable: bool,
) -> Remedy | None:
    """Return what would help a call that was denied; None if nothing would.

    Args:
        allows: Decides the same question with other facts.
        facts: Those of the call.
        is_person: Whether the caller could sign in again.
        approvable: Whether a call like this can be approved at all.
    """
    most = MAX_APPROVALS if approvable else facts.approvals
    login = replace(facts, mfa=True, auth_age_s=0) if is_person else facts
    if not allows(replace(login, approvals=most)):
        return None
    max_age_s: int | None = None
    if not allows(replace(facts, approvals=most)):
        ages = (
            age
            for age in _AGES_S
            if allows(replace(login, auth_age_s=age, approvals=most))
        )
        max_age_s = next(ages, 0)
        facts = login
    needed = (
        count
        for count in range(facts.approvals, most)
        if allows(replace(facts, approvals=count))
    )
    count = next(needed, most)
    return Remedy(max_age_s, count if count > facts.approvals else 0)
