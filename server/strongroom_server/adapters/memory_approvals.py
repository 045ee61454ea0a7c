# SPDX-License-Identifier: Apache-2.0
"""A book of approvals in memory, for tests of what asks it."""

import hashlib
import threading
from dataclasses import dataclass
from typing import Final

from strongroom.errors import PermissionDeniedError, Reason
from strongroom_server.core.approvals import invalid, unknown_approval
from strongroom_server.ports import ApprovalBook, Approved, Clock

EXPIRE_S: Final = 900.0
LAPSE_S: Final = 90.0


@dataclass(slots=True)
class _Entry:
    method: str
    digest: bytes
    requester: str
    approvers: tuple[str, ...]
    expire_s: float
    used_s: float | None = None
    finished: bool = False
    denied: bool = False


class MemoryApprovalBook:
    """Holds what tests put in; safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def approve(
        self,
        approval_id: str,
        *,
        method: str,
        request: bytes,
        requester: str,
        approvers: tuple[str, ...],
    ) -> None:
        """Put an approval in; without approvers, one that waits for them."""
        self._entries[approval_id] = _Entry(
            method,
            hashlib.sha256(request).digest(),
            requester,
            approvers,
            self._clock.monotonic() + EXPIRE_S,
        )

    def deny(self, approval_id: str) -> None:
        """Deny an approval."""
        self._entries[approval_id].denied = True

    def check(
        self, approval_id: str, *, method: str, request: bytes, requester: str
    ) -> Approved:
        """See `ApprovalBook`."""
        entry = self._entries.get(approval_id)
        if entry is None or entry.requester != requester:
            raise unknown_approval(approval_id)
        if entry.method != method:
            raise invalid(approval_id, "it is of another method")
        if entry.digest != hashlib.sha256(request).digest():
            raise invalid(approval_id, "it is of a request with other bytes")
        self._check_usable(approval_id, entry)
        return Approved(approval_id, entry.approvers)

    def use(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        with self._lock:
            entry = self._entries[approved.approval_id]
            self._check_usable(approved.approval_id, entry)
            entry.used_s = self._clock.monotonic()

    def finish(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        self._entries[approved.approval_id].finished = True

    def release(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        self._entries[approved.approval_id].used_s = None

    def _check_usable(self, name: str, entry: _Entry) -> None:
        now_s = self._clock.monotonic()
        in_use = entry.used_s is not None and now_s < entry.used_s + LAPSE_S
        for wrong, reason in (
            (entry.finished, Reason.APPROVAL_USED),
            (entry.denied, Reason.APPROVAL_DENIED),
            (now_s >= entry.expire_s, Reason.APPROVAL_EXPIRED),
            (in_use, Reason.APPROVAL_USED),
            (not entry.approvers, Reason.APPROVAL_REQUIRED),
        ):
            if wrong:
                message = f"approval {name} cannot be used"
                raise PermissionDeniedError(message, reason=reason, approval=name)


_book: type[ApprovalBook] = MemoryApprovalBook
