# SPDX-License-Identifier: Apache-2.0
"""Who is let in: nobody beyond the limits, and everybody again once calls end."""

import pytest

from strongroom.errors import ExhaustedError, Reason, UnavailableError
from strongroom_server.rpc.admission import Admission


def refusal(admission: Admission, principal: str) -> Reason:
    with pytest.raises((ExhaustedError, UnavailableError)) as caught:
        admission.enter(principal)
    return caught.value.reason


def test_each_principal_has_its_own_count() -> None:
    admission = Admission(5, 2)

    for principal in ("a", "a", "b", "b"):
        admission.enter(principal)

    assert refusal(admission, "a") is Reason.TOO_MANY_OWN_CALLS
    admission.enter("c")
    assert refusal(admission, "c") is Reason.TOO_MANY_CALLS
    admission.leave("a")
    assert refusal(admission, "b") is Reason.TOO_MANY_OWN_CALLS
    admission.enter("a")


def test_a_refused_call_counts_for_nobody() -> None:
    admission = Admission(2, 1)
    admission.enter("a")
    for _ in range(5):
        assert refusal(admission, "a") is Reason.TOO_MANY_OWN_CALLS

    admission.enter("b")
    admission.leave("a")

    admission.enter("a")


def test_without_a_limit_of_its_own_one_may_have_all() -> None:
    admission = Admission(3)

    for _ in range(3):
        admission.enter("a")

    assert refusal(admission, "a") is Reason.TOO_MANY_CALLS


def test_whoever_drains_lets_nobody_in() -> None:
    admission = Admission(3)
    admission.enter("a")

    admission.drain()

    assert refusal(admission, "a") is Reason.DRAINING
    admission.leave("a")
