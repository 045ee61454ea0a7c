# SPDX-License-Identifier: Apache-2.0
"""Uses of approvals: what was approved begins once, whatever servers' clocks say."""

import math
import threading
from collections.abc import Callable
from typing import Final

from strongroom.errors import ConflictError, Reason
from strongroom_server.core.approval_log import Approval, Finished, Released, Used
from strongroom_server.core.approval_rules import check_lapsed, check_usable
from strongroom_server.core.approvals import invalid, used_elsewhere
from strongroom_server.ports import Approved, Clock
from strongroom_server.repository.approvals import ApprovalRecords

#: Tries of a change that other servers' changes came before.
ATTEMPTS: Final = 8
#: Uses that this server knows to be its own.
_MAX_OWN_USES: Final = 1000
#: What a call may take beyond its limit of time until a use counts as broken off.
_LAPSE_MARGIN_S: Final = 30.0


class Uses:
    """Begins and ends uses. Safe to use from many threads.

    Args:
        records: Where approvals lie.
        load: Returns one with the consents that count.
        limit_s: How long a call of a method may take.
        clock: This server's.
    """

    def __init__(
        self,
        records: ApprovalRecords,
        load: Callable[[str], Approval],
        limit_s: Callable[[str], float],
        clock: Clock,
    ) -> None:
        self._records = records
        self._load = load
        self._limit_s = limit_s
        self._clock = clock
        self._lock = threading.Lock()
        #: The record of the use that this server began, by approval.
        self._own: dict[str, int] = {}

    def begin(self, approved: Approved) -> None:
        """See `ApprovalBook.use`.

        A use before this one has to be over by this server's clock and, asked only
        then, by the store's: servers' own may differ by more than the margin.
        """
        name = approved.approval_id
        for _ in range(ATTEMPTS):
            approval = self._load(name)
            now_s = self._now_s()
            check_usable(approval, now_s)
            if approval.used is not None:
                check_lapsed(approval, self._records.store_time_s())
            people = {item.principal for item in approval.consents}
            if not people.issuperset(approved.approvers):
                raise invalid(name, "who approved it does not count any more")
            until_s = now_s + self._lapse_s(approval)
            if self._records.append(approval, Used(now_s, until_s)):
                with self._lock:
                    self._own[name] = approval.record_count
                    while len(self._own) > _MAX_OWN_USES:
                        del self._own[next(iter(self._own))]
                return
        raise contended(name)

    def finish(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        name, own = approved.approval_id, self._forget(approved)
        for _ in range(ATTEMPTS):
            approval = self._load(name)
            done = approval.finished is not None
            # It happened, whoever uses it by now: nobody is to begin once more.
            if not done and not self._records.append(approval, Finished(self._now_s())):
                continue
            if done or approval.used_number != own:
                raise used_elsewhere(name)
            return
        raise contended(name)

    def release(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        name, own = approved.approval_id, self._forget(approved)
        for _ in range(ATTEMPTS):
            approval = self._load(name)
            # Of a use that lapsed, somebody else's may be running by now.
            if approval.finished is not None or approval.used_number != own:
                return
            if self._records.append(approval, Released(self._now_s())):
                return
        raise contended(name)

    def _forget(self, approved: Approved) -> int | None:
        """Return the record of the use that this server began, and forget it."""
        with self._lock:
            return self._own.pop(approved.approval_id, None)

    def _lapse_s(self, approval: Approval) -> int:
        limit_s = self._limit_s(approval.request.method)
        return math.ceil(limit_s + _LAPSE_MARGIN_S)

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def contended(approval_id: str) -> ConflictError:
    """Return what is said where others' changes came first at every try."""
    message = f"others changed approval {approval_id} at every try"
    return ConflictError(
        message,
        reason=Reason.JOURNAL_CONTENDED,
        hint="Try again.",
        approval=approval_id,
    )
