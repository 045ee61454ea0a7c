# SPDX-License-Identifier: Apache-2.0
"""Approvals that calls name: looked at before the decision, used up by the call."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Self

from strongroom.errors import (
    IntegrityError,
    PermissionDeniedError,
    Reason,
    StrongroomError,
)
from strongroom_server.core.approvals import unknown_approval
from strongroom_server.ports import ApprovalBook, Approved
from strongroom_server.rpc.approvable import read_approvable

APPROVAL: Final = "strongroom-approval"


class Use:
    """One use of an approval by one call, or of none, while the context lasts.

    It can be used again only if the call failed by an error of ours before any of its
    answer was handed out. What breaks off in another way before that leaves the use to
    lapse, for nobody knows what was done.

    Attributes:
        is_answered: Whether some of the answer was handed out. From then on the
            approval is used up, however the call ends: who asked has what it was for,
            or as much of it as they wanted to take.
    """

    __slots__ = ("_approved", "_book", "is_answered")

    def __init__(self, book: ApprovalBook | None, approved: Approved | None) -> None:
        self.is_answered = False
        self._book = book
        self._approved = approved

    def __enter__(self) -> Self:
        """Use it.

        Raises:
            PermissionDeniedError: Another call uses it, or did (APPROVAL_USED).
            UnavailableError: It cannot be noted that it is used.
        """
        if self._approved is not None and self._book is not None:
            self._book.use(self._approved)
        return self

    def answer(self) -> None:
        """Note that something is about to be handed out."""
        self.is_answered = True

    def __exit__(self, _kind: object, error: BaseException | None, _at: object) -> None:
        """Use it up, or give it back."""
        book, approved = self._book, self._approved
        if book is None or approved is None:
            return
        if error is None:
            book.finish(approved)
            return
        # A use that nobody ends counts as broken off after some minutes.
        with suppress(StrongroomError):
            if self.is_answered:
                book.finish(approved)
            elif isinstance(error, StrongroomError):
                book.release(approved)


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
        before: Callable[[], None],
    ) -> Approved | None:
        """Return the approval that a call names; None if it names none.

        Args:
            metadata: Of the call.
            method: Its full name.
            request: Its only request, as it came; None for a stream of them.
            requester: Who calls.
            before: Called before the book is asked; raises if no approval would help,
                so that the bucket is read for nobody without any right.

        Raises:
            PermissionDeniedError: It is not good for exactly this
                (APPROVAL_INVALID and others).
            InvalidArgumentError: Such a request cannot be approved.
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
        before()
        try:
            approved = self._book.check(
                approval_id, method=method, request=request, requester=requester
            )
        except IntegrityError as error:
            # Whose a damaged one was cannot be told; to others there is none.
            raise unknown_approval(approval_id) from error
        # A server of another release may have let it be asked for.
        read_approvable(method, request)
        return approved

    def using(self, approved: Approved | None) -> Use:
        """Use an approval up for what happens in the context, unless that fails."""
        return Use(self._book, approved)


def _invalid(why: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"the approval does not hold here: {why}",
        reason=Reason.APPROVAL_INVALID,
        hint="`strongroom approvals run` sends what was approved.",
    )
