# SPDX-License-Identifier: Apache-2.0
"""Sweeping: does what a plan says, in the order that docs/adr/0010 proves.

Condemn, wait, fence, mark again, decide, remove; each step is a record that other
sweepers see, and repeating any of them after a crash is harmless.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format.names import ProjectName
from strongroom_server.core import history, retention, sweep
from strongroom_server.core.history import Deleted
from strongroom_server.core.records import Action, Caller
from strongroom_server.core.sweep import (
    Decided,
    OpenSweep,
    Removed,
    SweepAct,
    SweepRecord,
    SweptObject,
)
from strongroom_server.core.sweep_plan import (
    PlannedVersion,
    SweepPlan,
    SweepProgress,
    SweepSummary,
    format_plan,
    parse_plan,
    plan_digest,
)
from strongroom_server.ports import BlobRemover
from strongroom_server.repository.journals import NumberTakenError, contended
from strongroom_server.repository.marking import Marker
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.requests import check_request
from strongroom_server.services.sweeping.explaining import (
    ExplainedPart,
    ObjectExplainer,
)
from strongroom_server.services.sweeping.marking import (
    SweepJob,
    SweepMarking,
    rescued_places,
)
from strongroom_server.services.sweeping.planning import (
    SweepPlanner,
    SweepSettings,
    SweepTime,
)

_ATTEMPTS: Final = 20
#: Objects that are removed at once.
_BATCH: Final = 32


class Sweeping:
    """Plans and applies sweeps. Safe to use from many threads.

    Args:
        repository: The store.
        remover: What removes objects; None: this server may condemn, not remove.
        settings: How long it waits.
    """

    def __init__(
        self,
        repository: Repository,
        remover: BlobRemover | None,
        settings: SweepSettings | None = None,
    ) -> None:
        self._repository = repository
        self._remover = remover
        self._planner = SweepPlanner(repository, settings or SweepSettings())
        self._marking = SweepMarking(repository, self._planner)
        self._explainer = ObjectExplainer(repository, self._planner)

    def plan(
        self, only: ProjectName | None = None
    ) -> Iterator[SweepProgress | SweepPlan]:
        """Yield how far planning has come, and at last the plan.

        Args:
            only: Let go of this project's versions and objects only; what was
                condemned before is due for all of them.

        Raises:
            NotFoundError: The project does not exist.
            IntegrityError: A project's record or a sweep record is damaged; a
                damaged journal or file table is a note in the plan instead.
            UnavailableError: S3 or Vault failed.
        """
        return self._planner.plan(only)

    def encode(self, plan: SweepPlan) -> bytes:
        """Return a plan as `apply` takes it."""
        return format_plan(plan, self._repository.keyring.open_store_domain())

    def explain(self, key: str) -> Iterator[ExplainedPart]:
        """Say what needs one object, or what a sweep does with it; see there."""
        return self._explainer.explain(key)

    def apply(
        self, data: bytes, *, reason: str, request_id: str, caller: Caller
    ) -> Iterator[SweepProgress | SweepSummary]:
        """Do what a plan says; yield how far it has come, and at last what was done.

        A plan may be applied again, after a crash or a lost answer; what is done
        already is not done twice.

        Raises:
            InvalidArgumentError: It is no plan, or was altered.
            PreconditionError: It is of another store, or another sweep came after
                it (PLAN_STALE); or it removes and this server may not
                (SWEEP_NOT_ALLOWED).
            UnavailableError: S3 or Vault failed; apply it again.
        """
        check_request(reason, request_id)
        repository = self._repository
        plan = parse_plan(data, repository.keyring.open_store_domain())
        log = repository.sweeps.log()
        job = SweepJob(
            plan,
            plan_digest(data),
            caller,
            reason,
            SweepTime.read(repository),
            log,
            Marker(repository),
        )
        _check_fresh(job)
        if plan.due and self._remover is None:
            raise _not_allowed()
        return self._run(job)

    def _run(self, job: SweepJob) -> Iterator[SweepProgress | SweepSummary]:
        for project in self._repository.projects.all():
            job.projects[project.scope.project] = project
        self._repository.shreds.refresh()
        yield from self._trash(job)
        due = self._due(job)
        undecided = [item for item in due if item.rescued is None]
        yield from self._marking.fence(job, undecided)
        yield from self._marking.mark(job, undecided)
        job.marker.check_epoch()
        for item in undecided:
            self._decide(job, item)
        for item in due:
            yield from self._remove(job, job.log.open.get(item.number))
        self._condemn(job)
        yield job.summary

    def _due(self, job: SweepJob) -> list[OpenSweep]:
        planned = {item.number for item in job.plan.due}
        return [
            item
            for number, item in job.log.open.items()
            if number in planned and self._planner.is_due(item, job.time)
        ]

    def _trash(self, job: SweepJob) -> Iterator[SweepProgress]:
        """Put into the trash what the policy, as it is now, does not keep."""
        trashed = 0
        for count, item in enumerate(job.plan.trash, 1):
            try:
                trashed += self._delete_if_expired(job, item)
            except (IntegrityError, PreconditionError) as error:
                # Its journal was damaged since the plan: it stays as it is.
                job.note(f"version {item.version} of {item.artifact.short}: {error}")
            yield SweepProgress("moving to the trash", count, len(job.plan.trash))
        kept = job.summary.kept_count + len(job.plan.trash) - trashed
        job.summary = replace(job.summary, trashed_count=trashed, kept_count=kept)

    def _delete_if_expired(self, job: SweepJob, item: PlannedVersion) -> bool:
        """Delete a version, unless something keeps it at this very moment."""
        artifact = self._repository.artifact(item.artifact)
        request_id = f"{job.plan_id}/{item.version}"
        for _ in range(_ATTEMPTS):
            past = artifact.history
            # What this plan deleted once, and somebody took out of the trash, stays.
            done = (Action.DELETE, "", request_id) in past.requests
            if done or not past.is_live(item.version):
                return False
            version = past.versions[item.version - 1]
            if not retention.is_expired(past, version, job.time.sure):
                return False
            info = history.make_info(
                Action.DELETE,
                job.caller,
                time=self._repository.clock.now(),
                request_id=request_id,
                reason=item.reason,
            )
            with contextlib.suppress(NumberTakenError):
                self._repository.journals.append(
                    artifact.journal,
                    artifact.scope,
                    Deleted(info, item.version),
                    behind=past,
                )
                return True
            artifact = self._repository.artifact(item.artifact)
        raise contended(artifact.journal)

    def _decide(self, job: SweepJob, item: OpenSweep) -> None:
        """Say for good which of the condemned objects stay."""
        act = Decided(item.number, tuple(rescued_places(job, item)))
        for _ in range(_ATTEMPTS):
            current = job.log.open.get(item.number)
            if current is None or current.rescued is not None:
                break  # another sweeper decided; what stands is what counts
            if self._append(job, act, "decide"):
                break
        else:
            raise PreconditionError(
                "other sweeps won every attempt",
                reason=Reason.PLAN_STALE,
                hint="Plan the sweep again.",
            )
        current = job.log.open.get(item.number)
        rescued = len(current.rescued or ()) if current is not None else 0
        kept = job.summary.kept_count + rescued
        job.summary = replace(job.summary, kept_count=kept)

    def _remove(self, job: SweepJob, item: OpenSweep | None) -> Iterator[SweepProgress]:
        """Remove exactly what was condemned and not rescued."""
        if item is None or item.rescued is None:
            return
        doomed = item.doomed()
        locked = 0
        for start in range(0, len(doomed), _BATCH):
            batch = doomed[start : start + _BATCH]
            locked += self._remove_batch(job, batch)
            yield SweepProgress("removing", start + len(batch), len(doomed))
        if locked:
            kept = job.summary.kept_count + locked
            job.summary = replace(job.summary, kept_count=kept)
            job.note(
                f"{locked} objects of sweep {item.number} are locked, or the "
                f"credential may not remove them: the next sweep tries again"
            )
            return
        for _ in range(_ATTEMPTS):
            if item.number not in job.log.open:
                return
            if self._append(job, Removed(item.number), "removed"):
                return

    def _remove_batch(self, job: SweepJob, batch: list[SweptObject]) -> int:
        """Remove some objects; return how many of them could not be."""
        remover = self._remover
        if remover is None:
            raise _not_allowed()

        def remove(item: SweptObject) -> bool | None:
            try:
                return remover.remove(item.key, version_id=item.version_id)
            except PreconditionError as error:
                if error.reason is not Reason.STORE_ACCESS_DENIED:
                    raise
                return None

        submit = self._repository.executor.submit
        futures = [(item, submit(remove, item)) for item in batch]
        outcomes = [(item, future.result()) for item, future in futures]
        removed = [item for item, outcome in outcomes if outcome]
        job.summary = replace(
            job.summary,
            removed_count=job.summary.removed_count + len(removed),
            removed_bytes=job.summary.removed_bytes
            + sum(item.size_bytes for item in removed),
        )
        return sum(outcome is None for _, outcome in outcomes)

    def _condemn(self, job: SweepJob) -> None:
        """Condemn what nothing needs; it can be removed when the grace is over."""
        if job.plan_id in job.log.requests:
            job.note("the plan's objects were condemned by an earlier attempt")
            return
        for _ in range(_ATTEMPTS):
            known = {found for item in job.log.open.values() for found in item.doomed()}
            fresh = [item for item in job.candidates if item[1] not in known]
            act, _ = sweep.fit_record(fresh)
            if not act.objects:
                break
            if self._append(job, act, ""):
                objects = act.all()
                job.summary = replace(
                    job.summary,
                    condemned_count=len(objects),
                    condemned_bytes=sum(item.size_bytes for item in objects),
                )
                break
        for note in job.plan.notes:
            job.note(note)

    def _append(self, job: SweepJob, act: SweepAct, what: str) -> bool:
        """Add a record; False: another sweeper was first, and the log is new."""
        request_id = f"{job.plan_id}/{what}" if what else job.plan_id
        record = SweepRecord(sweep.make_info(job.caller, request_id), act)
        sweeps = self._repository.sweeps
        try:
            job.log = sweeps.append(record, behind=job.log)
        except NumberTakenError:
            job.log = sweeps.log()
            return False
        return True


def _check_fresh(job: SweepJob) -> None:
    own = (job.plan_id, f"{job.plan_id}/decide", f"{job.plan_id}/removed")
    if job.log.count != job.plan.epoch and job.log.requests.isdisjoint(own):
        raise PreconditionError(
            f"the plan was made at sweep record {job.plan.epoch}; by now there are "
            f"{job.log.count}",
            reason=Reason.PLAN_STALE,
            hint="Plan the sweep again.",
            epoch=job.plan.epoch,
            current=job.log.count,
        )


def _not_allowed() -> PreconditionError:
    return PreconditionError(
        "this server holds no credential that may remove objects",
        reason=Reason.SWEEP_NOT_ALLOWED,
        hint="Set store.remover_credentials_file in the settings of one server.",
    )
