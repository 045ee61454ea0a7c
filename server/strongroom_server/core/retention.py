# SPDX-License-Identifier: Apache-2.0
"""Retention: which versions a policy, a ref, a hold or the trash keeps, and why.

Pure decisions about one history at one time. Nothing here removes anything: what
is no longer kept goes to the trash first, and what was in the trash long enough is
purged by a sweep.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.errors import PreconditionError, Reason
from strongroom.format import names
from strongroom_server.core.history import Committed, History
from strongroom_server.core.records import VersionState

#: What `expired` says in the journal.
REASON_PREFIX: Final = "retention"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Why one version is kept.

    Attributes:
        version: Its number.
        state: Whether it can be read.
        kept: Whether a sweep now would leave it where it is.
        causes: Why, one sentence each; of a version that goes, why it goes.
        until: When it would go if nothing changes; None: not foreseeable.
    """

    version: int
    state: VersionState
    kept: bool
    causes: tuple[str, ...]
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Expired:
    """A version that the policy no longer keeps, and why."""

    version: int
    reason: str


def state_of(history: History, version: int) -> VersionState:
    """Return whether a version, which exists, can be read."""
    if version in history.purged:
        return VersionState.PURGED
    return VersionState.DELETED if version in history.deleted else VersionState.LIVE


def trash_time(history: History, version: int) -> timedelta:
    """Return how long a version stays in the trash at least.

    What its policy said when it was deleted: that was promised, so a later policy
    can only make it longer.
    """
    promised = history.promised_days[version]
    return timedelta(days=max(promised, history.policy.trash_days))


def purge_time(history: History, version: int) -> datetime:
    """Return until when a version in the trash can be undeleted at least."""
    deleted = history.deleted[version].entry.info.time
    return later(deleted, trash_time(history, version))


def later(start: datetime, span: timedelta) -> datetime:
    """Return a time after another; the last that there is, if it is beyond it.

    A clock that is wrong by ages must not make a history that cannot be told.
    """
    try:
        return start + span
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def explain(
    history: History,
    version: Committed,
    now: datetime,
    best: Collection[int] | None = None,
) -> Keeping:
    """Say why a version is kept.

    Args:
        history: Of its artifact.
        version: The version.
        now: When it is to be kept.
        best: What `best_versions` returns of the history, if it is known.
    """
    number = version.version
    state = state_of(history, number)
    if state is VersionState.PURGED:
        return Keeping(number, state, kept=False, causes=("it is gone",), until=None)
    holds = tuple(_holds(history, number))
    if state is VersionState.DELETED:
        ending = purge_time(history, number)
        over = ending <= now and not holds
        trash = "its time in the trash is over" if over else "it is in the trash"
        purged = None if holds else ending
        return Keeping(number, state, not over, (*holds, trash), purged)
    ranked = best_versions(history) if best is None else best
    firm = (
        *holds,
        *_refs(history, number),
        *_newest(history, number),
        *_best(history, version, ranked),
    )
    age = _age(history, version, now)
    if firm or age:
        until = None if firm else later(version.info.time, _keep_time(history))
        return Keeping(number, state, kept=True, causes=(*firm, *age), until=until)
    return Keeping(number, state, kept=False, causes=(_rule(history),), until=now)


def expired(history: History, now: datetime) -> list[Expired]:
    """Return the readable versions that nothing keeps, oldest first."""
    if not history.policy.lets_go:
        return []
    best = best_versions(history)
    return [
        Expired(version.version, f"{REASON_PREFIX}: {keeping.causes[0]}")
        for version in history.live_versions()
        if not (keeping := explain(history, version, now, best)).kept
    ]


def is_expired(history: History, version: Committed, now: datetime) -> bool:
    """Return whether nothing keeps a version, which can be read."""
    return history.policy.lets_go and not explain(history, version, now).kept


def best_versions(history: History) -> frozenset[int]:
    """Return the versions that the policy keeps as the best, of those to be read.

    A version in the trash takes nobody's place, and a hold or a ref on a version does
    not change how good it is.
    """
    policy = history.policy
    if not policy.keep_best:
        return frozenset()
    sign = 1.0 if policy.best_order == "min" else -1.0
    ranked = sorted(
        (sign * number, -version.version)
        for version in history.live_versions()
        if (number := _number(version, policy.best_by)) is not None
    )
    return frozenset(-version for _, version in ranked[: policy.keep_best])


def check_deletable(history: History, version: int) -> None:
    """Check that nothing forbids to delete a version, which can be read.

    Raises:
        PreconditionError: A hold or a ref does (LEGAL_HOLD, VERSION_IN_USE).
    """
    name = history.created.name.short
    held = [
        shown
        for number, shown in ((0, name), (version, f"{name}@{version}"))
        if number in history.held
    ]
    if held:
        lift = " and ".join(f"`strongroom hold lift {shown}`" for shown in held)
        raise PreconditionError(
            f"version {version} of {name} is under legal hold: {', '.join(held)}",
            reason=Reason.LEGAL_HOLD,
            hint=f"Whoever set the hold can lift it: {lift}.",
            artifact=name,
            version=version,
            held=",".join(held),
        )
    refs = [ref for ref in history.refs_at(version) if ref != names.LATEST]
    if refs:
        raise PreconditionError(
            f"version {version} of {name} is in use: {', '.join(refs)} points at it",
            reason=Reason.VERSION_IN_USE,
            hint="Move the ref to another version first.",
            artifact=name,
            version=version,
            refs=",".join(refs),
        )


def _holds(history: History, version: int) -> Iterator[str]:
    if 0 in history.held:
        yield "a legal hold keeps the whole artifact"
    if version in history.held:
        yield "a legal hold keeps it"


def _refs(history: History, version: int) -> Iterator[str]:
    for ref in sorted(history.refs):
        targets = history.ref_versions(ref)
        if targets[-1] == version:
            yield f"ref {ref} points at it"
        elif version in targets[-2:-1]:
            yield f"ref {ref} pointed at it before ({ref}~1)"


def _newest(history: History, version: int) -> Iterator[str]:
    policy = history.policy
    if not policy.lets_go:
        yield "the policy keeps all versions"
        return
    # The newest one is what a run goes on from, however bad it is.
    count = policy.keep_last or 1
    newest = history.live_versions()[-count:]
    if newest and version >= newest[0].version:
        yield "it is the newest" if count == 1 else f"the {count} newest are kept"


def _best(history: History, version: Committed, best: Collection[int]) -> Iterator[str]:
    policy = history.policy
    if version.version in best:
        rank = "lowest" if policy.best_order == "min" else "highest"
        many = f"among the {policy.keep_best}" if policy.keep_best > 1 else "the"
        value = version.metadata[policy.best_by]
        yield f"its {policy.best_by}, {value}, is {many} {rank}"


def _number(version: Committed, key: str) -> float | None:
    """Return a number of a version's metadata; None if it has none to go by."""
    try:
        number = float(version.metadata[key])
    except (KeyError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _age(history: History, version: Committed, now: datetime) -> tuple[str, ...]:
    days = history.policy.keep_days
    young = days and later(version.info.time, _keep_time(history)) > now
    return (f"versions younger than {days} days are kept",) if young else ()


def _keep_time(history: History) -> timedelta:
    return timedelta(days=history.policy.keep_days)


def _rule(history: History) -> str:
    policy = history.policy
    kept = [f"the {policy.keep_last} newest" if policy.keep_last else "the newest"]
    if policy.keep_best:
        kept.append(f"the {policy.keep_best} best by {policy.best_by}")
    if policy.keep_days:
        kept.append(f"those younger than {policy.keep_days} days")
    return f"the policy keeps {' and '.join(kept)}"
