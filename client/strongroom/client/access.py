# SPDX-License-Identifier: Apache-2.0
"""`Access`: why calls are allowed or denied."""

from typing import TYPE_CHECKING

from strongroom import values
from strongroom._channel import methods
from strongroom.client.keys import Keys
from strongroom.format.names import parse_uri
from strongroom.v1 import access_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import AccessExplanation, AccessRemedy

#: What resource names begin with; anything else is written as elsewhere.
_RESOURCES = ("server", "projects")


class Access(Keys):
    """The part of `Client` that asks who may do what."""

    def explain_access(
        self, action: str, resource: str, *, principal: str = ""
    ) -> "AccessExplanation":
        """Say why a call would be allowed or denied, now and over this connection.

        Args:
            action: The right, such as `version.read`.
            resource: `server`, `projects`, a resource name, or
                `project/artifact@version`.
            principal: A SPIFFE id, or `operator:NAME`; the caller's own if empty.

        Raises:
            PermissionDeniedError: The caller may not ask (ACTION_NOT_ALLOWED).
            InvalidArgumentError: There is no such action, or it is not about such a
                resource (ARGUMENT_INVALID).
        """
        request = pb.ExplainAccessRequest(
            principal=principal, action=action, resource=_resource(resource)
        )
        answer = self._caller.unary(methods.EXPLAIN_ACCESS, request)
        return values.AccessExplanation(
            allowed=answer.allowed,
            principal=answer.principal,
            action=action,
            resource=request.resource,
            policies=tuple(answer.policies),
            errors=tuple(answer.errors),
            assignments=tuple(
                values.RoleAssignment(
                    item.id, item.principal, tuple(item.roles), tuple(item.resources)
                )
                for item in answer.assignments
            ),
            allowing_roles=tuple(answer.allowing_roles),
            digest=answer.digest,
            refusal=answer.refusal,
            remedy=_remedy(answer.remedy) if answer.HasField("remedy") else None,
        )


def _remedy(message: pb.AccessRemedy) -> "AccessRemedy":
    return values.AccessRemedy(message.login, message.max_age_s, message.approvals)


def _resource(text: str) -> str:
    if text.split("/", maxsplit=1)[0] in _RESOURCES:
        return text
    uri = parse_uri(text)
    return uri.artifact.resource if "@" not in text else uri.version.resource
