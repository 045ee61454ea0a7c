# SPDX-License-Identifier: Apache-2.0
"""Bodies of journal entries: what is encrypted, as canonical JSON, action by action."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import PreconditionError, Reason
from strongroom.format import names
from strongroom.format.names import ArtifactName
from strongroom_server.core.history import (
    Committed,
    Created,
    Deleted,
    Entry,
    EntryInfo,
    Fenced,
    HoldSet,
    PolicySet,
    RefMoved,
    Undeleted,
    broken_entry,
)
from strongroom_server.core.lineage import NO_LINEAGE, format_lineage, parse_lineage
from strongroom_server.core.policy import check_policy
from strongroom_server.core.records import Action, ApprovedBy, ArtifactPolicy, Kind
from strongroom_server.core.scope import format_id, parse_id

FORMAT: Final = 1
#: With fields that are there only if they say something.
FORMAT_WITH_MORE: Final = 2
_FORMATS: Final = (FORMAT, FORMAT_WITH_MORE)


def format_body(entry: Entry) -> dict[str, Any]:
    """Return the body of an entry, ready to be encrypted."""
    info = entry.info
    own, more = _format_own(entry), _format_more(entry)
    body: dict[str, Any] = {
        "format": FORMAT_WITH_MORE if more else FORMAT,
        "action": info.action.value,
        "time": info.time.isoformat(timespec="microseconds"),
        "actor": info.actor,
        "request_id": info.request_id,
        "trace_id": info.trace_id,
        "audit_id": info.audit_id,
        "reason": info.reason,
        "approvals": _format_approvals(info.approved),
        "sweep_epoch": info.sweep_epoch,
    }
    return body | own | more


def _format_own(entry: Entry) -> dict[str, Any]:
    """Return the fields that only entries of this action have."""
    match entry:
        case Created(name=name, kind=kind, domain=domain):
            named = {"project": name.project, "artifact": name.artifact}
            return named | {"kind": kind.value, "domain": format_id(domain)}
        case Committed(metadata=metadata):
            known = {key: getattr(entry, key) for key in _COMMITTED}
            return known | {"metadata": dict(metadata)}
        case RefMoved():
            return {key: getattr(entry, key) for key in _REF_MOVED}
        case HoldSet(version=version, hold=hold):
            return {"version": version, "hold": hold}
        case PolicySet(policy=policy):
            return {"policy": {key: getattr(policy, key) for key in _POLICY}}
        case _:
            return _format_plain(entry)


def _format_more(entry: Entry) -> dict[str, Any]:
    """Return the fields that are left out where they say nothing."""
    match entry:
        case Committed(digested_by=digested_by, lineage=lineage):
            digested = {"digested_by": list(digested_by)} if digested_by else {}
            made_from = {"lineage": format_lineage(lineage)} if lineage else {}
            return digested | made_from
        case PolicySet(policy=policy) if policy.keep_best:
            return {"policy": asdict(policy)}
        case _:
            return {}


def _format_approvals(approved: ApprovedBy | None) -> list[dict[str, Any]]:
    if approved is None:
        return []
    approvers = list(approved.approvers)
    return [{"approval": approved.approval_id, "approvers": approvers}]


def _format_plain(entry: Deleted | Undeleted | Fenced) -> dict[str, Any]:
    if isinstance(entry, Fenced):
        return {"purged": list(entry.purged)}
    return {"version": entry.version}


_INFO: Final = {
    "format": int, "action": str, "time": str, "actor": str, "request_id": str,
    "trace_id": str, "audit_id": str, "reason": str, "approvals": list,
    "sweep_epoch": int,
}  # fmt: skip
_CREATED: Final = {"project": str, "artifact": str, "kind": str, "domain": str}
_COMMITTED: Final = {
    "version": int, "digest": str, "manifest": str, "manifest_version": str,
    "file_count": int, "size_bytes": int, "stored_bytes": int, "message": str,
}  # fmt: skip
#: There only if they are not empty.
_COMMITTED_MORE: Final = {"digested_by": list, "lineage": dict}
_REF_MOVED: Final = {"ref": str, "version": int, "previous_version": int}
_POLICY: Final = {
    "keep_last": int, "keep_days": int, "trash_days": int, "codec": str,
    "cuts": str,
}  # fmt: skip
#: There only if `keep_best` is not 0.
_POLICY_MORE: Final = {"keep_best": int, "best_by": str, "best_order": str}


def parse_body(body: Mapping[str, Any], number: int) -> Entry:
    """Return the entry of a decrypted body.

    Raises:
        IntegrityError: It is malformed (JOURNAL_CORRUPT).
        PreconditionError: Its format is newer than this release.
    """
    if all(body.get("format", FORMAT) != known for known in _FORMATS):
        raise PreconditionError(
            f"journal entry {number} has body format {body['format']}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
        )
    try:
        info = EntryInfo(
            Action(body["action"]),
            _parse_time(body["time"]),
            body["actor"],
            body["request_id"],
            body["trace_id"],
            body["audit_id"],
            body["reason"],
            body["sweep_epoch"],
            _parse_approvals(body["approvals"]),
        )
        entry = _PARSERS[info.action](body, info)
        _check_format(body["format"], entry)
        _check_epoch(info)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise broken_entry(number) from error
    return entry


def _parse_created(body: Mapping[str, Any], info: EntryInfo) -> Created:
    _check_fields(body, _CREATED)
    name = ArtifactName(body["project"], body["artifact"])
    return Created(info, name, Kind(body["kind"]), parse_id(body["domain"]))


def _parse_committed(body: Mapping[str, Any], info: EntryInfo) -> Committed:
    more = {key: kind for key, kind in _COMMITTED_MORE.items() if key in body}
    _check_fields(body, {**_COMMITTED, "metadata": dict, **more})
    if not all(body[key] for key in more):
        raise ValueError(sorted(more))
    known = {key: body[key] for key in _COMMITTED}
    digested_by = _parse_principals(body.get("digested_by", []))
    lineage = parse_lineage(body["lineage"]) if "lineage" in body else NO_LINEAGE
    return Committed(
        info,
        **known,
        metadata=dict(body["metadata"]),
        digested_by=digested_by,
        lineage=lineage,
    )


def _parse_principals(items: list[Any]) -> tuple[str, ...]:
    if not all(type(item) is str and item for item in items):
        raise TypeError(items)
    if items != sorted(set(items)):
        raise ValueError(items)
    return tuple(items)


def _parse_ref_moved(body: Mapping[str, Any], info: EntryInfo) -> RefMoved:
    _check_fields(body, _REF_MOVED)
    names.check_id(body["ref"])
    return RefMoved(info, **{key: body[key] for key in _REF_MOVED})


def _parse_deleted(body: Mapping[str, Any], info: EntryInfo) -> Deleted:
    _check_fields(body, {"version": int})
    return Deleted(info, body["version"])


def _parse_undeleted(body: Mapping[str, Any], info: EntryInfo) -> Undeleted:
    _check_fields(body, {"version": int})
    return Undeleted(info, body["version"])


def _parse_hold(body: Mapping[str, Any], info: EntryInfo) -> HoldSet:
    _check_fields(body, {"version": int, "hold": bool})
    return HoldSet(info, body["version"], body["hold"])


def _parse_policy(body: Mapping[str, Any], info: EntryInfo) -> PolicySet:
    _check_fields(body, {"policy": dict})
    more = _POLICY_MORE if body["format"] == FORMAT_WITH_MORE else {}
    _check_types(body["policy"], {**_POLICY, **more})
    policy = ArtifactPolicy(**body["policy"])
    check_policy(policy)
    return PolicySet(info, policy)


def _parse_fence(body: Mapping[str, Any], info: EntryInfo) -> Fenced:
    _check_fields(body, {"purged": list})
    if not all(type(version) is int for version in body["purged"]):
        raise TypeError(body["purged"])
    return Fenced(info, tuple(body["purged"]))


_PARSERS: Final[Mapping[Action, Callable[[Mapping[str, Any], EntryInfo], Entry]]] = {
    Action.CREATE: _parse_created,
    Action.COMMIT: _parse_committed,
    Action.MOVE_REF: _parse_ref_moved,
    Action.DELETE: _parse_deleted,
    Action.UNDELETE: _parse_undeleted,
    Action.RETAIN: _parse_hold,
    Action.POLICY: _parse_policy,
    Action.FENCE: _parse_fence,
}


def _parse_approvals(items: object) -> ApprovedBy | None:
    match items:
        case []:
            return None
        case [{"approval": str(name), "approvers": list(people), **more}] if not more:
            if name and people and all(type(item) is str and item for item in people):
                return ApprovedBy(name, tuple(people))
    raise ValueError(items)


def _check_format(number: int, entry: Entry) -> None:
    if number != (FORMAT_WITH_MORE if _format_more(entry) else FORMAT):
        raise ValueError(number)


def _check_epoch(info: EntryInfo) -> None:
    if info.sweep_epoch < 0:
        raise ValueError(info.sweep_epoch)


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time.astimezone(UTC)


def _check_fields(body: Mapping[str, Any], fields: Mapping[str, type]) -> None:
    _check_types(body, {**_INFO, **fields})


def _check_types(body: Mapping[str, Any], expected: Mapping[str, type]) -> None:
    if set(body) != set(expected):
        raise ValueError(sorted(body))
    for key, kind in expected.items():
        if type(body[key]) is not kind:
            raise TypeError(key)
