# SPDX-License-Identifier: Apache-2.0
"""Approving: people agree to one exact request, and it succeeds once.

What was approved is proved by the approvers' own security keys, over bytes that name
the request, the requester, the store and the time; it is checked again right before
the request runs, against the credentials that are believed then.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from strongroom.errors import (
    ConflictError,
    ExhaustedError,
    NotFoundError,
    Reason,
    StrongroomError,
)
from strongroom_server.core.approval_log import (
    Approval,
    ApprovalState,
    Consented,
    Denied,
    Requested,
)
from strongroom_server.core.approval_rules import (
    check_open,
    check_other_person,
    check_usable,
)
from strongroom_server.core.approvals import (
    ID_RANDOM_BYTES,
    MAX_REASON_CHARS,
    ApprovalRequest,
    Assertion,
    check_same,
    check_wanted,
    invalid,
    unknown_approval,
)
from strongroom_server.core.operator_credentials import OperatorCredential
from strongroom_server.ports import ApprovalBook, Approved, Clock, Entropy
from strongroom_server.repository.approvals import ApprovalRecords
from strongroom_server.services.approving.consents import (
    PERSON,
    SecurityKeys,
    counted,
    verify_consent,
)
from strongroom_server.services.approving.uses import ATTEMPTS, Uses, contended

#: Approvals that a listing shows at most, and that one is made from.
MAX_LISTED: Final = 200
MAX_READ: Final = 1000
#: So many damaged ones are no accident; until they end, nobody asks for more.
MAX_DAMAGED: Final = 100
#: What a principal may have in all, for each that may wait.
ENDED_PER_PENDING: Final = 10
#: Ids that are tried for one approval: one in 65 536 of a second is taken.
_ID_ATTEMPTS: Final = 4
_ENDED: Final = frozenset(
    {ApprovalState.DENIED, ApprovalState.USED, ApprovalState.WITHDRAWN}
)
#: What asking for the same again is answered with.
_OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})
#: What the bucket may hold that is no approval, or none of this release.
_DAMAGED: Final = frozenset({Reason.RECORD_CORRUPT, Reason.FORMAT_UNSUPPORTED})


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    """The bounds of approvals.

    Attributes:
        expire_s: How long one is good for.
        max_pending: How many a principal may have that nobody decided yet.
        limit_s: How long a call of a method may take.
    """

    expire_s: int = 900
    max_pending: int = 10
    limit_s: Callable[[str], float] = lambda _: 60.0


@dataclass(frozen=True, slots=True)
class ApprovalListing:
    """The approvals whose time is not over, and the ids of those that are damaged."""

    approvals: tuple[Approval, ...]
    damaged: tuple[str, ...]


class Approving:
    """Keeps the book of approvals. Safe to use from many threads."""

    def __init__(
        self,
        records: ApprovalRecords,
        keys: SecurityKeys | None,
        settings: ApprovalSettings,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._records = records
        self.keys = keys
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._uses = Uses(records, self._load, settings.limit_s, clock)

    @property
    def alarms(self) -> Mapping[str, Callable[[], object]]:
        """What somebody has to see to, while the server goes on."""
        if self.keys is None:
            return {}
        return {"credentials": self.keys.credentials.check_current}

    def request(
        self,
        method: str,
        data: bytes,
        reason: str,
        *,
        requester: str,
        workload: str,
        core_of: Callable[[bytes], bytes] = bytes,
    ) -> Approval:
        """Ask for an approval.

        Who asks for the same again gets what they asked for before, as long as it can
        be approved or used: nobody is to approve one thing twice.

        Args:
            method: The full name of the gRPC method; the caller knows that it exists.
            data: The request's bytes.
            reason: Why.
            requester: The principal that asks, and may send it.
            workload: The SPIFFE id of the connection.
            core_of: What of a request's bytes makes it another request.

        Raises:
            InvalidArgumentError: The request is too long, or no reason is given.
            ExhaustedError: The principal waits for too many already.
        """
        check_wanted(method, data, reason)
        found, damaged = self._read_alive()
        for other in found:
            asked = (other.request.requester, other.request.method)
            if (
                asked == (requester, method)
                and other.request.reason == reason
                and self.state(other) in _OPEN
                and core_of(other.requested.data) == core_of(data)
            ):
                return other
        self._check_few(requester, found, damaged)
        now_s = self._now_s()
        expire_s = now_s + self._settings.expire_s
        for _ in range(_ID_ATTEMPTS):
            random = self._entropy.token_bytes(ID_RANDOM_BYTES)
            request = ApprovalRequest(
                approval_id=self._records.new_id(expire_s, random),
                store=self._records.store,
                method=method,
                request_sha256=hashlib.sha256(data).hexdigest(),
                requester=requester,
                reason=reason,
                create_s=now_s,
                expire_s=expire_s,
            )
            if self._records.create(Requested(request, data, workload)):
                return self.get(request.approval_id)
        message = "every id that was tried for the approval is taken"
        raise ConflictError(message, reason=Reason.TARGET_EXISTS, hint="Try again.")

    def get(self, approval_id: str) -> Approval:
        """Return an approval, with the consents that count.

        Raises:
            NotFoundError: There is none (APPROVAL_NOT_FOUND).
            IntegrityError: It is damaged (RECORD_CORRUPT).
        """
        approval = self._records.load(approval_id)
        if approval is None:
            raise unknown()
        return self._counted(approval)

    def alive(
        self, *, shown: Callable[[Approval], bool] = lambda _: True
    ) -> ApprovalListing:
        """Return the approvals whose time is not over, and that may be shown.

        Those that can still be used come first; each the first to end first.

        Args:
            shown: Whether the caller may see one.

        Raises:
            ExhaustedError: There is more in the bucket than anybody looks through.
        """
        found, damaged = self._read_alive()
        found = [approval for approval in found if shown(approval)]
        found.sort(key=lambda approval: self.state(approval) in _ENDED)
        return ApprovalListing(tuple(found[:MAX_LISTED]), tuple(damaged[:MAX_LISTED]))

    def _read_alive(self) -> tuple[list[Approval], list[str]]:
        found: list[Approval] = []
        damaged: list[str] = []
        for approval_id in islice(self._records.alive(self._now_s()), MAX_READ):
            try:
                approval = self._records.load(approval_id)
            except StrongroomError as error:
                if error.reason not in _DAMAGED:
                    raise
                # Whoever may write to the bucket can plant one; the others count.
                damaged.append(approval_id)
                continue
            if approval is not None:
                found.append(self._counted(approval))
        return found, damaged

    def state(self, approval: Approval) -> ApprovalState:
        """Return what an approval is good for now."""
        return approval.state(self._now_s())

    def credentials_of(self, principal: str) -> tuple[OperatorCredential, ...]:
        """Return the security keys of a person that are believed now."""
        return self.keys.of(principal) if self.keys is not None else ()

    def approve(
        self,
        approval_id: str,
        assertion: Assertion,
        *,
        principal: str,
        workload: str,
        audit_id: str,
    ) -> Approval:
        """Note a person's consent.

        Raises:
            PermissionDeniedError: The caller is no person, asked for it, has
                approved it, or the security key's answer is not good for this
                (APPROVAL_INVALID); or it can be decided no more (APPROVAL_DENIED,
                APPROVAL_EXPIRED, APPROVAL_USED).
            PreconditionError: The server knows no security keys (SETTING_INVALID).
            NotFoundError: There is no such approval.
        """
        for _ in range(ATTEMPTS):
            approval = self.get(approval_id)
            check_open(approval, self._now_s())
            if not principal.startswith(PERSON):
                raise invalid(approval_id, f"{principal} is a program, and no person")
            check_other_person(approval, principal, workload)
            counter = verify_consent(self.keys, approval, assertion, principal)
            event = Consented(principal, assertion, counter, self._now_s(), audit_id)
            if self._records.append(approval, event):
                return self.get(approval_id)
        raise contended(approval_id)

    def deny(
        self, approval_id: str, reason: str, *, principal: str, audit_id: str
    ) -> Approval:
        """Note that somebody denies it.

        Raises:
            PermissionDeniedError: It can be decided no more.
            NotFoundError: There is no such approval.
        """
        for _ in range(ATTEMPTS):
            approval = self.get(approval_id)
            check_open(approval, self._now_s())
            short = reason[:MAX_REASON_CHARS]
            event = Denied(principal, short, self._now_s(), audit_id)
            if self._records.append(approval, event):
                return self.get(approval_id)
        raise contended(approval_id)

    def withdraw(
        self, approval_id: str, reason: str, *, principal: str, audit_id: str
    ) -> Approval:
        """Note that who asked for it takes it back.

        Raises:
            NotFoundError: There is none of theirs (APPROVAL_NOT_FOUND).
            PermissionDeniedError: It can be decided no more, as for `deny`.
        """
        if self.get(approval_id).request.requester != principal:
            raise unknown()
        return self.deny(approval_id, reason, principal=principal, audit_id=audit_id)

    def check(
        self, approval_id: str, *, method: str, request: bytes, requester: str
    ) -> Approved:
        """See `ApprovalBook`."""
        approval = self._load(approval_id)
        check_same(
            approval.request,
            store=self._records.store,
            method=method,
            data=request,
            requester=requester,
        )
        check_usable(approval, self._now_s())
        approvers = tuple(consent.principal for consent in approval.consents)
        return Approved(approval_id, approvers)

    def use(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        self._uses.begin(approved)

    def finish(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        self._uses.finish(approved)

    def release(self, approved: Approved) -> None:
        """See `ApprovalBook`."""
        self._uses.release(approved)

    def _load(self, approval_id: str) -> Approval:
        approval = self._records.load(approval_id)
        if approval is None:
            raise unknown_approval(approval_id)
        return self._counted(approval)

    def _counted(self, approval: Approval) -> Approval:
        return counted(self.keys, approval, store=self._records.store)

    def _check_few(
        self, requester: str, found: Sequence[Approval], damaged: Sequence[str]
    ) -> None:
        own = [
            self.state(approval)
            for approval in found
            if approval.request.requester == requester
        ]
        waiting, most = own.count(ApprovalState.PENDING), self._settings.max_pending
        if len(found) + len(damaged) >= MAX_READ or len(damaged) >= MAX_DAMAGED:
            # What is not read, or cannot be, may be the requester's own.
            message = (
                f"the store has {len(found)} approvals whose time is not over, and "
                f"{len(damaged)} that are damaged"
            )
            raise ExhaustedError(
                message,
                hint="Wait until they end; if they are damaged, somebody else writes "
                "to the bucket.",
            )
        if waiting >= most or len(own) >= most * ENDED_PER_PENDING:
            message = (
                f"{requester} has asked for {len(own)} approvals and waits for "
                f"{waiting}, as many as one may"
            )
            raise ExhaustedError(
                message,
                hint="Take some back: strongroom approvals withdraw ID",
                requester=requester,
                max_pending=most,
            )

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def unknown() -> NotFoundError:
    """Return what is said of an approval that is not there, or not the caller's."""
    return NotFoundError(
        "there is no such approval",
        reason=Reason.APPROVAL_NOT_FOUND,
        hint="See: strongroom approvals ls",
    )


_book: type[ApprovalBook] = Approving
