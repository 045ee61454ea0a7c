# SPDX-License-Identifier: Apache-2.0
"""Reconciliation: does our log explain all that Vault's own says was done with keys?

Each use of a key in Vault's audit log has an id that Vault chose and told whoever
asked. Our entries name the ids that servers were told. What is left was asked for by
somebody else: with a stolen token, or by an administrator of Vault.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom_server.core.key_requests import LOST, ids_of
from strongroom_server.core.vault_audit import VaultRequest, parse_vault_line
from strongroom_server.services.auditing.queries import AuditQuery
from strongroom_server.services.auditing.reading import AuditReader

#: Younger uses, counted from our newest entry, may be recorded yet.
GRACE: Final = timedelta(seconds=60)
#: So may those right behind it, such as signatures of the log's end, and those of the
#: moment. Later ones may not: servers that are still would excuse every thief.
BEHIND: Final = timedelta(seconds=60)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Reconciliation:
    """What came of comparing both logs.

    Attributes:
        uses: Uses of keys that Vault's log shows, in the time that was asked for.
        explained: Of these, those that an entry of ours names.
        excepted: Those of principals that were left out.
        refused: Those that Vault refused, so that nothing was given.
        recent: Those so close to our newest entry, or to now, that their entry may
            not be there yet.
        unexplained: The rest, by time.
        changes: What was done to keys themselves and no entry names, by time.
        missing: Ids that our entries name, and Vault's log does not.
        lost: Ids that servers could not record, by their own account.
        named: Ids that our entries of that time name.
    """

    uses: int = 0
    explained: int = 0
    excepted: int = 0
    refused: int = 0
    recent: int = 0
    unexplained: list[VaultRequest] = field(default_factory=list)
    changes: list[VaultRequest] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    lost: int = 0
    named: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when requests are compared; nothing stands for any time."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, time: datetime) -> bool:
        """Tell whether a time lies in it."""
        early = self.since is not None and time < self.since
        return not early and (self.until is None or time < self.until)


def read_vault_log(
    lines: Iterable[bytes], *, mount: str, name: str
) -> Iterator[VaultRequest]:
    """Yield the requests of one of Vault's audit files that concern keys.

    Args:
        lines: Of the file, each with its line feed; the last may lack it, and is then
            one that Vault is writing.
        mount: Of transit.
        name: Of the file, for errors.

    Raises:
        IntegrityError: A line is none of such a file (AUDIT_CORRUPT); names it.
    """
    torn = 0
    for number, line in enumerate(lines, 1):
        if torn:
            raise _no_line(name, torn)
        if not line.endswith(b"\n"):
            torn = number
            continue
        try:
            found = parse_vault_line(line, mount=mount)
        except IntegrityError as error:
            raise _no_line(name, number) from error
        if found is not None:
            yield found


def reconcile(
    reader: AuditReader,
    requests: Iterable[VaultRequest],
    *,
    span: Span,
    now: datetime,
    excepted: Collection[str] = (),
) -> Reconciliation:
    """Compare Vault's log with ours; all of ours is checked as it goes by.

    Args:
        reader: Of our log.
        requests: Of Vault's, out of all of its files; lines that say the same of one
            request count once.
        span: Which of these to compare.
        now: The time.
        excepted: Principals of Vault whose requests are not ours.

    Raises:
        IntegrityError: Our log is damaged (AUDIT_CORRUPT).
    """
    known = _merged(requests)
    result = Reconciliation()
    named, newest = _named(reader, result)
    result.named = sum(span.holds(time) for time in named.values())

    def is_recent(time: datetime) -> bool:
        is_old = time <= newest - GRACE
        return not is_old and (time <= newest + BEHIND or time > now - BEHIND)

    for request in sorted(known.values(), key=lambda item: item.time):
        if span.holds(request.time):
            _sort(result, request, named, is_recent, excepted)
    if known:
        first = min(item.time for item in known.values())
        last = max(item.time for item in known.values())
        result.missing = [
            request_id
            for request_id, time in named.items()
            if request_id not in known and first <= time <= last and span.holds(time)
        ]
    return result


def check_compared(result: Reconciliation, *, mount: str) -> None:
    """Check that there was something to compare.

    Raises:
        InvalidArgumentError: Vault's files show no use of a key at all, and our
            entries name some: they are other files, or of another mount.
    """
    if result.named and not result.uses:
        raise InvalidArgumentError(
            f"Vault's audit log, as far as it was given, shows no use of a key below "
            f"{mount}/, and our entries name {result.named}",
            hint="Name all files of all audit devices, and the mount of transit: "
            "--vault-log, --mount.",
            mount=mount,
        )


def check_explained(result: Reconciliation) -> None:
    """Check that nothing is left that our log does not explain.

    Raises:
        IntegrityError: There is (AUDIT_UNEXPLAINED); names the first.
    """
    if not result.unexplained:
        return
    first = result.unexplained[0]
    raise IntegrityError(
        f"uses of keys in Vault's audit log: {len(result.unexplained)} explained by "
        f"no entry of ours; the first is {first.path} at {first.time.isoformat()} by "
        f"{first.principal} from {first.address}",
        reason=Reason.AUDIT_UNEXPLAINED,
        hint="See `Vault was asked by somebody else` in docs/operations.md.",
        request_id=first.request_id,
    )


def _no_line(name: str, number: int) -> IntegrityError:
    return IntegrityError(
        f"line {number} of {name} is none of Vault's audit log",
        reason=Reason.AUDIT_CORRUPT,
        hint="Name files of its file audit device, unpacked.",
    )


def _merged(requests: Iterable[VaultRequest]) -> dict[str, VaultRequest]:
    known: dict[str, VaultRequest] = {}
    for request in requests:
        before = known.get(request.request_id)
        if before is None:
            known[request.request_id] = request
        elif request.is_refused and not before.is_refused:
            known[request.request_id] = replace(before, is_refused=True)
    return known


def _named(
    reader: AuditReader, result: Reconciliation
) -> tuple[dict[str, datetime], datetime]:
    """Return the ids that our entries name, with their times, and the newest time."""
    named: dict[str, datetime] = {}
    newest = _EPOCH
    for entry in reader.entries(AuditQuery()):
        time = datetime.fromisoformat(entry.body["time"]).astimezone(UTC)
        newest = max(newest, time)
        detail = entry.body["detail"]
        result.lost += int(detail.get(LOST, "0"))
        for request_id in ids_of(detail):
            named[request_id] = time
    return named, newest


def _sort(
    result: Reconciliation,
    request: VaultRequest,
    named: Collection[str],
    is_recent: Callable[[datetime], bool],
    excepted: Collection[str],
) -> None:
    """Put a request where it belongs."""
    if not request.is_use:
        if request.request_id not in named and not request.is_refused:
            result.changes.append(request)
        return
    result.uses += 1
    if request.request_id in named:
        result.explained += 1
    elif request.is_refused:
        result.refused += 1
    elif request.principal in excepted:
        result.excepted += 1
    elif is_recent(request.time):
        result.recent += 1
    else:
        result.unexplained.append(request)
