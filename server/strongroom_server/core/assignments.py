# SPDX-License-Identifier: Apache-2.0
"""Role assignments: who has which role where, as a file that people can review.

An assignment gives roles to the principals that match a pattern, on the resources
that match a pattern. What a role may do is not said here but in policies.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.operators import NAME as OPERATOR_NAME
from strongroom_server.core.operators import PREFIX as OPERATOR_PREFIX
from strongroom_server.core.operators import is_operator

#: One segment of a principal or, as the last one of a resource, all that follows.
WILDCARD: Final = "*"
#: Ids of assignments, and of policies and roles, which stand in audit entries.
ID: Final = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")

_PRINCIPAL: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(?:/(?:[A-Za-z0-9._-]+|\*))+\Z"
    rf"|{OPERATOR_PREFIX}(?:{OPERATOR_NAME}|\*)\Z"
)
_RESOURCE: Final = re.compile(r"(?:server|projects(?:/(?:[^/*\s]+|\*))*)\Z")
_SECTIONS: Final = frozenset({"assignments"})
_KEYS: Final = frozenset({"id", "principal", "roles", "resources"})


@dataclass(frozen=True, slots=True)
class Assignment:
    """Roles for principals on resources.

    Attributes:
        assignment_id: Names it in audit entries.
        principal: A SPIFFE id, in which a segment `*` stands for any one segment;
            or a person, `operator:NAME`, or all of them, `operator:*`.
        roles: Names of roles.
        resources: Resource names; a segment `*` stands for any one segment, and
            as the last one for the name before it and everything below.
    """

    assignment_id: str
    principal: str
    roles: tuple[str, ...]
    resources: tuple[str, ...]

    def gives_on(self, resource: str) -> bool:
        """Tell whether it gives its roles on `resource`."""
        return any(_resource_matches(item, resource) for item in self.resources)


#: An assignment and its place in the file.
_Placed = tuple[int, Assignment]


class AssignmentIndex:
    """Finds a principal's assignments; as quick among thousands as among ten."""

    def __init__(self, assignments: Iterable[Assignment]) -> None:
        # By which segments are wildcards, then by the segments that are not.
        self._shapes: dict[tuple[bool, ...], dict[tuple[str, ...], list[_Placed]]] = {}
        for number, item in enumerate(assignments):
            segments = _segments(item.principal)
            shape = tuple(segment == WILDCARD for segment in segments)
            of_shape = self._shapes.setdefault(shape, {})
            of_shape.setdefault(_fixed(segments, shape), []).append((number, item))

    def of(self, principal: str) -> tuple[Assignment, ...]:
        """Return the assignments that `principal` matches, in the file's order."""
        segments = _segments(principal)
        found: list[_Placed] = []
        for shape, of_shape in self._shapes.items():
            if len(shape) == len(segments) and _fills(segments, shape):
                found += of_shape.get(_fixed(segments, shape), ())
        return tuple(item for _, item in sorted(found, key=lambda placed: placed[0]))


def told_roles(assignments: Iterable[Assignment]) -> tuple[str, ...]:
    """Return what assignments give, as `role on resource`, without doubles."""
    given = (
        f"{role} on {resource}"
        for item in assignments
        for role in item.roles
        for resource in item.resources
    )
    return tuple(dict.fromkeys(given))


def parse_assignments(document: Mapping[str, object]) -> tuple[Assignment, ...]:
    """Read a decoded file of assignments.

    Args:
        document: `assignments`, a list of tables with `principal`, `roles`,
            `resources` and optionally `id`.

    Raises:
        InvalidArgumentError: A key or pattern is unknown or malformed, or an id
            occurs twice (SETTING_INVALID).
    """
    _check_keys(document, _SECTIONS, "the file")
    items = document.get("assignments", [])
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise _invalid("assignments is not a list of tables")
    assignments = tuple(
        _parse(f"assignment-{number}", item)
        for number, item in enumerate(items, start=1)
    )
    seen: set[str] = set()
    for assignment in assignments:
        if assignment.assignment_id in seen:
            message = f"two assignments have the id {assignment.assignment_id!r}"
            raise _invalid(message)
        seen.add(assignment.assignment_id)
    return assignments


def _segments(principal: str) -> list[str]:
    if is_operator(principal):
        return [OPERATOR_PREFIX, principal.removeprefix(OPERATOR_PREFIX)]
    return principal.split("/")


def _fixed(segments: Sequence[str], shape: Sequence[bool]) -> tuple[str, ...]:
    return tuple(
        segment for segment, wild in zip(segments, shape, strict=True) if not wild
    )


def _fills(segments: Sequence[str], shape: Sequence[bool]) -> bool:
    """Tell whether no segment that stands for a wildcard is empty."""
    return all(segment for segment, wild in zip(segments, shape, strict=True) if wild)


def _resource_matches(pattern: str, resource: str) -> bool:
    wanted = pattern.split("/")
    given = resource.split("/")
    if wanted[-1] == WILDCARD:
        wanted.pop()
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        want in {WILDCARD, have} for want, have in zip(wanted, given, strict=True)
    )


def _parse(default_id: str, item: object) -> Assignment:
    if not isinstance(item, Mapping):
        message = f"{default_id} is not a table"
        raise _invalid(message)
    _check_keys(item, _KEYS, default_id)
    assignment_id = item.get("id", default_id)
    if not isinstance(assignment_id, str) or not ID.match(assignment_id):
        message = f"{default_id} has the malformed id {assignment_id!r}"
        raise _invalid(message)
    principal = item.get("principal")
    if not isinstance(principal, str) or not _PRINCIPAL.match(principal):
        message = f"{assignment_id} has the malformed principal {principal!r}"
        raise _invalid(message)
    roles = tuple(_strings(item.get("roles"), f"roles of {assignment_id}"))
    for role in roles:
        if not ID.match(role):
            message = f"{assignment_id} has the malformed role {role!r}"
            raise _invalid(message)
    resources = tuple(_strings(item.get("resources"), f"resources of {assignment_id}"))
    for resource in resources:
        if not _RESOURCE.match(resource):
            message = f"{assignment_id} has the malformed resource {resource!r}"
            raise _invalid(message)
    return Assignment(assignment_id, principal, roles, resources)


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
        f"role assignments: {message}",
        reason=Reason.SETTING_INVALID,
        hint="Mend the file named by access.assignments_file; "
        "`strongroom-server config check` tells whether it is good.",
    )
