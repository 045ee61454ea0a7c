# SPDX-License-Identifier: Apache-2.0
"""The replicator as a process, and what an operator asks of a replica.

It holds a credential that reads the primary's bucket and one that writes the replica's;
no key, and no credential of Vault.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server import process_memory
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3 import S3BlobStore, S3Settings, open_s3
from strongroom_server.config import read_credentials
from strongroom_server.config.replication import (
    PrimarySection,
    ReplicaSection,
    ReplicationSettings,
    read_public_keys,
    read_replication_settings,
)
from strongroom_server.ports import Clock
from strongroom_server.process_signals import stop_on_signals
from strongroom_server.replica_telling import (
    counts_of,
    not_copied,
    not_whole,
    told_promotion,
    told_round,
    told_status,
)
from strongroom_server.repository.replica_records import ReplicaRecords
from strongroom_server.repository.throttle import Throttle
from strongroom_server.services.replication import (
    Ends,
    Finding,
    LagMeter,
    Promotion,
    ReplicaSurvey,
    Replicator,
    RoundReport,
    read_heads,
)
from strongroom_server.telemetry import CallThreads, gauge, log_to_stderr, telemetry

_LOG: Final = logging.getLogger("strongroom_server.replica")
#: Rounds of `--once` that sweeps may overtake; the next goes on where each ended.
_MAX_ROUNDS: Final = 10
#: After a failure, the next round waits for so long at most.
_MAX_WAIT_S: Final = 60.0
#: By then, replicators have looked again, and ended what they were about to write.
FENCE_S: Final = 60.0


class _StoppedError(Exception):
    """The process is to end; what is under way may be left as it is."""


class _StoppingThrottle(Throttle):
    """Looks, before anything is read, whether the process is to end."""

    def __init__(self, clock: Clock, stop: threading.Event, rate: int) -> None:
        super().__init__(clock, max_bytes_per_second=rate, on_wait=self._check)
        self._stop = stop

    def spend(self, size_bytes: int) -> None:
        """See `Throttle`."""
        self._check()
        super().spend(size_bytes)

    def _check(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


def replicate(config: Path, *, once: bool, write: Callable[[str], object]) -> None:
    """Copy until SIGTERM or SIGINT; or, once, until the replica has everything.

    Args:
        config: The replicator's settings.
        once: Whether to end then.
        write: Takes, with `once`, what was done, as a line of JSON.

    Raises:
        StrongroomError: The settings or a bucket do not allow it; once, also what
            could not be copied.
    """
    settings = read_replication_settings(config)
    process_memory.keep_private()
    log_to_stderr()
    stop = stop_on_signals()
    with ExitStack() as stack:
        clock = SystemClock()
        ends = _open_ends(settings, clock, stop, stack)
        replicator = Replicator(ends, public_keys=read_public_keys(settings))
        try:
            if once:
                _replicate_once(replicator, write)
                return
            _replicate_on(replicator, settings.replica, clock, stop)
        except _StoppedError:
            pass
        _log("stopping")


def status(config: Path, *, write: Callable[[str], object]) -> None:
    """Tell how far the replica is behind the primary, as a line of JSON.

    Raises:
        PreconditionError: It is no replica, which is told, too (STORE_UNSUITABLE).
        StrongroomError: The settings are wrong, or a bucket cannot be reached.
    """
    settings = read_replication_settings(config)
    with ExitStack() as stack:
        ends = _open_ends(settings, SystemClock(), threading.Event(), stack)
        heads = read_heads(ends.source, ends.target)
        state = ReplicaRecords(ends.target).state()
        write(told_status(state, heads, ends.source.time_s()))
        if state is None:
            raise PreconditionError(
                f"the bucket {settings.replica.bucket} is no replica yet",
                reason=Reason.STORE_UNSUITABLE,
                hint="If one was replicated to, the settings name another bucket or "
                "prefix: mend [replica]. Else: strongroom-server replicate",
            )


def promote(config: Path, *, force: bool, stopped: bool) -> str:
    """Make the replica a store of its own, and say what servers of it need.

    Args:
        config: The replicator's settings.
        force: Whether to go on though entries are missing, or the replica is not
            whole.
        stopped: Whether the operator knows that no replicator runs any more.

    Raises:
        PreconditionError: It is no replica; or, without force, the primary can be
            reached and has more (STORE_UNSUITABLE).
        IntegrityError: It is not whole, without force (RECORD_CORRUPT).
        UnavailableError: The replica's bucket cannot be reached.
    """
    settings = read_replication_settings(config)
    clock = SystemClock()
    with ExitStack() as stack:
        ends = _open_ends(settings, clock, threading.Event(), stack)
        promotion = Promotion(ends.target, ends.executor)
        survey = promotion.survey()
        primary: dict[str, Any] = {"primary": "not asked"}
        if not survey.is_promoted:
            primary = _ask_primary(ends)
            if not force:
                _require_whole(survey, primary.get("missing", 0))
            promotion.promote(survey.store, clock.now())
            if not stopped:
                # Who writes an entry now looked before the promotion was there.
                clock.sleep(FENCE_S)
        place = _place(settings.replica)
        return told_promotion(place, survey, promotion.survey(), primary)


def _replicate_once(replicator: Replicator, write: Callable[[str], object]) -> None:
    overtaken_count = 0
    while True:
        report = replicator.round()
        if report.is_complete:
            write(told_round(report))
            if report.finding_count:
                raise not_copied(report.findings, report.finding_count)
            return
        overtaken_count += report.is_overtaken
        if overtaken_count == _MAX_ROUNDS:
            raise _waits(f"in each of {_MAX_ROUNDS} rounds a sweep was at work")
        # More than one round takes up goes on for as long as it becomes less.
        goes_on = report.heads.is_more and report.entry_count
        if not report.is_overtaken and not goes_on:
            break
    write(told_round(report))
    if not report.finding_count:
        entries = f"{report.missing_count} journal entries are missing"
        raise _waits(f"{entries}, and nothing was found that keeps them back")
    raise not_whole(report.findings, report.finding_count)


def _waits(message: str) -> UnavailableError:
    return UnavailableError(
        message, reason=Reason.STORE_UNAVAILABLE, hint="Run it again later."
    )


def _replicate_on(
    replicator: Replicator, section: ReplicaSection, clock: Clock, stop: threading.Event
) -> None:
    """Make rounds until somebody stops it; failures of a bucket are waited out."""
    meter, told, failures = LagMeter(clock), frozenset[Finding](), 0
    _log("replicating", version=version("strongroom"))
    with _gauges(meter):
        while not stop.is_set():
            began_s, wait_s = clock.monotonic(), section.every_s
            try:
                report = replicator.round()
            except PreconditionError:
                raise
            except StrongroomError as error:
                failures += 1
                wait_s = min(section.every_s * 2**failures, _MAX_WAIT_S)
                _log("replication_failed", logging.WARNING, **_failure(error))
            else:
                failures = 0
                meter.note(report, began_s)
                told = _tell(report, told)
                if report.is_overtaken or report.heads.is_more:
                    continue
            if meter.lag_s() > section.alarm_s:
                _log("replica_behind", logging.ERROR, lag_s=round(meter.lag_s(), 1))
            stop.wait(wait_s)


def _tell(report: RoundReport, told: frozenset[Finding]) -> frozenset[Finding]:
    """Log what a round did, and what it found that was not told before."""
    if report.object_count or report.entry_count:
        _log("replicated", **counts_of(report))
    for finding in report.findings:
        if finding not in told:
            _log("replica_finding", logging.ERROR, **asdict(finding))
    return frozenset(report.findings)


@contextmanager
def _gauges(meter: LagMeter) -> Iterator[None]:
    with (
        gauge(
            "strongroom.replication.lag",
            "For how long nobody has seen the replica have everything.",
            unit="s",
            read=meter.lag_s,
        ),
        gauge(
            "strongroom.replication.missing",
            "Journal entries that the replica lacked after the last round.",
            unit="{entry}",
            read=lambda: float(meter.missing_count),
        ),
        gauge(
            "strongroom.replication.findings",
            "Objects that the last round could not copy.",
            unit="{object}",
            read=lambda: float(meter.finding_count),
        ),
    ):
        yield


def _ask_primary(ends: Ends) -> dict[str, Any]:
    """Return whether the primary could be asked, and what it has that we have not."""
    try:
        heads = read_heads(ends.source, ends.target)
    except (UnavailableError, PreconditionError) as error:
        # That is what replicas are for; a wrong credential looks the same.
        return {"primary": "out of reach", "primary_problem": error.message}
    return {"primary": "asked", "missing": heads.missing_count}


def _require_whole(survey: ReplicaSurvey, missing_count: int) -> None:
    if survey.finding_count:
        raise not_whole(tuple(survey.findings), survey.finding_count)
    if missing_count:
        raise PreconditionError(
            f"the primary can be reached, and has {missing_count} journal "
            "entries that the replica has not: they would be lost",
            reason=Reason.STORE_UNSUITABLE,
            hint="Stop the primary's servers, run `strongroom-server replicate --once` "
            "and promote then; or promote with --force.",
        )


def _place(section: ReplicaSection) -> dict[str, str]:
    return {
        "store.endpoint": section.endpoint,
        "store.region": section.region,
        "store.bucket": section.bucket,
        "store.prefix": section.prefix,
    }


def _open_ends(
    settings: ReplicationSettings,
    clock: Clock,
    stop: threading.Event,
    stack: ExitStack,
) -> Ends:
    section = settings.telemetry
    stack.enter_context(
        telemetry(
            service_name=section.service_name,
            spans_file=section.spans_file,
            otlp_endpoint=section.otlp_endpoint,
            clock=clock,
        )
    )
    threads: ThreadPoolExecutor = stack.enter_context(
        CallThreads(settings.workers.threads, "copy")
    )
    rate = settings.replica.max_bytes_per_second
    return Ends(
        source=_open_bucket(settings.store, settings, clock, stack),
        target=_open_bucket(settings.replica, settings, clock, stack),
        clock=clock,
        executor=threads,
        throttle=_StoppingThrottle(clock, stop, rate),
    )


def _open_bucket(
    section: PrimarySection | ReplicaSection,
    settings: ReplicationSettings,
    clock: Clock,
    stack: ExitStack,
) -> S3BlobStore:
    keys = read_credentials(section.credentials_file)
    is_ours = isinstance(section, ReplicaSection)
    role = "the replica's bucket" if is_ours else "the primary's bucket"
    pool_size = settings.workers.threads
    s3 = S3Settings.of(section, keys, pool_size=pool_size, role=role)
    return stack.enter_context(open_s3(s3, clock))


def _failure(error: StrongroomError) -> dict[str, Any]:
    return {"reason": error.reason.value, "problem": error.message}


def _log(event: str, level: int = logging.INFO, **told: object) -> None:
    _LOG.log(level, "%s", json.dumps({"event": event, **told}))
