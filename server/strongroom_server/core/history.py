# SPDX-License-Identifier: Apache-2.0
"""Histories: what an artifact's journal adds up to, and which entry may come next.

A history is a fold: versions, refs, where each ref pointed before, and what
`latest` was at any time all follow from the entries. `Fold` takes them in one by
one, in constant time each; a `History` is what it has come to, and never changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom.format import names
from strongroom.format.names import ArtifactName
from strongroom_server.core.journal import GENESIS
from strongroom_server.core.records import Action, Caller, Kind
from strongroom_server.core.scope import format_id, parse_id

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """What every entry says: when, who, in which request, trace and audit entry."""

    action: Action
    time: datetime
    actor: str
    request_id: str
    trace_id: str
    audit_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """Entry 0: the artifact's names, kind and key domain."""

    info: EntryInfo
    name: ArtifactName
    kind: Kind
    domain: bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """A version. `manifest` is its digest in hex, `manifest_version` its version id."""

    info: EntryInfo
    version: int
    digest: str
    manifest: str
    manifest_version: str
    file_count: int
    size_bytes: int
    stored_bytes: int
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RefMoved:
    """A ref that points somewhere else; `previous_version` is 0 if it is new."""

    info: EntryInfo
    ref: str
    version: int
    previous_version: int


Entry = Created | Committed | RefMoved
#: What a request did, to which ref, and its id.
RequestKey = tuple[Action, str, str]


@dataclass(frozen=True, slots=True)
class NumberedEntry:
    """An entry with its number, its stored digest and the keys that signed it."""

    number: int
    entry: Entry
    digest: bytes
    key_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The fold of a journal's entries.

    Attributes:
        entries: All entries, by number.
        versions: Commits, by version number, from 1.
        refs: For each ref, its moves, oldest first.
        requests: The entry that each request made; see `RequestKey`.
    """

    entries: tuple[NumberedEntry, ...] = ()
    versions: tuple[Committed, ...] = ()
    refs: Mapping[str, tuple[NumberedEntry, ...]] = field(default_factory=dict)
    requests: Mapping[RequestKey, NumberedEntry] = field(default_factory=dict)

    @property
    def created(self) -> Created:
        """Entry 0; only of a history that is not empty."""
        entry = self.entries[0].entry
        if not isinstance(entry, Created):
            raise _broken(0)
        return entry

    @property
    def next_number(self) -> int:
        """The number of the entry that comes next."""
        return len(self.entries)

    @property
    def head(self) -> bytes:
        """What the next entry names as the entry before it."""
        return self.entries[-1].digest if self.entries else GENESIS

    @property
    def latest(self) -> int:
        """The newest version's number; 0 if there is none."""
        return len(self.versions)

    def ref_version(self, ref: str) -> int:
        """Return what a ref points at; 0 if it does not exist."""
        if ref == names.LATEST:
            return self.latest
        moves = self.refs.get(ref, ())
        return _moved(moves[-1]).version if moves else 0

    def refs_at(self, version: int) -> tuple[str, ...]:
        """Return the refs that point at a version, `latest` first."""
        latest = (names.LATEST,) if version == self.latest else ()
        others = (ref for ref in sorted(self.refs) if self.ref_version(ref) == version)
        return (*latest, *others)

    def ref_versions(self, ref: str) -> tuple[int, ...]:
        """Return what a ref has pointed at, oldest first; nothing if there is none."""
        return tuple(_moved(move).version for move in self.refs.get(ref, ()))


class Fold:
    """A history in the making. Used by one thread."""

    def __init__(self, history: History) -> None:
        self._entries = list(history.entries)
        self._versions = list(history.versions)
        self._refs = {ref: list(moves) for ref, moves in history.refs.items()}
        self._requests = dict(history.requests)

    @property
    def next_number(self) -> int:
        """The number of the entry that comes next."""
        return len(self._entries)

    @property
    def head(self) -> bytes:
        """What the next entry names as the entry before it."""
        return self._entries[-1].digest if self._entries else GENESIS

    @property
    def created(self) -> Created | None:
        """Entry 0, if it is there."""
        entry = self._entries[0].entry if self._entries else None
        return entry if isinstance(entry, Created) else None

    def add(self, item: NumberedEntry) -> None:
        """Take in the next entry, if it may come next; else nothing changes.

        Raises:
            IntegrityError: It may not; no honest server writes such an entry
                (JOURNAL_CORRUPT).
        """
        number = item.number
        first = isinstance(item.entry, Created)
        if number != self.next_number or first != (number == 0):
            raise _broken(number)
        ref = ""
        match item.entry:
            case Created():
                pass
            case Committed(version=version):
                if version != len(self._versions) + 1:
                    raise _broken(number)
                self._versions.append(item.entry)
            case RefMoved(ref=ref, version=version, previous_version=previous):
                moves = self._refs.get(ref, ())
                before = _moved(moves[-1]).version if moves else 0
                known = 1 <= version <= len(self._versions)
                if not known or previous != before or ref == names.LATEST:
                    raise _broken(number)
                self._refs.setdefault(ref, []).append(item)
        key = (item.entry.info.action, ref, item.entry.info.request_id)
        self._requests[key] = item
        self._entries.append(item)

    def history(self) -> History:
        """Return what the entries so far add up to."""
        return History(
            tuple(self._entries),
            tuple(self._versions),
            {ref: tuple(moves) for ref, moves in self._refs.items()},
            dict(self._requests),
        )


def check_movable(ref: str) -> None:
    """Check that a ref may be moved by hand.

    Raises:
        PreconditionError: It moves by itself (REF_RESERVED).
    """
    if ref == names.LATEST:
        raise PreconditionError(
            "ref latest moves by itself, to each new version",
            reason=Reason.REF_RESERVED,
            hint="Choose another ref, such as prod.",
            ref=ref,
        )


def make_info(
    action: Action, caller: Caller, *, time: datetime, request_id: str, reason: str = ""
) -> EntryInfo:
    """Return the common part of a new entry."""
    return EntryInfo(
        action,
        time.astimezone(UTC),
        caller.principal,
        request_id,
        caller.trace_id,
        caller.audit_id,
        reason,
    )


def format_body(entry: Entry) -> dict[str, Any]:
    """Return the body of an entry, ready to be encrypted."""
    info = entry.info
    body: dict[str, Any] = {
        "format": FORMAT,
        "action": info.action.value,
        "time": info.time.isoformat(timespec="microseconds"),
        "actor": info.actor,
        "request_id": info.request_id,
        "trace_id": info.trace_id,
        "audit_id": info.audit_id,
        "reason": info.reason,
        "approvals": [],
        "sweep_epoch": 0,
    }
    match entry:
        case Created(name=name, kind=kind, domain=domain):
            body["project"] = name.project
            body["artifact"] = name.artifact
            body["kind"] = kind.value
            body["domain"] = format_id(domain)
        case Committed():
            for key in _COMMITTED:
                body[key] = getattr(entry, key)
            body["metadata"] = dict(entry.metadata)
        case RefMoved():
            for key in _REF_MOVED:
                body[key] = getattr(entry, key)
    return body


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
_REF_MOVED: Final = {"ref": str, "version": int, "previous_version": int}


def parse_body(body: Mapping[str, Any], number: int) -> Entry:
    """Return the entry of a decrypted body.

    Raises:
        IntegrityError: It is malformed (JOURNAL_CORRUPT).
        PreconditionError: Its format is newer than this release.
    """
    if body.get("format", FORMAT) != FORMAT:
        raise PreconditionError(
            f"journal entry {number} has body format {body['format']}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
        )
    try:
        action = Action(body["action"])
        info = EntryInfo(
            action,
            _parse_time(body["time"]),
            body["actor"],
            body["request_id"],
            body["trace_id"],
            body["audit_id"],
            body["reason"],
        )
        match action:
            case Action.CREATE:
                _check_fields(body, _CREATED)
                return _parse_created(body, info)
            case Action.COMMIT:
                _check_fields(body, {**_COMMITTED, "metadata": dict})
                known = {key: body[key] for key in _COMMITTED}
                return Committed(info, **known, metadata=dict(body["metadata"]))
            case Action.MOVE_REF:
                _check_fields(body, _REF_MOVED)
                names.check_id(body["ref"])
                return RefMoved(info, **{key: body[key] for key in _REF_MOVED})
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _broken(number) from error


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time.astimezone(UTC)


def _parse_created(body: Mapping[str, Any], info: EntryInfo) -> Created:
    name = ArtifactName(body["project"], body["artifact"])
    return Created(info, name, Kind(body["kind"]), parse_id(body["domain"]))


def _check_fields(body: Mapping[str, Any], fields: Mapping[str, type]) -> None:
    expected = {**_INFO, **fields}
    if set(body) != set(expected):
        raise ValueError(sorted(body))
    for key, kind in expected.items():
        if type(body[key]) is not kind:
            raise TypeError(key)


def _moved(item: NumberedEntry) -> RefMoved:
    if not isinstance(item.entry, RefMoved):
        raise _broken(item.number)
    return item.entry


def _broken(number: int) -> IntegrityError:
    return IntegrityError(
        f"journal entry {number} does not follow from the entries before it",
        reason=Reason.JOURNAL_CORRUPT,
        hint="Run `strongroom verify`; restore the journal from a backup.",
        number=number,
    )
