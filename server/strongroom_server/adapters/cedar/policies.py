# SPDX-License-Identifier: Apache-2.0
"""Cedar policies, read once: parsed, named, checked against the schema."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

import cedarpy

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.access import DEFAULT
from strongroom_server.core.assignments import ID

#: Where the schema and the roles that come with the server lie.
_SHIPPED: Final = resources.files(__package__ or "").joinpath("shipped")
_SCHEMA: Final = "strongroom.cedarschema"
_RULES: Final = "rules"
_SUFFIX: Final = ".cedar"
#: Cedar 4.12 overruns its stack, and ends the process, at some hundreds of brackets
#: within each other, and at some thousands of `if` in one policy (measured).
_MAX_DEPTH: Final = 50
_MAX_POLICY_CHARS: Final = 16_384
#: Comments and texts, in which brackets mean nothing, and what does mean something.
_SHAPE: Final = re.compile(r"//[^\n]*|\"(?:\\.|[^\"\\])*\"|[()\[\]{};]", re.DOTALL)
_REF_PATTERN: Final = re.compile(r"[a-z0-9*-]{1,63}\Z")
#: The id of the rule about refs that nobody moves alone.
PROTECTED_REFS: Final = "protected-refs"
#: What a program asked for, its owner could approve; hence a person. The sealed
#: certificate is for the day on which there is nobody else.
_PROTECTED: Final = """@id("%s")
forbid (principal, action == Action::"ref.move", resource)
when { %s }
unless {
  (principal is Operator && context.approvals >= 1) ||
  principal in Role::"break-glass"
};
"""
#: The id of the rule about locks so long that nobody sets them alone.
LONG_LOCKS: Final = "long-locks"
_LONG_LOCKS: Final = """@id("%s")
forbid (principal, action == Action::"backup.extend", resource)
when { context.lock_days > %d }
unless { principal is Operator && context.approvals >= 1 };
"""
#: How Cedar names policies: by their place in the text.
_PLACE: Final = re.compile(r"`?(policy\d+)`?")


@dataclass(frozen=True, slots=True)
class Policies:
    """A checked set of policies.

    Attributes:
        handle: Cedar's own.
        names: Our ids, by Cedar's.
        roles_of_policy: The roles that a policy asks for, by our id.
        roles: All roles that policies ask for, sorted.
    """

    handle: cedarpy.PolicySet
    names: Mapping[str, str]
    roles_of_policy: Mapping[str, frozenset[str]]
    roles: tuple[str, ...]

    def told(self, error: str) -> str:
        """Return an error of Cedar's with our ids in place of its own."""
        return _told(error, self.names)


def shipped_policies(*, roles: bool = True, rules: bool = True) -> dict[str, str]:
    """Return the policies that come with the server: text by file name.

    Args:
        roles: With the roles.
        rules: With what holds for everybody whatever role they have.
    """
    texts = _texts(_SHIPPED) if roles else {}
    if rules:
        of_rules = _texts(_SHIPPED.joinpath(_RULES))
        texts |= {f"{_RULES}/{name}": text for name, text in of_rules.items()}
    return texts


def protected_refs_policy(patterns: Sequence[str]) -> dict[str, str]:
    """Return the rule that nobody moves refs of these names alone, if there are any.

    Args:
        patterns: Names of refs; `*` stands for anything.

    Raises:
        InvalidArgumentError: A pattern is none (SETTING_INVALID).
    """
    file = f"{_RULES}/{PROTECTED_REFS}{_SUFFIX}"
    for pattern in patterns:
        if not _REF_PATTERN.match(pattern):
            message = (
                f"{pattern[:80]!r} in access.protected_refs is no name of a ref; `*` "
                "stands for anything"
            )
            raise _invalid(file, message)
    if not patterns:
        return {}
    names = " || ".join(f'resource.name like "{pattern}"' for pattern in patterns)
    return {file: _PROTECTED % (PROTECTED_REFS, names)}


def long_locks_policy(days: int) -> dict[str, str]:
    """Return the rule that nobody locks a backup for more days than these alone.

    Args:
        days: From the day of the request; 0 for no such rule.
    """
    if not days:
        return {}
    return {f"{_RULES}/{LONG_LOCKS}{_SUFFIX}": _LONG_LOCKS % (LONG_LOCKS, days)}


def _texts(folder: Traversable) -> dict[str, str]:
    return {
        item.name: item.read_text("utf-8")
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(_SUFFIX)
    }


def schema_text() -> str:
    """Return the schema, as an editor of policies wants it."""
    return _SHIPPED.joinpath(_SCHEMA).read_text("utf-8")


@cache
def schema() -> cedarpy.Schema:
    """Return the schema that every policy is checked against."""
    return cedarpy.Schema.from_str(schema_text())


def parse_policies(texts: Mapping[str, str]) -> Policies:
    """Parse and check policies.

    Args:
        texts: By the name of the file, which errors tell.

    Raises:
        InvalidArgumentError: A text is not Cedar, does not fit the schema, or has a
            policy without an id of its own (SETTING_INVALID).
    """
    seen: dict[str, str] = {}
    for file, text in texts.items():
        for policy_id in _check_text(file, text):
            if policy_id in seen:
                message = (
                    f"{policy_id!r} is also the id of a policy in {seen[policy_id]}"
                )
                raise _invalid(file, message)
            seen[policy_id] = file
    # A comment at the end of a file must not swallow the next one's first line.
    whole = "\n".join(texts.values())
    bodies = _static_policies(whole)
    names = {place: _name(body) for place, body in bodies.items()}
    roles = {names[place]: _roles_in(body) for place, body in bodies.items()}
    return Policies(
        handle=cedarpy.PolicySet.from_str(whole),
        names=names,
        roles_of_policy=roles,
        roles=tuple(sorted(frozenset[str]().union(*roles.values()))),
    )


def _check_text(file: str, text: str) -> Iterator[str]:
    """Check one file and yield the ids of its policies."""
    _check_shape(file, text)
    try:
        templates = cedarpy.PolicySet.from_str(text).templates()
        bodies = _static_policies(text)
    except ValueError as error:
        message = f"it is not Cedar: {str(error).partition(chr(10))[0]}"
        raise _invalid(file, message) from error
    if templates:
        raise _invalid(file, "templates are not supported: name roles instead")
    names = {}
    for number, (place, body) in enumerate(bodies.items(), start=1):
        names[place] = _name(body)
        if not ID.match(names[place]) or names[place] == DEFAULT:
            message = (
                f"policy {number} has the id {names[place]!r}; every policy needs an "
                "@id(\"…\") of lower-case letters, digits and '-'"
            )
            raise _invalid(file, message)
    result = cedarpy.validate_policies(text, schema())
    for fault in result.errors:
        told, name = _told(fault.error, names), names.get(fault.policy_id, "")
        raise _invalid(file, told if repr(name) in told else f"policy {name!r}: {told}")
    if not result.validation_passed:
        raise _invalid(file, "it does not fit the schema")
    yield from names.values()


def _check_shape(file: str, text: str) -> None:
    """Refuse what Cedar's parser could not stand."""
    depth, begin = 0, 0
    for found in _SHAPE.finditer(f"{text};"):
        match found[0]:
            case "(" | "[" | "{":
                depth += 1
            case ")" | "]" | "}":
                depth = max(depth - 1, 0)
            case ";":
                if found.start() - begin > _MAX_POLICY_CHARS:
                    message = f"a policy is longer than {_MAX_POLICY_CHARS} characters"
                    raise _invalid(file, message)
                begin = found.end()
            case _:
                pass
        if depth > _MAX_DEPTH:
            raise _invalid(file, f"brackets are more than {_MAX_DEPTH} deep")


def _static_policies(text: str) -> dict[str, Any]:
    document: dict[str, dict[str, Any]] = json.loads(cedarpy.policies_to_json_str(text))
    return document["staticPolicies"]


def _name(body: Mapping[str, Any]) -> str:
    return str(body.get("annotations", {}).get("id") or "")


def _roles_in(value: object) -> frozenset[str]:
    """Return every role that a policy's JSON names, wherever it does."""
    match value:
        case {"type": "Role", "id": str(role)}:
            return frozenset({role})
        case dict():
            return frozenset[str]().union(*map(_roles_in, value.values()))
        case list():
            return frozenset[str]().union(*map(_roles_in, value))
        case _:
            return frozenset()


def _told(error: str, names: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: repr(names.get(found[1], found[1])), error)


def _invalid(file: str, message: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"access policies: {file}: {message}",
        reason=Reason.SETTING_INVALID,
        hint="Mend the file; `strongroom-server config check` tells whether it is "
        "good, and `strongroom access test` what it allows.",
        file=file,
    )
