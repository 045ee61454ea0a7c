# SPDX-License-Identifier: Apache-2.0
"""Selectors: which version of a history a number, ref, digest or time names."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from strongroom.errors import (
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format import names
from strongroom.format.names import RefName
from strongroom_server.core.history import Committed, Deleted, History, Undeleted


def resolve(history: History, selector_text: str) -> Committed:
    """Return the version that a selector names, which can be read.

    Raises:
        NotFoundError: There is none (VERSION_NOT_FOUND, REF_NOT_FOUND).
        PreconditionError: It is in the trash, or gone (VERSION_DELETED,
            VERSION_PURGED).
        InvalidArgumentError: A digest prefix fits several versions, or the
            selector does not parse.
    """
    found = resolve_stored(history, selector_text)
    if found.version in history.purged:
        raise version_purged(history, found.version)
    if found.version in history.deleted:
        raise version_deleted(history, found.version)
    return found


def resolve_stored(history: History, selector_text: str) -> Committed:
    """Return the version that a selector names, also if it was deleted or purged.

    Raises:
        NotFoundError, InvalidArgumentError: As `resolve`.
    """
    selector = names.parse_selector(selector_text)
    match selector:
        case names.NumberSelector(number):
            if not 1 <= number <= len(history.versions):
                raise _no_version(history, selector_text)
            return history.versions[number - 1]
        case names.RefSelector(ref, back):
            return _resolve_ref(history, ref, back)
        case names.DigestSelector(prefix):
            return _resolve_digest(history, prefix)
        case names.TimeSelector(time):
            return _resolve_time(history, selector_text, time)


def version_deleted(history: History, version: int) -> PreconditionError:
    """Return the error for a version that is in the trash."""
    artifact = history.created.name.short
    deleted = history.deleted[version].entry.info.time
    until = deleted + timedelta(days=history.policy.trash_days)
    return PreconditionError(
        f"version {version} of {artifact} is in the trash since {_day(deleted)}",
        reason=Reason.VERSION_DELETED,
        hint=(
            f"Take it out with `strongroom undelete {artifact}@{version}`; it is safe "
            f"there until {_day(until)}."
        ),
        artifact=artifact,
        version=version,
        until=until.isoformat(),
    )


def version_purged(history: History, version: int) -> PreconditionError:
    """Return the error for a version that is gone for good."""
    artifact = history.created.name.short
    return PreconditionError(
        f"version {version} of {artifact} is gone: its time in the trash is over",
        reason=Reason.VERSION_PURGED,
        hint=f"Choose another version; see `strongroom log {artifact}`.",
        artifact=artifact,
        version=version,
    )


def _resolve_time(history: History, selector: str, time: datetime) -> Committed:
    """Return what `latest` was at a time."""
    older: dict[int, Committed] = {}
    for item in history.entries:
        entry = item.entry
        if entry.info.time > time:
            continue
        match entry:
            case Committed(version=version):
                older[version] = entry
            case Deleted(version=version):
                older.pop(version, None)
            case Undeleted(version=version):
                older[version] = history.versions[version - 1]
            case _:
                pass
    if not older:
        raise _no_version_then(history, selector)
    return older[max(older)]


def _resolve_ref(history: History, ref: str, back: int) -> Committed:
    if ref == names.LATEST:
        targets: Sequence[int] = [item.version for item in history.live_versions()]
    else:
        targets = history.ref_versions(ref)
    if not targets and ref != names.LATEST:
        # Which refs there are is told to those who may list them, not here.
        name = RefName(history.created.name, ref)
        raise NotFoundError(
            f"artifact {name.artifact.short} has no ref {ref!r}",
            reason=Reason.REF_NOT_FOUND,
            hint=f"See `strongroom ref ls {name.artifact.short}`.",
            artifact=name.artifact.short,
            ref=ref,
        )
    if back >= len(targets):
        raise _no_version(history, f"{ref}~{back}" if back else ref)
    return history.versions[targets[-1 - back] - 1]


def _resolve_digest(history: History, prefix: str) -> Committed:
    found = [
        item
        for item in history.stored_versions()
        if item.digest.removeprefix("sha256:").startswith(prefix)
    ]
    if not found:
        raise _no_version(history, f"sha256:{prefix}")
    if len({item.digest for item in found}) > 1:
        raise InvalidArgumentError(
            f"digest prefix {prefix} fits {len(found)} versions",
            reason=Reason.NAME_MALFORMED,
            hint="Give more digits.",
            prefix=prefix,
        )
    live = [item for item in found if history.is_live(item.version)]
    return (live or found)[-1]


def _day(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")


def _no_version_then(history: History, selector: str) -> NotFoundError:
    name, made = history.created.name.short, history.created.info.time
    first = history.versions[0].info.time if history.versions else None
    since = f"its first version came {_day(first)}" if first else "it has none yet"
    return NotFoundError(
        f"artifact {name}, made {_day(made)}, had no version to read at {selector}; "
        f"{since}",
        reason=Reason.VERSION_NOT_FOUND,
        hint=f"See `strongroom log {name}`; times are in UTC.",
        artifact=name,
        version=selector,
    )


def _no_version(history: History, selector: str) -> NotFoundError:
    name = history.created.name.short
    newest = f"the newest is {history.latest}" if history.latest else "it has none"
    return NotFoundError(
        f"artifact {name} has no version {selector}; {newest}",
        reason=Reason.VERSION_NOT_FOUND,
        hint=f"See `strongroom log {name}`.",
        artifact=name,
        version=selector,
    )
