# SPDX-License-Identifier: Apache-2.0
"""The careful half of a sweep: fence the journals, then mark once more.

After a fence, no commit can name what is condemned; so what these marks find is all
that will ever be needed of it (docs/adr/0010).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError
from strongroom.format.names import ArtifactName
from strongroom_server.core import history as history_format
from strongroom_server.core import layout
from strongroom_server.core.history import Fenced, History
from strongroom_server.core.records import Action, Caller
from strongroom_server.core.scope import format_id
from strongroom_server.core.sweep import DomainId, OpenSweep, SweepLog, SweptObject
from strongroom_server.core.sweep_plan import SweepPlan, SweepProgress, SweepSummary
from strongroom_server.repository.domains import Domain, domains_of
from strongroom_server.repository.journals import (
    JournalId,
    NumberTakenError,
    contended,
)
from strongroom_server.repository.marking import JournalState, Marker
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository
from strongroom_server.services.sweeping.planning import (
    SweepPlanner,
    SweepTime,
    refused_note,
)

_ATTEMPTS: Final = 20
#: Versions that one fence purges, so that its journal entry stays below its limit.
_MAX_PURGED: Final = 10_000


@dataclass(slots=True)
class SweepJob:
    """One plan being applied."""

    plan: SweepPlan
    plan_id: str
    caller: Caller
    reason: str
    time: SweepTime
    log: SweepLog
    marker: Marker
    #: All that live, by id.
    projects: dict[bytes, Project] = field(default_factory=dict)
    refused: set[DomainId] = field(default_factory=set)
    candidates: list[tuple[DomainId, SweptObject]] = field(default_factory=list)
    deferred: list[tuple[Domain, JournalState, int]] = field(default_factory=list)
    summary: SweepSummary = field(default_factory=SweepSummary)

    @property
    def purge(self) -> set[tuple[ArtifactName, int]]:
        """The versions that it may purge."""
        return {(item.artifact, item.version) for item in self.plan.purge}

    def note(self, text: str) -> None:
        """Say something in the summary."""
        self.summary = replace(self.summary, notes=(*self.summary.notes, text))

    def refuse(self, domain: DomainId, note: str) -> None:
        """Keep everything of a domain."""
        if domain not in self.refused:
            self.refused.add(domain)
            self.note(note)


class SweepMarking:
    """Fences and marks for one job after the other. Safe to use from many threads."""

    def __init__(self, repository: Repository, planner: SweepPlanner) -> None:
        self._repository = repository
        self._planner = planner

    def fence(
        self, job: SweepJob, undecided: list[OpenSweep]
    ) -> Iterator[SweepProgress]:
        """Make every journal refuse commits that do not know what is condemned."""
        needed: dict[DomainId, int] = {}
        for item in undecided:
            for owner in item.condemned.objects:
                needed[owner] = max(needed.get(owner, 0), item.epoch)
        for domain in self._living(job, needed):
            try:
                for count, journal in enumerate(domain.journals, 1):
                    self._fence_one(job, domain, journal, needed[domain.id])
                    stage = f"fencing {domain.told}"
                    yield SweepProgress(stage, count, len(domain.journals))
            except (IntegrityError, PreconditionError) as error:
                job.refuse(domain.id, refused_note(domain.told, error))

    def _living(self, job: SweepJob, wanted: Iterable[DomainId]) -> Iterator[Domain]:
        """Yield those of the domains that live, with the journals of this moment.

        Of those that are dead nothing is needed, and nobody can commit there any
        more. Where it cannot be told which journals a domain has, it is refused.
        """
        found: dict[bytes, dict[DomainId, Domain]] = {}
        for item in sorted(set(wanted) - job.refused):
            graves = self._repository.keyring.graves
            if graves.of_domain(item.project, item.domain) is not None:
                continue
            project = job.projects.get(item.project)
            if project is None:
                job.refuse(item, "a project's record is gone: its objects stay")
                continue
            try:
                if item.project not in found:
                    domains = domains_of(self._repository, project)
                    found[item.project] = {domain.id: domain for domain in domains}
            except (IntegrityError, PreconditionError) as error:
                told = f"project {project.name.project}"
                job.refuse(item, refused_note(told, error))
                continue
            domain = found[item.project].get(item)
            if domain is None:
                name = format_id(item.domain)
                job.refuse(item, f"no journal names key domain {name}: it stays")
                continue
            yield domain

    def _fence_one(
        self, job: SweepJob, domain: Domain, journal: JournalId, epoch: int
    ) -> None:
        for _ in range(_ATTEMPTS):
            past = self._repository.journals.load(journal)
            purge = self._purgeable(job, journal, past)
            if past.fence >= epoch:
                # Fenced already; a later fence may still purge.
                epoch = job.log.count
                if not purge or past.fence >= epoch:
                    return
            info = history_format.make_info(
                Action.FENCE,
                job.caller,
                time=self._repository.clock.now(),
                request_id=f"{job.plan_id}/{epoch}",
                reason=job.reason,
                sweep_epoch=epoch,
            )
            try:
                self._repository.journals.append(
                    journal, domain.scope, Fenced(info, purge), behind=past
                )
            except NumberTakenError:
                continue
            count = job.summary.purged_count + len(purge)
            job.summary = replace(job.summary, purged_count=count)
            return
        raise contended(journal)

    def _purgeable(
        self, job: SweepJob, journal: JournalId, past: History
    ) -> tuple[int, ...]:
        name, planned = past.created.name, job.purge
        found = (
            version
            for version in sorted(past.deleted)
            if (name, version) in planned
            and self._planner.was_purgeable(journal, past, version, job.time)
        )
        return tuple(islice(found, _MAX_PURGED))

    def mark(
        self, job: SweepJob, undecided: list[OpenSweep]
    ) -> Iterator[SweepProgress]:
        """Mark what is needed now that no new reference to the condemned can come.

        First without the versions that are still to be purged, for what is
        condemned next; then with them, for what is decided now.
        """
        domains = {domain for item in undecided for domain in item.condemned.objects}
        domains |= set(job.plan.condemned.objects)
        for domain in self._living(job, domains):
            try:
                yield from self._mark_domain(job, domain)
            except (IntegrityError, PreconditionError) as error:
                job.refuse(domain.id, refused_note(domain.told, error))
        self._choose(job)
        for domain, state, number in job.deferred:
            version = state.history.versions[number - 1]
            try:
                for _ in job.marker.mark_version(domain, state, version):
                    yield SweepProgress("reading the trash", 0, 0)
            except (IntegrityError, PreconditionError) as error:
                job.refuse(domain.id, refused_note(domain.told, error))

    def _mark_domain(self, job: SweepJob, domain: Domain) -> Iterator[SweepProgress]:
        marker, planned, done = job.marker, job.purge, 0
        histories: dict[bytes, History] = {}
        stage = f"reading {domain.told}"
        for state in marker.histories(domain):
            past = state.history
            histories[state.journal.artifact] = past
            for version in past.stored_versions():
                number = version.version
                doomed = number in past.deleted and not past.is_held(number)
                if doomed and (past.created.name, number) in planned:
                    job.deferred.append((domain, state, number))
                    continue
                for _ in marker.mark_version(domain, state, version):
                    yield SweepProgress(stage, done, 0)
                done += 1
        marker.mark_replacements(domain)
        after_s = job.time.store_s - self._planner.settings.upload_age_s
        marker.mark_uploads(domain, histories, modified_after_s=after_s)

    def _choose(self, job: SweepJob) -> None:
        """Keep of the plan's objects those that still nothing needs."""
        for domain, objects in job.plan.condemned.objects.items():
            for item in objects:
                if domain in job.refused or job.marker.marks.needs(item.key):
                    kept = job.summary.kept_count + 1
                    job.summary = replace(job.summary, kept_count=kept)
                else:
                    job.candidates.append((domain, item))


def rescued_places(job: SweepJob, item: OpenSweep) -> Iterator[int]:
    """Yield the places of the objects that stay."""
    marks, place = job.marker.marks, 0
    for domain in sorted(item.condemned.objects):
        objects = item.condemned.objects[domain]
        needed = [domain in job.refused or marks.needs(found.key) for found in objects]
        for found, is_needed in zip(objects, needed, strict=True):
            # A segment leads to packs; which ones, it need not be asked again.
            is_segment = found.key.startswith(layout.INDEX)
            if is_needed or (is_segment and any(needed)):
                yield place
            place += 1
