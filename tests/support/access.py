# SPDX-License-Identifier: Apache-2.0
"""Authorizers of a test's own making, decided by the engine that the server uses."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom_server.adapters.cedar import CedarAuthorizer
from strongroom_server.core.access import CallFacts
from strongroom_server.core.assignments import parse_assignments

#: A call like any other.
FACTS: Final = CallFacts("TLSv1.3", "X25519MLKEM768", 12)


def role_policy(role: str, actions: Sequence[str]) -> str:
    """Write the policy of a role; `*` is every action."""
    named = ", ".join(f'Action::"{action}"' for action in actions)
    scope = "action" if "*" in actions else f"action in [{named}]"
    return f'@id("{role}") permit (principal in Role::"{role}", {scope}, resource);'


def make_authorizer(
    roles: Mapping[str, Sequence[str]], *assignments: Mapping[str, Any], **more: str
) -> CedarAuthorizer:
    """Make an authorizer of roles with actions, who has them where, more policies."""
    texts = {f"{role}.cedar": role_policy(role, roles[role]) for role in roles}
    texts |= {f"{name}.cedar": text for name, text in more.items()}
    return CedarAuthorizer(
        texts, parse_assignments({"assignments": [*map(dict, assignments)]})
    )
