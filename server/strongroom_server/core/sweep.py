# SPDX-License-Identifier: Apache-2.0
"""Sweep records: what is condemned, what was rescued, and what is gone.

One dense sequence for the whole store. A CONDEMN record lists exact versions of
objects that nothing needs; a DECIDE record says which of them are needed after all,
and lets the rest be removed; a REMOVED record says that the rest is gone. Each names
the SHA-256 of the record before it.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core.records import Caller
from strongroom_server.core.scope import ID_BYTES, format_id, parse_id
from strongroom_server.core.sealing import ObjectKind, object_error

FORMAT: Final = 1
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
#: Objects that one CONDEMN record may list; the rest waits for the next sweep.
MAX_OBJECTS: Final = 50_000
#: So that a record stays below its limit whatever version ids look like.
MAX_LISTED_BYTES: Final = 12 * 1024 * 1024
#: What the first record names as the record before it.
GENESIS: Final = bytes(32)
_PACK: Final = re.compile(r"packs/[0-9a-f]{2}/([0-9a-f]{64})\Z")
_SWEPT: Final = ("packs/", "manifests/", "index/", "uploads/")


class SweepKind(StrEnum):
    """What a sweep record says."""

    CONDEMN = "CONDEMN"
    DECIDE = "DECIDE"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True, order=True)
class SweptObject:
    """Exactly one stored version of one object."""

    key: str
    version_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True, order=True)
class DomainId:
    """Which key domain: 18-byte ids of project and domain."""

    project: bytes
    domain: bytes


@dataclass(frozen=True, slots=True)
class Condemned:
    """Objects that nothing needed when they were looked at, by key domain."""

    objects: Mapping[DomainId, tuple[SweptObject, ...]]

    def all(self) -> list[SweptObject]:
        """Return the objects in the order in which a DECIDE record counts them."""
        return [
            item for domain in sorted(self.objects) for item in self.objects[domain]
        ]


@dataclass(frozen=True, slots=True)
class Decided:
    """Which objects of CONDEMN record `of` stay, by their places in its list."""

    of: int
    rescued: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """All that was condemned in record `of`, and not rescued, is gone."""

    of: int


SweepAct = Condemned | Decided | Removed


@dataclass(frozen=True, slots=True)
class SweepInfo:
    """Who made a record, in which request, trace and audit entry."""

    actor: str
    request_id: str
    trace_id: str
    audit_id: str


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """A record: what it says and who made it."""

    info: SweepInfo
    act: SweepAct


@dataclass(frozen=True, slots=True)
class OpenSweep:
    """A CONDEMN record that is not done with.

    Attributes:
        number: Its number; a fence for it has the epoch `number + 1`.
        objects: What it lists.
        rescued: Which of them stay; None while nothing is decided.
        modified_s: When it was stored, by the store's clock.
    """

    number: int
    condemned: Condemned
    rescued: frozenset[int] | None
    modified_s: float

    @property
    def epoch(self) -> int:
        """The sweep epoch that whoever knows this record has at least."""
        return self.number + 1

    def doomed(self) -> list[SweptObject]:
        """Return what is condemned and not rescued."""
        kept = self.rescued or frozenset()
        return [item for at, item in enumerate(self.condemned.all()) if at not in kept]


@dataclass(frozen=True, slots=True)
class SweepLog:
    """What the records so far add up to.

    Attributes:
        count: How many records there are: the sweep epoch.
        head: SHA-256 of the last one as stored.
        open: CONDEMN records with something that may still be there, by number.
        requests: The requests that made records.
        last_closed: The highest number of a CONDEMN record that is done with; -1
            if none is.
    """

    count: int = 0
    head: bytes = GENESIS
    open: Mapping[int, OpenSweep] = field(default_factory=dict)
    requests: frozenset[str] = frozenset()
    last_closed: int = -1

    def add(self, record: SweepRecord, digest: bytes, modified_s: float) -> "SweepLog":
        """Return the log with one more record; errors as `SweepFold.add`."""
        fold = SweepFold(self)
        fold.add(record, digest, modified_s)
        return fold.log()


class SweepFold:
    """A log in the making: a record costs the same, however many there are.

    Used by one thread.
    """

    def __init__(self, log: SweepLog) -> None:
        self._count = log.count
        #: SHA-256 of the last record as stored.
        self.head = log.head
        self._open = dict(log.open)
        self._requests = set(log.requests)
        self._last_closed = log.last_closed

    def add(self, record: SweepRecord, digest: bytes, modified_s: float) -> None:
        """Take in the next record, if it may come next; else nothing changes.

        Raises:
            IntegrityError: It may not follow (RECORD_CORRUPT).
        """
        match record.act:
            case Condemned():
                number = self._count
                self._open[number] = OpenSweep(number, record.act, None, modified_s)
            case Decided(of=of, rescued=rescued):
                item = self._open.get(of)
                known = 0 if item is None else len(item.condemned.all())
                ordered = list(rescued) == sorted(set(rescued))
                in_range = all(0 <= place < known for place in rescued)
                if item is None or item.rescued is not None:
                    raise sweep_error()
                if not ordered or not in_range:
                    raise sweep_error()
                self._open[of] = replace(item, rescued=frozenset(rescued))
            case Removed(of=of):
                item = self._open.get(of)
                if item is None or item.rescued is None:
                    raise sweep_error()
                del self._open[of]
                self._last_closed = max(self._last_closed, of)
        self._requests.add(record.info.request_id)
        self._count, self.head = self._count + 1, digest

    def log(self) -> SweepLog:
        """Return what the records so far add up to."""
        return SweepLog(
            self._count,
            self.head,
            dict(self._open),
            frozenset(self._requests),
            self._last_closed,
        )


def doomed_of(acts: Mapping[int, SweepAct]) -> list[SweptObject]:
    """Return what these records, by number, condemned and did not rescue."""
    rescued = {act.of: act.rescued for act in acts.values() if isinstance(act, Decided)}
    found: list[SweptObject] = []
    for number, act in acts.items():
        if isinstance(act, Condemned):
            kept = frozenset(rescued.get(number, ()))
            found.extend(OpenSweep(number, act, kept, 0.0).doomed())
    return found


def record_digest(data: bytes) -> bytes:
    """Return what the next record names as the record before it."""
    return hashlib.sha256(data).digest()


def make_info(caller: Caller, request_id: str) -> SweepInfo:
    """Return the common part of a new record."""
    return SweepInfo(caller.principal, request_id, caller.trace_id, caller.audit_id)


def pack_of(key: str) -> str:
    """Return the pack that lies at a key; "" if it is no pack's."""
    found = _PACK.match(key)
    return found[1] if found else ""


def fit_record(
    candidates: Iterable[tuple[DomainId, SweptObject]],
) -> tuple[Condemned, int]:
    """Take as many objects as one record may list.

    Returns:
        They, and how many were left out.
    """
    taken: dict[DomainId, list[SweptObject]] = {}
    count, size_bytes, left_out = 0, 0, 0
    for domain, item in candidates:
        # Quotes, brackets, commas and the size: 40 bytes at most.
        needed = len(item.key.encode()) + 2 * len(item.version_id.encode()) + 40
        if count == MAX_OBJECTS or size_bytes + needed > MAX_LISTED_BYTES:
            left_out += 1
            continue
        taken.setdefault(domain, []).append(item)
        count, size_bytes = count + 1, size_bytes + needed
    return Condemned({key: tuple(sorted(taken[key])) for key in taken}), left_out


def format_record(record: SweepRecord, *, prev: bytes) -> dict[str, Any]:
    """Return the body of a record, ready to be encrypted."""
    info = record.info
    body: dict[str, Any] = {
        "format": FORMAT,
        "prev": prev.hex(),
        "actor": info.actor,
        "request_id": info.request_id,
        "trace_id": info.trace_id,
        "audit_id": info.audit_id,
    }
    match record.act:
        case Condemned():
            body["kind"] = SweepKind.CONDEMN.value
            body["domains"] = show_condemned(record.act)
        case Decided(of=of, rescued=rescued):
            body["kind"] = SweepKind.DECIDE.value
            body["of"], body["rescued"] = of, list(rescued)
        case Removed(of=of):
            body["kind"], body["of"] = SweepKind.REMOVED.value, of
    return body


_INFO: Final = {"format": int, "prev": str, "kind": str, "actor": str,
                "request_id": str, "trace_id": str, "audit_id": str}  # fmt: skip
_OWN: Final[Mapping[SweepKind, Mapping[str, type]]] = {
    SweepKind.CONDEMN: {"domains": list},
    SweepKind.DECIDE: {"of": int, "rescued": list},
    SweepKind.REMOVED: {"of": int},
}


def parse_record(body: Mapping[str, Any], *, prev: bytes) -> SweepRecord:
    """Return the record of a decrypted body that must follow `prev`.

    Raises:
        IntegrityError: It is malformed, or follows another one (RECORD_CORRUPT).
        PreconditionError: It is newer than this release (FORMAT_UNSUPPORTED).
    """
    _check_format(body.get("format"))
    try:
        kind = SweepKind(body["kind"])
        _check_fields(body, {**_INFO, **_OWN[kind]})
        if body["format"] != FORMAT or body["prev"] != prev.hex():
            raise sweep_error()
        info = SweepInfo(
            body["actor"], body["request_id"], body["trace_id"], body["audit_id"]
        )
        return SweepRecord(info, _parse_act(kind, body))
    except (ValueError, TypeError, KeyError) as error:
        raise sweep_error() from error


def show_condemned(condemned: Condemned) -> list[dict[str, Any]]:
    """Return condemned objects, ready for JSON."""
    return [
        {
            "project": format_id(domain.project),
            "domain": format_id(domain.domain),
            "objects": [
                [item.key, item.version_id, item.size_bytes]
                for item in condemned.objects[domain]
            ],
        }
        for domain in sorted(condemned.objects)
    ]


def parse_condemned(items: list[Any]) -> Condemned:
    """Return what `show_condemned` wrote.

    Raises:
        ValueError, TypeError, KeyError: It is malformed.
    """
    domains = [_parse_domain(item) for item in items]
    objects = dict(domains)
    if list(objects) != sorted(objects) or len(objects) != len(domains):
        raise ValueError(items)
    return Condemned(objects)


def sweep_error() -> IntegrityError:
    """Return the error for a sweep record that is damaged or out of place."""
    return object_error(ObjectKind.SWEEP)


def _parse_act(kind: SweepKind, body: Mapping[str, Any]) -> SweepAct:
    match kind:
        case SweepKind.CONDEMN:
            return parse_condemned(body["domains"])
        case SweepKind.DECIDE:
            return Decided(_count(body["of"]), tuple(map(_count, body["rescued"])))
        case SweepKind.REMOVED:
            return Removed(_count(body["of"]))


def _parse_domain(item: object) -> tuple[DomainId, tuple[SweptObject, ...]]:
    if not isinstance(item, dict):
        raise TypeError(item)
    _check_fields(item, {"project": str, "domain": str, "objects": list})
    project, domain = parse_id(item["project"]), parse_id(item["domain"])
    if len(project) != ID_BYTES or len(domain) != ID_BYTES:
        raise ValueError(project)
    objects = tuple(map(_parse_object, item["objects"]))
    if list(objects) != sorted(set(objects)) or not objects:
        raise ValueError(project)
    return DomainId(project, domain), objects


def _parse_object(item: object) -> SweptObject:
    match item:
        case [str(key), str(version_id), int(size)] if key.startswith(_SWEPT):
            return SweptObject(key, version_id, _count(size))
    raise ValueError(item)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def _check_format(number: object) -> None:
    if type(number) is int and number > FORMAT:
        raise PreconditionError(
            f"a sweep record has format {number}; this release reads {FORMAT}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
        )


def _check_fields(body: Mapping[str, Any], expected: Mapping[str, type]) -> None:
    if set(body) != set(expected):
        raise ValueError(sorted(body))
    for key, kind in expected.items():
        if type(body[key]) is not kind:
            raise TypeError(key)
