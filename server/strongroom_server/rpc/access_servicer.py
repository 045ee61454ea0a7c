# SPDX-License-Identifier: Apache-2.0
"""AccessService: why a call would be allowed or denied."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

import grpc

from strongroom.errors import InvalidArgumentError, PreconditionError
from strongroom.v1 import access_service_pb2 as pb
from strongroom.v1 import access_service_pb2_grpc
from strongroom_server.core.access import AccessAction, CallFacts
from strongroom_server.ports import Authorizer, Clock
from strongroom_server.rpc.call import current_call


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
        told = self._authorizer.explain(
            principal, _action(request.action), request.resource, self._facts(request)
        )
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
        )

    def _facts(self, request: pb.ExplainAccessRequest) -> CallFacts:
        if request.HasField("facts"):
            facts = request.facts
            return CallFacts(facts.tls_version, facts.key_exchange, facts.hour_utc)
        peer = current_call().peer
        return CallFacts(peer.tls_version, peer.key_exchange, self._clock.now().hour)

    def _refusal(self) -> str:
        try:
            self._authorizer.check_current()
        except PreconditionError as error:
            return error.message
        return ""


def _action(text: str) -> AccessAction:
    try:
        return AccessAction(text)
    except ValueError as error:
        message = f"{text!r} is no action"
        raise InvalidArgumentError(
            message, hint=f"There are: {', '.join(AccessAction)}.", action=text
        ) from error
