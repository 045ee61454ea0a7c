# SPDX-License-Identifier: Apache-2.0
"""The access policy: who may do what on what, decided by one pure function.

Deny by default. A binding gives roles to the principals that match a pattern, on
the resources that match a pattern; there are no deny rules, so no order matters.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason

#: The resource of calls about the server itself.
SERVER: Final = "server"
#: The resource of calls about all projects.
PROJECTS: Final = "projects"
#: `Decision.policy_id` if no binding allowed.
DEFAULT: Final = "default"
#: One segment of a principal or, as the last one of a resource, all that follows.
WILDCARD: Final = "*"

_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_PRINCIPAL: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(?:/(?:[A-Za-z0-9._-]+|\*))+\Z"
)
_RESOURCE: Final = re.compile(r"(?:server|projects(?:/(?:[^/*\s]+|\*))*)\Z")
_SECTIONS: Final = frozenset({"roles", "bindings"})
_BINDING_KEYS: Final = frozenset({"id", "principal", "roles", "resources"})


class AccessAction(StrEnum):
    """What a caller may be allowed to do; every RPC has exactly one."""

    ARTIFACT_LIST = "artifact.list"
    ARTIFACT_GET = "artifact.get"
    VERSION_LIST = "version.list"
    VERSION_READ = "version.read"
    VERSION_WRITE = "version.write"
    VERSION_VERIFY = "version.verify"
    VERSION_DIFF = "version.diff"
    VERSION_DELETE = "version.delete"
    VERSION_UNDELETE = "version.undelete"
    VERSION_REPAIR = "version.repair"
    REF_LIST = "ref.list"
    REF_MOVE = "ref.move"
    HOLD_SET = "hold.set"
    POLICY_SET = "policy.set"
    RETENTION_EXPLAIN = "retention.explain"
    JOURNAL_READ = "journal.read"
    PROJECT_CREATE = "project.create"
    PROJECT_LIST = "project.list"
    STORE_CHECK = "store.check"
    STORE_VERIFY = "store.verify"
    SWEEP_PLAN = "sweep.plan"
    SWEEP_APPLY = "sweep.apply"
    INDEX_REBUILD = "index.rebuild"
    SERVER_INFO = "server.info"


@dataclass(frozen=True, slots=True)
class Binding:
    """Roles for principals on resources.

    Attributes:
        binding_id: Names it in audit entries.
        principal: A SPIFFE id; a segment `*` stands for any one segment.
        roles: Names of roles.
        resources: Resource names; a segment `*` stands for any one segment, and
            as the last one for the name before it and everything below.
    """

    binding_id: str
    principal: str
    roles: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Roles by name, and who has them where."""

    roles: Mapping[str, frozenset[AccessAction]]
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not, and which binding said so (`default` if none did)."""

    allowed: bool
    policy_id: str


def decide(
    policy: Policy, principal: str, action: AccessAction, resource: str
) -> Decision:
    """Decide whether `principal` may do `action` on `resource`.

    The first binding that allows is named; since nothing denies, another order
    of bindings gives the same answer.
    """
    for binding in policy.bindings:
        if (
            any(action in policy.roles[role] for role in binding.roles)
            and _principal_matches(binding.principal, principal)
            and any(_resource_matches(item, resource) for item in binding.resources)
        ):
            return Decision(allowed=True, policy_id=binding.binding_id)
    return Decision(allowed=False, policy_id=DEFAULT)


def roles_of(policy: Policy, principal: str) -> tuple[str, ...]:
    """Return what a principal was given, as `role on resource`, without doubles."""
    given = (
        f"{role} on {resource}"
        for binding in policy.bindings
        if _principal_matches(binding.principal, principal)
        for role in binding.roles
        for resource in binding.resources
    )
    return tuple(dict.fromkeys(given))


def parse_policy(document: Mapping[str, object]) -> Policy:
    """Read a decoded policy file.

    Args:
        document: `roles`, a table of role names with lists of actions (`*` is
            every action), and `bindings`, a list of tables with `principal`,
            `roles`, `resources` and optionally `id`.

    Raises:
        InvalidArgumentError: A key, action, role or pattern is unknown or
            malformed, or an id occurs twice (SETTING_INVALID).
    """
    _check_keys(document, _SECTIONS, "the policy")
    roles_table = document.get("roles", {})
    if not isinstance(roles_table, Mapping):
        raise _invalid("roles is not a table")
    roles = {
        _parse_role_name(name): frozenset(_parse_actions(name, actions))
        for name, actions in roles_table.items()
    }
    items = document.get("bindings", [])
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise _invalid("bindings is not a list of tables")
    bindings = tuple(
        _parse_binding(f"binding-{number}", item, roles)
        for number, item in enumerate(items, start=1)
    )
    ids = [binding.binding_id for binding in bindings]
    for binding_id in ids:
        if ids.count(binding_id) > 1:
            message = f"two bindings have the id {binding_id!r}"
            raise _invalid(message)
    return Policy(roles=roles, bindings=bindings)


def _principal_matches(pattern: str, principal: str) -> bool:
    wanted = pattern.split("/")
    given = principal.split("/")
    return len(wanted) == len(given) and all(
        want == have or (want == WILDCARD and have != "")
        for want, have in zip(wanted, given, strict=True)
    )


def _resource_matches(pattern: str, resource: str) -> bool:
    wanted = pattern.split("/")
    given = resource.split("/")
    if wanted[-1] == WILDCARD:
        wanted.pop()
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        want in {WILDCARD, have} for want, have in zip(wanted, given, strict=True)
    )


def _parse_role_name(name: object) -> str:
    if not isinstance(name, str) or not _ID.match(name):
        message = f"role {name!r} is not lower-case letters, digits and '-'"
        raise _invalid(message)
    return name


def _parse_actions(role: object, actions: object) -> Iterator[AccessAction]:
    for action in _strings(actions, f"role {role!r}"):
        if action == WILDCARD:
            yield from AccessAction
            continue
        try:
            yield AccessAction(action)
        except ValueError as error:
            message = f"role {role!r} names the unknown action {action!r}"
            raise _invalid(message) from error


def _parse_binding(
    default_id: str, item: object, roles: Mapping[str, frozenset[AccessAction]]
) -> Binding:
    if not isinstance(item, Mapping):
        message = f"{default_id} is not a table"
        raise _invalid(message)
    _check_keys(item, _BINDING_KEYS, default_id)
    binding_id = item.get("id", default_id)
    if not isinstance(binding_id, str) or not _ID.match(binding_id):
        message = f"{default_id} has the malformed id {binding_id!r}"
        raise _invalid(message)
    principal = item.get("principal")
    if not isinstance(principal, str) or not _PRINCIPAL.match(principal):
        message = f"{binding_id} has the malformed principal {principal!r}"
        raise _invalid(message)
    given = tuple(_strings(item.get("roles"), f"roles of {binding_id}"))
    for role in given:
        if role not in roles:
            message = f"{binding_id} names the unknown role {role!r}"
            raise _invalid(message)
    resources = tuple(_strings(item.get("resources"), f"resources of {binding_id}"))
    for resource in resources:
        if not _RESOURCE.match(resource):
            message = f"{binding_id} has the malformed resource {resource!r}"
            raise _invalid(message)
    return Binding(binding_id, principal, given, resources)


def _strings(value: object, what: str) -> Iterator[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        message = f"{what} is not a list of strings with at least one item"
        raise _invalid(message)
    for item in value:
        if not isinstance(item, str):
            message = f"{what} has {item!r}, which is not a string"
            raise _invalid(message)
        yield item


def _check_keys(table: Mapping[str, object], known: frozenset[str], what: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        message = f"{what} has the unknown key {unknown[0]!r}"
        raise _invalid(message)


def _invalid(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"access policy: {message}",
        reason=Reason.SETTING_INVALID,
        hint="Mend the file named by access.policy_file and start again.",
    )
