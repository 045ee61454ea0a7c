# SPDX-License-Identifier: Apache-2.0
"""Planning a sweep: what a policy, the trash and the marks let go; changes nothing.

Only objects of key domains whose every journal, manifest and page could be read are
let go. What is damaged hides what it needs, so its domain keeps everything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError
from strongroom.format.names import ProjectName
from strongroom_server.core import layout, retention
from strongroom_server.core.history import History
from strongroom_server.core.scope import Scope
from strongroom_server.core.sweep import (
    DomainId,
    OpenSweep,
    SweepLog,
    SweptObject,
    fit_record,
)
from strongroom_server.core.sweep_plan import (
    MAX_VERSIONS,
    PlannedVersion,
    SweepPlan,
    SweepProgress,
    due_sweep,
)
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.domains import Domain, domains_of
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.marking import JournalState, Marker
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.swept_objects import owner_of, packs_of_segment

#: Objects between two progress reports.
_PROGRESS_OBJECTS: Final = 1000
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """How long a sweep waits; for liveness only, safety needs no time.

    Attributes:
        min_age_s: Younger objects are not condemned: uploads under way.
        grace_s: Between condemning and removing.
        upload_age_s: What an upload has stored is kept for so long after its last
            record.
    """

    min_age_s: float = _DAY_S
    grace_s: float = _DAY_S
    upload_age_s: float = 7 * _DAY_S


@dataclass(frozen=True, slots=True)
class SweepTime:
    """What time it is by two clocks, in Unix seconds.

    Attributes:
        store_s: By the store's: how old objects are, for liveness only.
        sure_s: By the store's and by this server's, whichever is behind: versions
            go by it, so that one clock that is ahead lets none go.
    """

    store_s: float
    sure_s: float

    @classmethod
    def read(cls, repository: Repository) -> "SweepTime":
        """Return what time it is now."""
        store_s = repository.blobs.time_s()
        return cls(store_s, min(store_s, repository.clock.now().timestamp()))

    @property
    def sure(self) -> datetime:
        """`sure_s` as a time in UTC."""
        return datetime.fromtimestamp(self.sure_s, UTC)


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    time: SweepTime
    marker: Marker
    domains: dict[DomainId, Scope] = field(default_factory=dict)
    trash: list[PlannedVersion] = field(default_factory=list)
    purge: list[PlannedVersion] = field(default_factory=list)
    ended: list[tuple[DomainId, BlobVersion]] = field(default_factory=list)
    candidates: list[tuple[DomainId, SweptObject]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Whether what is left of the dead may go, too.
    buries: bool = False
    dead: set[DomainId] = field(default_factory=set)


class SweepPlanner:
    """Makes sweep plans. Safe to use from many threads."""

    def __init__(self, repository: Repository, settings: SweepSettings) -> None:
        self._repository = repository
        self.settings = settings

    def plan(
        self, only: ProjectName | None = None
    ) -> Iterator[SweepProgress | SweepPlan]:
        """Yield how far it has come, and at last the plan.

        Raises:
            NotFoundError: The project does not exist.
            IntegrityError: A project's record or a sweep record is damaged.
            UnavailableError: S3 or Vault failed.
        """
        repository = self._repository
        if only is not None:
            repository.projects.get(only)
        log = repository.sweeps.log()
        draft = _Draft(SweepTime.read(repository), Marker(repository))
        repository.shreds.refresh()
        for project in list(repository.projects.all()):
            wanted = only is None or project.name == only
            for domain in self._domains(draft, project, wanted=wanted):
                yield from self._mark(draft, domain, wanted=wanted)
        if only is None:
            self._let_go_of_dead(draft)
        draft.marker.check_epoch()
        condemned = {item for sweep in log.open.values() for item in sweep.doomed()}
        for prefix in (layout.PACKS, layout.MANIFESTS):
            yield from self._list_named(draft, prefix, condemned)
        for owner in sorted(draft.domains):
            yield from self._list_segments(draft, owner, condemned)
        for owner, item in draft.ended:
            self._offer(draft, owner, item, condemned)
        yield self._finished(draft, log)

    def is_due(self, sweep: OpenSweep, time: SweepTime) -> bool:
        """Return whether what a sweep condemned may be decided on and removed."""
        decided = sweep.rescued is not None
        return decided or sweep.modified_s + self.settings.grace_s <= time.store_s

    def was_purgeable(
        self, journal: JournalId, history: History, version: int, time: SweepTime
    ) -> bool:
        """Return whether a version was in the trash for long enough, twice over.

        By the time in its journal entry, which a server's clock told, and by when
        the store says that the entry was written; and now by both of their clocks.
        So one wrong clock, then or now, purges nothing.
        """
        entry = history.deleted.get(version)
        if entry is None or history.is_held(version):
            return False
        if retention.purge_time(history, version) > time.sure:
            return False
        key = layout.journal_key(journal.project, journal.artifact, entry.number)
        stored = self._repository.blobs.first_versions(key)
        stored_s = next(
            (item.modified_s for item in stored if item.key == key), time.store_s
        )
        trash_s = retention.trash_time(history, version).total_seconds()
        return stored_s + trash_s <= time.sure_s

    def _domains(
        self, draft: _Draft, project: Project, *, wanted: bool
    ) -> list[Domain]:
        """Return a project's key domains; none, if they cannot be told."""
        try:
            return domains_of(self._repository, project)
        except (IntegrityError, PreconditionError) as error:
            if wanted:
                told = f"project {project.name.project}"
                draft.notes.append(refused_note(told, error))
            return []

    def _mark(
        self, draft: _Draft, domain: Domain, *, wanted: bool
    ) -> Iterator[SweepProgress]:
        """Mark what a key domain needs; what goes on its own account, note."""
        trash, purge, done = list[PlannedVersion](), list[PlannedVersion](), 0
        histories: dict[bytes, History] = {}
        marker, time = draft.marker, draft.time
        # Who may plan for one project need not know that there are others.
        stage = f"reading {domain.told}" if wanted else "reading other projects"
        try:
            for state in marker.histories(domain):
                histories[state.journal.artifact] = state.history
                trash.extend(_expired(state, time))
                for version in state.history.stored_versions():
                    number = version.version
                    if wanted and self.was_purgeable(
                        state.journal, state.history, number, time
                    ):
                        reason = "its time in the trash is over"
                        name = state.history.created.name
                        purge.append(PlannedVersion(name, number, reason))
                    else:
                        for _ in marker.mark_version(domain, state, version):
                            yield SweepProgress(stage, done, 0)
                    done += 1
            marker.mark_replacements(domain)
            after_s = time.store_s - self.settings.upload_age_s
            ended = marker.mark_uploads(domain, histories, modified_after_s=after_s)
        except (IntegrityError, PreconditionError) as error:
            if wanted:
                draft.notes.append(refused_note(domain.told, error))
            return
        if not wanted:
            return
        draft.domains[domain.id] = domain.scope
        draft.ended.extend((domain.id, item) for item in ended)
        draft.trash.extend(trash)
        draft.purge.extend(purge)

    def _let_go_of_dead(self, draft: _Draft) -> None:
        """Offer all that is left of what was shredded."""
        draft.buries = True
        for scope in self._repository.shreds.scopes():
            domain = DomainId(scope.project, scope.domain)
            draft.dead.add(domain)
            draft.domains[domain] = scope
            prefix = layout.uploads_prefix(scope.domain)
            records = self._repository.blobs.first_versions(prefix)
            draft.ended.extend((domain, item) for item in records)

    def _list_named(
        self, draft: _Draft, prefix: str, condemned: set[SweptObject]
    ) -> Iterator[SweepProgress]:
        """Offer the packs or manifests that are not marked."""
        stage = f"listing {prefix.rstrip('/')}"
        blobs, odd = self._repository.blobs, 0
        for count, item in enumerate(blobs.first_versions(prefix), 1):
            if count % _PROGRESS_OBJECTS == 0:
                yield SweepProgress(stage, count, 0)
            if not layout.is_named_by_digest(item.key):
                continue  # no object of ours has such a key
            if draft.marker.marks.needs(item.key) or not self._is_old(draft, item):
                continue
            try:
                domain = owner_of(self._repository, item)
            except (IntegrityError, PreconditionError):
                odd += 1
                continue
            # None: another sweep has just removed it.
            if domain is not None and self._may_go(draft, domain):
                self._offer(draft, domain, item, condemned)
        if odd:
            draft.notes.append(
                f"{odd} objects below {prefix} do not say whose they are and stay: "
                f"run `strongroom verify --store`"
            )

    def _may_go(self, draft: _Draft, domain: DomainId) -> bool:
        """Return whether objects of a domain may go, if nothing needs them."""
        graves = self._repository.keyring.graves
        dead = draft.buries and graves.of_domain(domain.project, domain.domain)
        return domain in draft.domains or bool(dead)

    def _list_segments(
        self, draft: _Draft, domain: DomainId, condemned: set[SweptObject]
    ) -> Iterator[SweepProgress]:
        """Offer the index segments that lead to nothing that is needed."""
        prefix = layout.index_prefix(domain.domain)
        for item in self._repository.blobs.first_versions(prefix):
            if not self._is_old(draft, item):
                continue
            try:
                needed = self._is_segment_needed(draft, domain, item)
            except (IntegrityError, PreconditionError):
                needed = True  # it costs little, and `verify` tells about it
            if not needed:
                self._offer(draft, domain, item, condemned)
            yield SweepProgress("reading index segments", len(draft.candidates), 0)

    def _is_segment_needed(
        self, draft: _Draft, domain: DomainId, item: BlobVersion
    ) -> bool:
        if domain in draft.dead:
            return False  # and nobody can tell what it leads to
        scope = draft.domains[domain]
        packs = packs_of_segment(self._repository, scope, item)
        if packs is None:
            return True  # another sweep has just removed it
        return any(draft.marker.marks.needs_pack(pack) for pack in packs)

    def _is_old(self, draft: _Draft, item: BlobVersion) -> bool:
        return item.modified_s + self.settings.min_age_s <= draft.time.store_s

    def _offer(
        self,
        draft: _Draft,
        domain: DomainId,
        item: BlobVersion,
        condemned: set[SweptObject],
    ) -> None:
        swept = SweptObject(item.key, item.version_id, item.size_bytes)
        if swept not in condemned:
            draft.candidates.append((domain, swept))

    def _finished(self, draft: _Draft, log: SweepLog) -> SweepPlan:
        fitting, left_out = fit_record(draft.candidates)
        notes = list(draft.notes)
        if left_out:
            notes.append(f"{left_out} further objects wait for the next sweep")
        late = max(len(draft.trash), len(draft.purge)) - MAX_VERSIONS
        if late > 0:
            notes.append(f"{late} further versions or more wait for the next sweep")
        due = []
        for sweep in log.open.values():
            if self.is_due(sweep, draft.time):
                due.append(due_sweep(sweep))
                continue
            condemned = datetime.fromtimestamp(sweep.modified_s, UTC)
            grace = timedelta(seconds=self.settings.grace_s)
            ready = retention.later(condemned, grace)
            notes.append(
                f"sweep {sweep.number}: {len(sweep.doomed())} objects are condemned "
                f"and can be removed from {ready:%Y-%m-%d %H:%M} UTC on"
            )
        return SweepPlan(
            self._repository.keyring.store,
            log.count,
            int(draft.time.store_s),
            tuple(sorted(draft.trash)[:MAX_VERSIONS]),
            tuple(sorted(draft.purge)[:MAX_VERSIONS]),
            fitting,
            tuple(due),
            tuple(notes),
        )


def refused_note(told: str, error: IntegrityError | PreconditionError) -> str:
    """Say that nothing of a project or a key domain is removed, why, what to do."""
    hint = f" {error.hint}" if error.hint else ""
    return (
        f"{told}: nothing is removed, since what it needs cannot be told: "
        f"{error.message}.{hint}"
    )


def _expired(state: JournalState, time: SweepTime) -> Iterator[PlannedVersion]:
    name = state.history.created.name
    for item in retention.expired(state.history, time.sure):
        yield PlannedVersion(name, item.version, item.reason)
