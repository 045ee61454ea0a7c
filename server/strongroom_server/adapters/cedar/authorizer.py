# SPDX-License-Identifier: Apache-2.0
"""Decisions by Cedar, over one set of policies and assignments that never changes."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache

import cedarpy

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.adapters.cedar.policies import (
    Policies,
    parse_policies,
    schema,
    schema_text,
)
from strongroom_server.core.access import (
    AccessAction,
    CallFacts,
    Decision,
    Explanation,
    ResourceType,
    resource_chain,
)
from strongroom_server.core.assignments import (
    Assignment,
    AssignmentIndex,
    told_roles,
)
from strongroom_server.core.operators import PREFIX, is_operator

#: Principals and resources whose place among roles and projects is remembered, and
#: questions whose answers are.
_REMEMBERED = 4096


class CedarAuthorizer:
    """An `Authorizer` over fixed policies. Safe to use from many threads."""

    def __init__(
        self, texts: Mapping[str, str], assignments: tuple[Assignment, ...]
    ) -> None:
        """Parse and check the policies.

        Args:
            texts: Policies, by the name of their file.
            assignments: Who has which role where.

        Raises:
            InvalidArgumentError: A policy is not good, or an assignment gives a
                role that no policy knows (SETTING_INVALID).
        """
        self._policies = parse_policies(texts)
        self._assignments = AssignmentIndex(assignments)
        self.digest = _digest(texts, assignments)
        _check_roles(self._policies, assignments)
        self._given = lru_cache(_REMEMBERED)(self._find_given)
        self._entities = lru_cache(_REMEMBERED)(_make_entities)
        # Cedar knows no clock and no chance: what it is asked is all that it decides
        # by, and nothing here ever changes. So an answer holds for the same question.
        self._decided = lru_cache(_REMEMBERED)(self._find_decision)
        self._told = lru_cache(_REMEMBERED)(self._find_roles)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that policies know."""
        return self._policies.roles

    def decide(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Decision:
        """Decide whether `principal` may do `action` on `resource`."""
        return self._decided(principal, action, resource, facts)

    def _find_decision(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Decision:
        given = self._given(principal, resource)
        roles = frozenset(role for item in given for role in item.roles)
        return self._decide(principal, roles, action, resource, facts, given)

    def explain(
        self, principal: str, action: AccessAction, resource: str, facts: CallFacts
    ) -> Explanation:
        """Decide, and say why it is so.

        Raises:
            InvalidArgumentError: The action is not about such a resource
                (ARGUMENT_INVALID).
        """
        _check_question(principal, action, resource, facts)
        return Explanation(
            decision=self.decide(principal, action, resource, facts),
            assignments=self._given(principal, resource),
            allowing_roles=tuple(
                role
                for role in self._policies.roles
                if self._decide(
                    principal, frozenset({role}), action, resource, facts, ()
                ).allowed
            ),
            digest=self.digest,
        )

    def roles_of(self, principal: str) -> tuple[str, ...]:
        """Return what a principal was given, as `role on resource`."""
        return self._told(principal)

    def check_current(self) -> None:
        """There is nothing newer."""

    def _find_roles(self, principal: str) -> tuple[str, ...]:
        return told_roles(self._assignments.of(principal))

    def _find_given(self, principal: str, resource: str) -> tuple[Assignment, ...]:
        return tuple(
            item for item in self._assignments.of(principal) if item.gives_on(resource)
        )

    def _decide(  # noqa: PLR0917
        self,
        principal: str,
        roles: frozenset[str],
        action: AccessAction,
        resource: str,
        facts: CallFacts,
        given: tuple[Assignment, ...],
    ) -> Decision:
        chain = resource_chain(resource)
        if not chain:
            return Decision(allowed=False)
        result = cedarpy.is_authorized(
            _request(principal, action, chain[0], facts),
            self._policies.handle,
            self._entities(principal, roles, resource),
        )
        names = self._policies.names
        errors = tuple(map(self._policies.told, result.diagnostics.errors))
        policies = tuple(sorted(names[item] for item in result.diagnostics.reasons))
        asked = frozenset[str]().union(
            *(self._policies.roles_of_policy[item] for item in policies)
        )
        through = (item.assignment_id for item in given if asked & {*item.roles})
        return Decision(
            # A policy that forbids and fails would be passed over by Cedar.
            allowed=result.allowed and not errors,
            policies=policies,
            assignments=tuple(through),
            errors=errors,
        )


def _request(
    principal: str, action: str, resource: tuple[str, str], facts: CallFacts
) -> dict[str, object]:
    return {
        "principal": _principal(principal),
        "action": {"type": "Action", "id": str(action)},
        "resource": {"type": str(resource[0]), "id": resource[1]},
        "context": {
            "tls_version": facts.tls_version,
            "key_exchange": facts.key_exchange,
            "hour_utc": facts.hour_utc,
            "mfa": facts.mfa,
            "auth_age_s": facts.auth_age_s,
            "approvals": facts.approvals,
            "workload": facts.workload,
            "lifts": facts.lifts,
            "lock_days": facts.lock_days,
        },
    }


def _principal(principal: str) -> dict[str, str]:
    """Return a principal as policies name it: a person by the bare name."""
    if is_operator(principal):
        return {"type": "Operator", "id": principal.removeprefix(PREFIX)}
    return {"type": "Workload", "id": principal}


def _make_entities(
    principal: str, roles: frozenset[str], resource: str
) -> cedarpy.Entities:
    """Make what Cedar has to know of a principal and a resource: what they are in."""
    uids = [{"type": str(kind), "id": name} for kind, name in resource_chain(resource)]
    entities = [
        {
            "uid": _principal(principal),
            "attrs": {},
            "parents": [{"type": "Role", "id": role} for role in sorted(roles)],
        }
    ]
    entities += [
        {"uid": uid, "attrs": _attributes(uid), "parents": uids[place + 1 : place + 2]}
        for place, uid in enumerate(uids)
    ]
    return cedarpy.Entities.from_json_str(json.dumps(entities))


def _attributes(uid: dict[str, str]) -> dict[str, str]:
    """Return what policies may ask of a resource: of a ref, what it is called."""
    if uid["type"] != ResourceType.REF:
        return {}
    return {"name": uid["id"].rpartition("/")[2]}


def _check_question(
    principal: str, action: AccessAction, resource: str, facts: CallFacts
) -> None:
    chain = resource_chain(resource)
    problem = f"{resource!r} is no resource name"
    if chain:
        result = cedarpy.is_authorized(
            _request(principal, action, chain[0], facts),
            "",
            cedarpy.Entities.from_json_str("[]"),
            schema(),
        )
        if not result.diagnostics.errors:
            return
        problem = f"{action} is not about a resource like {resource!r}"
    raise InvalidArgumentError(
        problem,
        hint="Resources are `server`, `projects`, and names such as "
        "projects/p/artifacts/a/versions/3.",
        action=action,
        resource=resource,
    )


def _check_roles(policies: Policies, assignments: tuple[Assignment, ...]) -> None:
    known = frozenset(policies.roles)
    for item in assignments:
        for role in item.roles:
            if role not in known:
                message = (
                    f"role assignments: {item.assignment_id} gives the role {role!r}, "
                    f"which no policy knows; there are: {', '.join(policies.roles)}"
                )
                raise InvalidArgumentError(
                    message,
                    reason=Reason.SETTING_INVALID,
                    hint="Mend the assignment, or add a policy for the role.",
                    role=role,
                )


def _digest(texts: Mapping[str, str], assignments: tuple[Assignment, ...]) -> str:
    parts = [schema_text(), *texts.values(), *map(repr, assignments)]
    lengths = (f"{len(part.encode())}:{part}" for part in parts)
    return hashlib.sha256("".join(lengths).encode()).hexdigest()
