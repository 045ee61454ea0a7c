# SPDX-License-Identifier: Apache-2.0
"""Who is let in: nobody beyond the limits, and everybody again once calls end."""

from contextlib import ExitStack

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


def test_a_person_counts_beside_the_program_and_once_in_all() -> None:
    admission = Admission(2, 1)

    with admission.inside("desk"), admission.counting("alice"):
        assert refusal(admission, "desk") is Reason.TOO_MANY_OWN_CALLS
        again = admission.counting("alice")
        with admission.inside("bastion"), pytest.raises(ExhaustedError) as caught:
            again.__enter__()
        assert caught.value.reason is Reason.TOO_MANY_OWN_CALLS
        with admission.inside("bastion"), admission.counting("bob"):
            assert refusal(admission, "c") is Reason.TOO_MANY_CALLS

    with admission.inside("desk"), admission.counting("alice"):
        admission.enter("bastion")


def test_who_fails_inside_is_let_out() -> None:
    admission = Admission(1, 1)

    def fail_inside() -> None:
        with admission.inside("desk"), admission.counting("alice"):
            message = "within"
            raise ValueError(message)

    for _ in range(2):
        with pytest.raises(ValueError, match="within"):
            fail_inside()


def test_who_waits_for_news_leaves_room_for_others_and_hears_which_limit_it_is() -> (
    None
):
    admission = Admission(1, max_watches=4)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.inside("a", watches=True))
        with pytest.raises(ExhaustedError) as caught:
            stack.enter_context(admission.inside("a", watches=True))
        assert "listen.max_watches" in caught.value.hint
        for _ in range(2):
            stack.enter_context(admission.inside("b", watches=True))
        with pytest.raises(ExhaustedError, match="4 calls wait"):
            stack.enter_context(admission.inside("c", watches=True))

    with admission.inside("a", watches=True):
        admission.enter("a")
