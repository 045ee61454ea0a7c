# SPDX-License-Identifier: Apache-2.0
"""Approvals that calls name: looked at before the decision, used up by the call."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from strongroom.errors import PermissionDeniedError, Reason, StrongroomError
from strongroom_server.ports import ApprovalBook, Approved

APPROVAL: Final = "strongroom-approval"


class Approvals:
    """Between the guard and the book of approvals. Safe to use from many threads."""

    def __init__(self, book: ApprovalBook | None) -> None:
        self._book = book

    def check(
        self,
        metadata: Iterable[tuple[str, str | bytes]],
        *,
        method: str,
        request: bytes | None,
        requester: str,
    ) -> Approved | None:
        """Return the approval that a call names; None if it names none.

        Args:
            metadata: Of the call.
            method: Its full name.
            request: Its only request, as it came; None for a stream of them.
            requester: Who calls.

        Raises:
            PermissionDeniedError: It is not good for exactly this
                (APPROVAL_INVALID and others).
            UnavailableError: It cannot be looked at now.
        """
        named = [value for key, value in metadata if key == APPROVAL]
        if not named:
            return None
        (approval_id, *more) = named
        if more or not isinstance(approval_id, str):
            raise _invalid("the call names more than one approval")
        if request is None:
            raise _invalid("a stream of requests cannot be approved")
        if self._book is None:
            raise _invalid("this server keeps no approvals")
        return self._book.check(
            approval_id, method=method, request=request, requester=requester
        )

    @contextmanager
    def using(self, approved: Approved | None) -> Iterator[None]:
        """Use an approval up for what happens in the context, if that succeeds.

        Raises:
            PermissionDeniedError: Another call uses it, or did (APPROVAL_USED).
            UnavailableError: It cannot be noted that it is used.
        """
        if approved is None or self._book is None:
            yield
            return
        self._book.use(approved)
        try:
            yield
        except BaseException:
            # A use that nobody ends counts as broken off after some minutes.
            with suppress(StrongroomError):
                self._book.release(approved)
            raise
        self._book.finish(approved)


def _invalid(why: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"the approval does not hold here: {why}",
        reason=Reason.APPROVAL_INVALID,
        hint="`strongroom approvals run` sends what was approved.",
    )
