# SPDX-License-Identifier: Apache-2.0
"""What the commands about replicas print: a line of JSON each, for whoever asked."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.replica_record import ReplicaState
from strongroom_server.services.replication import (
    Finding,
    Heads,
    ReplicaSurvey,
    RoundReport,
)

_HINT = "See `The primary is gone: promote the replica` in docs/operations.md."


def counts_of(report: RoundReport) -> dict[str, Any]:
    """Return what a round did, in numbers."""
    return {
        "objects": report.object_count,
        "entries": report.entry_count,
        "bytes": report.size_bytes,
        "missing": report.missing_count,
        "slowest_s": round(report.slowest_s, 3),
        "finding_count": report.finding_count,
        "vanished": report.vanished_count,
    }


def told_round(report: RoundReport) -> str:
    """Return a line about a round: what it did, and what it could not copy, by name."""
    told = {
        **counts_of(report),
        "is_complete": report.is_complete,
        "findings": [asdict(item) for item in report.findings],
    }
    return _line("replicated", told)


def told_status(state: ReplicaState | None, heads: Heads, now_s: float) -> str:
    """Return a line about how far a replica is behind."""
    told = {
        "state": state.value if state is not None else "none",
        "journals": heads.journal_count,
        "entries": heads.entry_count,
        "missing": heads.missing_count,
        "is_more": heads.is_more,
        "ahead": sum(item.ahead_count for item in heads.missing),
        "lag_s": round(max(now_s - heads.oldest_s, 0.0), 1) if heads.oldest_s else 0.0,
        "newest_entry_time": _time(heads.newest_s),
    }
    return _line("replica", told)


def told_promotion(
    place: Mapping[str, str],
    survey: ReplicaSurvey,
    now: ReplicaSurvey,
    primary: dict[str, Any],
) -> str:
    """Return a line about a promotion, and what servers of the new store need.

    Args:
        place: Where the replica is, as settings of a server say it.
        survey: What it held before.
        now: What it holds now.
        primary: Whether the primary could be asked, and what it has more.
    """
    told: dict[str, Any] = {
        "state": "promoted",
        "was_promoted": survey.is_promoted,
        **primary,
        "journals": now.journal_count,
        "entries": now.entry_count,
        "late_entries": now.entry_count - survey.entry_count,
        "objects": now.object_count,
        "newest_entry_time": _time(now.newest_s),
        "finding_count": now.finding_count,
        "findings": [asdict(item) for item in now.findings],
        "settings": {
            **place,
            "store.credentials_file": "a server's own credential for this bucket",
            "index.path": "a new folder",
            "audit.path": "a new folder",
            "audit.log": "a new name",
        },
    }
    return _line("promoted", told)


def not_whole(findings: tuple[Finding, ...], count: int) -> IntegrityError:
    """Return the error for a replica that lacks what its journals need."""
    return _found("the replica is not whole", findings, count)


def not_copied(findings: tuple[Finding, ...], count: int) -> IntegrityError:
    """Return the error for objects that no journal of the replica waits for."""
    what = "the replica has every journal entry, and not every object of the primary"
    return _found(what, findings, count)


def _found(what: str, findings: tuple[Finding, ...], count: int) -> IntegrityError:
    first = findings[0]
    return IntegrityError(
        f"{what}: {count} {'finding' if count == 1 else 'findings'}, the first of "
        f"them {first.key}: {first.problem}",
        reason=Reason.RECORD_CORRUPT,
        hint=_HINT,
        finding_count=count,
    )


def _line(message_type: str, told: dict[str, Any]) -> str:
    return json.dumps({"message_type": message_type, **told}) + "\n"


def _time(seconds: float) -> str | None:
    if not seconds:
        return None
    time = datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
