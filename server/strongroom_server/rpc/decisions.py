# SPDX-License-Identifier: Apache-2.0
"""The guard's questions about access: with the facts of a call, and what it lacks."""

from collections.abc import Iterable
from dataclasses import replace

from strongroom.errors import PermissionDeniedError
from strongroom_server.core.access import AccessAction, CallFacts, Decision
from strongroom_server.core.operators import is_operator
from strongroom_server.core.remedies import MAX_APPROVALS, find_remedy
from strongroom_server.ports import Authorizer, Clock
from strongroom_server.rpc import failures
from strongroom_server.rpc.approvable import Approvable
from strongroom_server.rpc.call import Call
from strongroom_server.rpc.methods import Method
from strongroom_server.rpc.request_facts import request_facts
from strongroom_server.rpc.targets import Target


class Decisions:
    """Asks the authorizer. Safe to use from many threads."""

    def __init__(self, authorizer: Authorizer, clock: Clock) -> None:
        self._authorizer = authorizer
        self._clock = clock

    def ask(self, call: Call, action: AccessAction, resource: str) -> Decision:
        """Decide whether the caller may do `action` on `resource`, in this call."""
        principal = call.peer.principal
        return self._authorizer.decide(principal, action, resource, self._facts(call))

    def require(
        self, call: Call, method: Method, targets: Iterable[Target], *, approvable: bool
    ) -> None:
        """Check that a call may happen, on all that it is about.

        Args:
            call: Gets the decision, the one that denied or the last one.
            method: What is called.
            targets: What it is about.
            approvable: Whether calls of the method can be approved.

        Raises:
            PermissionDeniedError: It may not: for lack of a fresh login
                (STEP_UP_REQUIRED), of approvals (APPROVAL_REQUIRED), or of any right
                (ACTION_NOT_ALLOWED).
        """
        for target in targets:
            call.decision = self.ask(call, method.action, target.resource)
            if not call.decision.allowed:
                raise self._refusal(call, method, target, approvable=approvable)

    def foresee(self, call: Call, method: Method, targets: Iterable[Target]) -> None:
        """Check that a call may happen if enough others approved it.

        Raises:
            PermissionDeniedError: It may not even then (ACTION_NOT_ALLOWED), or not
                without a fresh login (STEP_UP_REQUIRED).
        """
        facts = replace(self._facts(call), approvals=MAX_APPROVALS)
        for target in targets:
            decision = self._authorizer.decide(
                call.peer.principal, method.action, target.resource, facts
            )
            if not decision.allowed:
                call.decision = decision
                raise self._refusal(call, method, target, approvable=True)

    def might(self, call: Call, action: AccessAction, resource: str) -> bool:
        """Tell whether the caller may, or lacks only a fresh login and approvals."""
        facts = replace(
            self._facts(call),
            mfa=call.peer.operator is not None,
            auth_age_s=0,
            approvals=MAX_APPROVALS,
        )
        return self._authorizer.decide(
            call.peer.principal, action, resource, facts
        ).allowed

    def needed(
        self, call: Call, requester: str, workload: str, wanted: Approvable
    ) -> int | None:
        """Return how many people have to approve something, by the policies of now.

        Args:
            call: Somebody's who looks; the connection's facts are taken to be alike.
            requester: Who would do it, having just signed in.
            workload: The SPIFFE id of the requester's connection.
            wanted: What they would do.

        Returns:
            None if no number helps.
        """
        own = request_facts(wanted.request, self._clock.now())
        facts = replace(
            own.add_to(self._facts(call)),
            mfa=is_operator(requester),
            auth_age_s=0,
            workload=workload,
        )
        for count in range(MAX_APPROVALS + 1):
            enough = replace(facts, approvals=count)
            if all(
                self._authorizer.decide(
                    requester, wanted.method.action, target.resource, enough
                ).allowed
                for target in wanted.targets
            ):
                return count
        return None

    def _facts(self, call: Call) -> CallFacts:
        peer = call.peer
        others = {*call.approved.approvers} - {peer.principal} if call.approved else ()
        facts = CallFacts(
            tls_version=peer.tls_version,
            key_exchange=peer.key_exchange,
            hour_utc=self._clock.now().hour,
            mfa=peer.operator is not None and peer.operator.mfa,
            auth_age_s=peer.auth_age_s,
            approvals=len(others),
            workload=peer.workload,
        )
        return call.asked.add_to(facts)

    def _refusal(
        self, call: Call, method: Method, target: Target, *, approvable: bool
    ) -> PermissionDeniedError:
        action, resource = method.action, target.resource
        principal = call.peer.principal

        def allows(facts: CallFacts) -> bool:
            decide = self._authorizer.decide
            return decide(principal, action, resource, facts).allowed

        remedy = find_remedy(
            allows,
            self._facts(call),
            is_person=call.peer.operator is not None,
            approvable=approvable,
        )
        if remedy is not None and remedy.max_age_s is not None:
            return failures.step_up(action, resource, remedy.max_age_s)
        if remedy is not None and remedy.approvals:
            return failures.approval_required(
                method.name, action, resource, remedy.approvals
            )
        return failures.denied(action, resource, principal)
