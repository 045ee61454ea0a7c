# SPDX-License-Identifier: Apache-2.0
"""Sweep plans: what a sweep would do, as canonical JSON that nobody can alter.

A plan is written by a server and given back to one. It names the store and the sweep
epoch that it was made at, and ends in a MAC under the store's own key.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom.format.names import ArtifactName
from strongroom_server.core import canonical
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.sweep import (
    Condemned,
    OpenSweep,
    parse_condemned,
    show_condemned,
)

FORMAT: Final = 1
TYPE: Final = "strongroom-sweep-plan"
MAX_PLAN_BYTES: Final = 32 * 1024 * 1024
#: Versions that one plan may name; the rest waits for the next sweep.
MAX_VERSIONS: Final = 50_000
_KEY_KIND: Final = "plan"
#: In canonical JSON the two stand side by side; inside a string they cannot.
_SEAL: Final = re.compile(rb'"format":([0-9]{1,9}),("mac":"([0-9a-f]{64})",)')
_STORE: Final = re.compile(rb'"store":"([0-9a-f]{32})"')


@dataclass(frozen=True, slots=True, order=True)
class PlannedVersion:
    """A version that goes, and why."""

    artifact: ArtifactName
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class DueSweep:
    """Condemned objects whose grace is over, or that were decided on already."""

    number: int
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep would do.

    Attributes:
        store: The store's id, 16 bytes.
        epoch: How many sweep records there were.
        made_s: When it was made, in Unix seconds of the store's clock.
        trash: Versions that the policy no longer keeps: to the trash.
        purge: Versions whose time in the trash is over: gone for good as soon as
            a fence is set, which the first due sweep of their domain does.
        condemned: Objects that nothing needs any more: condemned now, removed
            by a later sweep when their grace is over.
        due: What was condemned before and may be removed now.
        notes: What waits for another sweep, or was refused, and why.
    """

    store: bytes
    epoch: int
    made_s: int
    trash: tuple[PlannedVersion, ...] = ()
    purge: tuple[PlannedVersion, ...] = ()
    condemned: Condemned = field(default_factory=lambda: Condemned({}))
    due: tuple[DueSweep, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> "SweepSummary":
        """What it would do, in numbers."""
        objects = self.condemned.all()
        return SweepSummary(
            trashed_count=len(self.trash),
            purged_count=len(self.purge),
            condemned_count=len(objects),
            condemned_bytes=sum(item.size_bytes for item in objects),
            removed_count=sum(item.count for item in self.due),
            removed_bytes=sum(item.size_bytes for item in self.due),
            kept_count=0,
            notes=self.notes,
        )


@dataclass(frozen=True, slots=True)
class SweepSummary:
    """What a sweep would do, or did.

    Attributes:
        trashed_count: Versions that went to the trash by policy.
        purged_count: Versions that are gone for good.
        condemned_count: Objects newly condemned.
        condemned_bytes: Their size.
        removed_count: Condemned objects that were removed.
        removed_bytes: Their size.
        kept_count: Versions and objects of the plan that stay after all.
        notes: What waits, was refused or stays, and why.
    """

    trashed_count: int = 0
    purged_count: int = 0
    condemned_count: int = 0
    condemned_bytes: int = 0
    removed_count: int = 0
    removed_bytes: int = 0
    kept_count: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far a sweep has come; `total_count` is 0 while it is not known."""

    stage: str
    done_count: int
    total_count: int


def due_sweep(sweep: OpenSweep) -> DueSweep:
    """Return an open sweep as a plan names it."""
    doomed = sweep.doomed()
    return DueSweep(sweep.number, len(doomed), sum(item.size_bytes for item in doomed))


def plan_digest(data: bytes) -> str:
    """Return the id under which the records of a plan's sweep are found again."""
    return f"plan/{hashlib.sha256(data).hexdigest()}"


def format_plan(plan: SweepPlan, keys: DomainKeys) -> bytes:
    """Return a plan's bytes. `keys`: the store's own."""
    body = {
        "format": FORMAT,
        "type": TYPE,
        "store": plan.store.hex(),
        "epoch": plan.epoch,
        "made": plan.made_s,
        "trash": [_show_version(item) for item in plan.trash],
        "purge": [_show_version(item) for item in plan.purge],
        "condemned": show_condemned(plan.condemned),
        "due": [[item.number, item.count, item.size_bytes] for item in plan.due],
        "notes": list(plan.notes),
    }
    return canonical.encode({**body, "mac": _mac(canonical.encode(body), keys)})


def parse_plan(data: bytes, keys: DomainKeys) -> SweepPlan:
    """Return the plan that `format_plan` wrote with the same keys.

    Nothing is parsed before the MAC is checked: what a stranger wrote could take
    many times its size of memory.

    Raises:
        InvalidArgumentError: It is no plan, or was altered (ARGUMENT_INVALID).
        PreconditionError: It is of another store (PLAN_STALE), or newer than this
            release (FORMAT_UNSUPPORTED).
    """
    found = _SEAL.search(data) if len(data) <= MAX_PLAN_BYTES else None
    if found is None:
        raise _altered()
    if int(found[1]) != FORMAT:
        raise PreconditionError(
            "the plan has a format that this release does not read",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server, or plan again.",
        )
    store = _STORE.search(data, found.end())
    if store is not None and store[1].decode() != keys.scope.store.hex():
        raise PreconditionError(
            "the plan is of another store",
            reason=Reason.PLAN_STALE,
            hint="Plan the sweep of this store with `strongroom sweep --plan`.",
        )
    mac = found[3].decode()
    signed = data[: found.start(2)] + data[found.end(2) :]
    if not hmac.compare_digest(mac, _mac(signed, keys)):
        raise _altered()
    try:
        body = canonical.decode_object(signed, MAX_PLAN_BYTES)
        # The MAC may stand in one place only: a plan has one encoding.
        if canonical.encode({**body, "mac": mac}) != data or body["type"] != TYPE:
            raise _altered()
        return _parse(body)
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise _altered() from error


def _parse(body: Mapping[str, Any]) -> SweepPlan:
    return SweepPlan(
        bytes.fromhex(body["store"]),
        body["epoch"],
        body["made"],
        tuple(map(_parse_version, body["trash"])),
        tuple(map(_parse_version, body["purge"])),
        parse_condemned(body["condemned"]),
        tuple(DueSweep(*item) for item in body["due"]),
        tuple(body["notes"]),
    )


def _show_version(item: PlannedVersion) -> list[object]:
    return [item.artifact.project, item.artifact.artifact, item.version, item.reason]


def _parse_version(item: list[Any]) -> PlannedVersion:
    project, artifact, version, reason = item
    return PlannedVersion(ArtifactName(project, artifact), version, reason)


def _mac(body: bytes, keys: DomainKeys) -> str:
    return hmac.digest(keys.object_key(_KEY_KIND), body, "sha256").hex()


def _altered() -> InvalidArgumentError:
    return InvalidArgumentError(
        "this is no sweep plan as a server wrote it",
        reason=Reason.ARGUMENT_INVALID,
        hint="Plan again with `strongroom sweep --plan`, and leave the file as it is.",
    )
