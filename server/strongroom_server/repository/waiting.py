# SPDX-License-Identifier: Apache-2.0
"""Waiting for what central answers, and not for ever."""

from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from typing import Final, TypeVar

from strongroom.errors import CancelledError, Reason, UnavailableError

Answer = TypeVar("Answer")

#: Central may be busy, or look at S3; then it is not there.
ANSWER_TIMEOUT_S: Final = 60.0


def result_of(future: "Future[Answer]", timeout_s: float = ANSWER_TIMEOUT_S) -> Answer:
    """Return what central answers.

    Raises:
        StrongroomError: What it raised, or that it did not answer in time (TRANSPORT).
    """
    try:
        return future.result(timeout_s)
    except FutureCancelledError as error:
        message = "the write was given up"
        raise CancelledError(message) from error
    except TimeoutError as error:
        if future.done():
            raise  # It is what the future holds.
        raise UnavailableError(
            f"central did not answer within {timeout_s:g} seconds",
            reason=Reason.TRANSPORT,
            hint="Try again once central answers.",
            seconds=f"{timeout_s:g}",
        ) from error
