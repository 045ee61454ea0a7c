# SPDX-License-Identifier: Apache-2.0
"""Where every journal stands when a backup begins: nothing behind that is in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom.errors import NotFoundError, Reason, UnavailableError
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.backup_root import JournalHead
from strongroom_server.core.history import History
from strongroom_server.repository.domains import Domain, domains_of
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.marking import JournalState, Marker
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository
from strongroom_server.services.backups.results import BackupProgress

#: How often heads are read again because a sweep wrote a record meanwhile.
_ATTEMPTS: Final = 5

Chosen = ProjectName | ArtifactName


@dataclass(frozen=True, slots=True)
class DomainHeads:
    """A key domain with its journals, each up to its head."""

    domain: Domain
    states: tuple[JournalState, ...]


@dataclass(frozen=True, slots=True)
class Heads:
    """The store as it was at one moment, as far as journals tell.

    Attributes:
        domains: The living key domains that were chosen.
        sweep_count: How many sweep records there were.
        scope: The ids of the projects that were chosen; none for the whole store.
        artifacts: The ids of the artifacts that were chosen, with their projects'.
    """

    domains: tuple[DomainHeads, ...]
    sweep_count: int
    scope: tuple[bytes, ...]
    artifacts: tuple[tuple[bytes, bytes], ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole store."""
        return not self.scope and not self.artifacts

    @property
    def states(self) -> Iterator[JournalState]:
        """All journals, in no order."""
        for item in self.domains:
            yield from item.states

    @property
    def journals(self) -> tuple[JournalHead, ...]:
        """What the root says of them, in order of project and artifact."""
        found = [_head(state) for state in self.states]
        return tuple(sorted(found, key=lambda head: (head.project, head.artifact)))

    @property
    def newest_commit_time(self) -> datetime | None:
        """When the newest version was committed whose content is kept."""
        times = [
            version.info.time
            for state in self.states
            for version in state.history.stored_versions()
        ]
        return max(times, default=None)


def read_heads(
    repository: Repository, chosen: Sequence[Chosen], unlisted: Sequence[Project] = ()
) -> Iterator[BackupProgress | Heads]:
    """Yield how far it has come, and at last where the journals stand.

    `unlisted` are projects whose records are not in the store any more.

    No sweep has written a record while they were read, so that what is decided by one
    that the backup holds was fenced in every journal that it holds.

    Raises:
        NotFoundError: Something that was chosen does not exist.
        IntegrityError: A journal or a sweep record is damaged.
        UnavailableError: A sweep is at work and goes on writing.
    """
    for name in chosen:
        repository.projects.get(ProjectName(name.project))
    for _ in range(_ATTEMPTS):
        count = repository.sweeps.log().count
        marker = Marker(repository)
        found: list[DomainHeads] = []
        done = 0
        for item in _domains(repository, marker, chosen, unlisted):
            found.append(item)
            done += len(item.states)
            yield BackupProgress("reading journals", done)
        marker.check_epoch()
        if repository.sweeps.log().count == count:
            yield _heads(repository, tuple(found), count, chosen)
            return
    raise UnavailableError(
        "a sweep went on while the backup looked where the journals stand",
        reason=Reason.STORE_UNAVAILABLE,
        hint="Take the backup again once the sweep is done.",
    )


def _domains(
    repository: Repository,
    marker: Marker,
    chosen: Sequence[Chosen],
    unlisted: Sequence[Project],
) -> Iterator[DomainHeads]:
    whole = {item.project for item in chosen if isinstance(item, ProjectName)}
    single: dict[str, list[ArtifactName]] = {}
    for item in chosen:
        if isinstance(item, ArtifactName) and item.project not in whole:
            single.setdefault(item.project, []).append(item)
    for project in [*repository.projects.all(), *unlisted]:
        name = project.name.project
        if chosen and name not in whole and name not in single:
            continue
        wanted = _journals(repository, project, single.get(name, ()))
        for domain in domains_of(repository, project):
            states = tuple(
                state
                for state in marker.histories(domain)
                if not wanted or state.journal in wanted
            )
            if states or not wanted:
                yield DomainHeads(domain, states)


def _journals(
    repository: Repository, project: Project, artifacts: Sequence[ArtifactName]
) -> frozenset[JournalId]:
    """Return the journals of artifacts, which must exist."""
    found = set()
    for name in artifacts:
        journal = repository.projects.journal_of(project, name)
        if repository.journals.domain_of(journal) is None:
            raise NotFoundError(
                f"artifact {name.short} does not exist",
                reason=Reason.ARTIFACT_NOT_FOUND,
                hint=f"See `strongroom ls {name.project}`.",
                artifact=name.short,
            )
        found.add(journal)
    return frozenset(found)


def _heads(
    repository: Repository,
    domains: tuple[DomainHeads, ...],
    count: int,
    chosen: Sequence[Chosen],
) -> Heads:
    scope, artifacts = set(), set()
    projects = {item.project for item in chosen if isinstance(item, ProjectName)}
    for item in chosen:
        project = repository.projects.get(ProjectName(item.project))
        if isinstance(item, ProjectName):
            scope.add(project.scope.project)
        elif item.project not in projects:
            journal = repository.projects.journal_of(project, item)
            artifacts.add((journal.project, journal.artifact))
    return Heads(domains, count, tuple(sorted(scope)), tuple(sorted(artifacts)))


def _head(state: JournalState) -> JournalHead:
    journal, entries = state.journal, state.history.entries
    return JournalHead(
        journal.project,
        journal.artifact,
        len(entries),
        entries[-1].digest,
        version_ranges(state.history),
    )


def version_ranges(history: History) -> tuple[tuple[int, int], ...]:
    """Return the versions whose content is kept, as ranges, first and last."""
    ranges: list[tuple[int, int]] = []
    for version in history.stored_versions():
        number = version.version
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)
