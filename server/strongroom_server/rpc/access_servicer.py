# SPDX-License-Identifier: Apache-2.0
"""AccessService: why a call would be allowed or denied."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from functools import cache

import grpc
from google.protobuf import descriptor_pool

from strongroom.errors import InvalidArgumentError, PreconditionError
from strongroom.v1 import access_service_pb2 as pb
from strongroom.v1 import access_service_pb2_grpc
from strongroom_server.core.access import AccessAction, CallFacts, Decision
from strongroom_server.core.operators import is_operator
from strongroom_server.core.remedies import find_remedy
from strongroom_server.ports import Authorizer, Clock
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.methods import METHODS


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Answers from the authorizer that the guard asks, too."""

    def __init__(self, authorizer: Authorizer, *, clock: Clock) -> None:
        self._authorizer = authorizer
        self._clock = clock

    def ExplainAccess(
        self, request: pb.ExplainAccessRequest, context: grpc.ServicerContext
    ) -> pb.ExplainAccessResponse:
        """Decide a question as a call would be decided, and say why."""
        principal = request.principal or current_call().peer.principal
        facts = self._facts(request, principal)
        action = _action(request.action)
        told = self._authorizer.explain(principal, action, request.resource, facts)
        return pb.ExplainAccessResponse(
            allowed=told.decision.allowed,
            policies=told.decision.policies,
            errors=told.decision.errors,
            assignments=[
                pb.RoleAssignment(
                    id=item.assignment_id,
                    principal=item.principal,
                    roles=item.roles,
                    resources=item.resources,
                )
                for item in told.assignments
            ],
            allowing_roles=told.allowing_roles,
            digest=told.digest,
            principal=principal,
            refusal=self._refusal(),
            remedy=self._remedy(request, action, principal, facts, told.decision),
        )

    def _facts(self, request: pb.ExplainAccessRequest, principal: str) -> CallFacts:
        program = "" if is_operator(principal) else principal
        if request.HasField("facts"):
            facts = request.facts
            return CallFacts(
                facts.tls_version,
                facts.key_exchange,
                facts.hour_utc,
                mfa=facts.mfa,
                auth_age_s=facts.auth_age_s,
                approvals=facts.approvals,
                workload=facts.workload or program,
            )
        peer = current_call().peer
        own = peer.operator if principal == peer.principal else None
        return CallFacts(
            peer.tls_version,
            peer.key_exchange,
            self._clock.now().hour,
            mfa=own is not None and own.mfa,
            auth_age_s=peer.auth_age_s if own else 0,
            workload=program or peer.workload,
        )

    def _remedy(
        self,
        request: pb.ExplainAccessRequest,
        action: AccessAction,
        principal: str,
        facts: CallFacts,
        decision: Decision,
    ) -> pb.AccessRemedy | None:
        """Say what would help, if something would."""
        if decision.allowed:
            return None

        def allows(other: CallFacts) -> bool:
            decide = self._authorizer.decide
            return decide(principal, action, request.resource, other).allowed

        remedy = find_remedy(
            allows,
            facts,
            is_person=is_operator(principal),
            approvable=action in _approvable(),
        )
        if remedy is None:
            return None
        return pb.AccessRemedy(
            login=remedy.max_age_s is not None,
            max_age_s=remedy.max_age_s or 0,
            approvals=remedy.approvals,
        )

    def _refusal(self) -> str:
        try:
            self._authorizer.check_current()
        except PreconditionError as error:
            return error.message
        return ""


@cache
def _approvable() -> frozenset[AccessAction]:
    """Return the actions of calls with one request: others are approved by nobody."""
    pool = descriptor_pool.Default()
    return frozenset(
        method.action
        for name, method in METHODS.items()
        if not pool.FindMethodByName(name.strip("/").replace("/", ".")).client_streaming
    )


def _action(text: str) -> AccessAction:
    try:
        return AccessAction(text)
    except ValueError as error:
        message = f"{text!r} is no action"
        raise InvalidArgumentError(
            message, hint=f"There are: {', '.join(AccessAction)}.", action=text
        ) from error
