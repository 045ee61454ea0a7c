# SPDX-License-Identifier: Apache-2.0
"""Questions to the audit log: which entries to show."""

from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries to show; what is empty asks for nothing.

    Attributes:
        principal: A SPIFFE id; `*` stands for anything.
        resource: A resource name: of an artifact, a project, or `server`.
        action: Such as `version.read`; `*` stands for anything.
        trace_id: 32 hex digits.
        audit_id: `<writer>-<number>`: that entry and the others of its call.
        decision: `allow` or `deny`.
        since: From then on.
        until: Before then.
    """

    principal: str = ""
    resource: str = ""
    action: str = ""
    trace_id: str = ""
    audit_id: str = ""
    decision: str = ""
    since: datetime | None = None
    until: datetime | None = None


def fits(query: AuditQuery, body: dict[str, object]) -> bool:
    """Tell whether an entry is asked for; `resource` and `audit_id` aside."""
    if not _is_within(query, str(body["time"])):
        return False
    patterns = {"principal": query.principal, "action": query.action}
    if any(
        pattern and not fnmatchcase(str(body[name]), pattern)
        for name, pattern in patterns.items()
    ):
        return False
    exact = {"trace_id": query.trace_id, "decision": query.decision}
    return all(not value or body[name] == value for name, value in exact.items())


def _is_within(query: AuditQuery, text: str) -> bool:
    if query.since is None and query.until is None:
        return True
    time = datetime.fromisoformat(text).astimezone(UTC)
    early = query.since is not None and time < query.since
    return not early and (query.until is None or time < query.until)
