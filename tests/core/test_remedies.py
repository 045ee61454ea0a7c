# SPDX-License-Identifier: Apache-2.0
"""What would turn a denial into a permission, and what would not."""

from collections.abc import Callable

import pytest

from strongroom_server.core.access import CallFacts
from strongroom_server.core.remedies import MAX_APPROVALS, Remedy, find_remedy

FACTS = CallFacts("TLSv1.3", "X25519MLKEM768", 12)
Allows = Callable[[CallFacts], bool]


def fresh(facts: CallFacts) -> bool:
    return facts.mfa and facts.auth_age_s <= 300


def two(facts: CallFacts) -> bool:
    return facts.approvals >= 2


@pytest.mark.parametrize(
    ("allows", "remedy"),
    [
        (lambda _: False, None),
        (fresh, Remedy(max_age_s=300)),
        (two, Remedy(approvals=2)),
        (lambda facts: fresh(facts) and two(facts), Remedy(300, 2)),
        (lambda facts: facts.mfa, Remedy(max_age_s=43_200)),
        (lambda facts: facts.mfa and facts.auth_age_s < 7, Remedy(max_age_s=0)),
        (lambda facts: facts.approvals >= MAX_APPROVALS, Remedy(approvals=8)),
        (lambda facts: facts.approvals > MAX_APPROVALS, None),
        (lambda facts: facts.tls_version == "TLSv1.2", None),
    ],
)
def test_the_least_that_helps_is_told(allows: Allows, remedy: Remedy | None) -> None:
    found = find_remedy(allows, FACTS, is_person=True, approvable=True)

    assert found == remedy


def test_a_program_cannot_sign_in() -> None:
    assert find_remedy(fresh, FACTS, is_person=False, approvable=True) is None
    assert find_remedy(two, FACTS, is_person=False, approvable=True) == Remedy(
        approvals=2
    )


def test_what_cannot_be_approved_is_helped_by_a_login_only() -> None:
    assert find_remedy(two, FACTS, is_person=True, approvable=False) is None
    assert find_remedy(fresh, FACTS, is_person=True, approvable=False) == Remedy(300)


def test_what_a_call_has_already_counts() -> None:
    signed_in = CallFacts("TLSv1.3", "", 12, mfa=True, auth_age_s=10, approvals=1)
    old = CallFacts("TLSv1.3", "", 12, mfa=True, auth_age_s=301, approvals=2)

    def both(facts: CallFacts) -> bool:
        return fresh(facts) and two(facts)

    for facts, remedy in ((signed_in, Remedy(approvals=2)), (old, Remedy(300))):
        found = find_remedy(both, facts, is_person=True, approvable=True)
        assert found == remedy
