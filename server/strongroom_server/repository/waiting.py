# SPDX-License-Identifier: Apache-2.0
"""Waiting for what central answers, and not for ever."""

from typing import Final, TypeVar

from strongroom.errors import Reason, UnavailableError
from strongroom_server.ports import Pending

Answer = TypeVar("Answer")

#: Central may be busy, or look at S3; then it is not there.
ANSWER_TIMEOUT_S: Final = 60.0


def result_of(asked: Pending[Answer], timeout_s: float = ANSWER_TIMEOUT_S) -> Answer:
    """Return what central answers.

    Raises:
        StrongroomError: What it raised, or that it did not answer in time (TRANSPORT).
    """
    try:
        return asked.result(timeout_s)
    except TimeoutError as error:
        raise UnavailableError(
            f"central did not answer within {timeout_s:g} seconds",
            reason=Reason.TRANSPORT,
            hint="Try again once central answers.",
            seconds=f"{timeout_s:g}",
        ) from error
