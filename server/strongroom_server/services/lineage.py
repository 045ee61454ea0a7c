# SPDX-License-Identifier: Apache-2.0
"""What a version was made from, and what was made from it, within its project.

Both follow from what journals say of each version. Nothing is kept beside them: for
what was made from a version, every journal of the project is asked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
)
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.core.lineage import VersionInput
from strongroom_server.core.records import VersionRecord
from strongroom_server.core.selectors import resolve_stored
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Artifact, Repository

#: Versions that are told in either direction.
MAX_TOLD: Final = 1000
#: Versions one step nearer that are told of each.
MAX_VIA: Final = 16
#: Inputs, of all versions of a project, that are looked at for what was made.
MAX_KNOWN: Final = 250_000
#: Journals that are read at once.
_BATCH: Final = 32

#: A version by artifact and number.
_Place = tuple[ArtifactName, int]


@dataclass(frozen=True, slots=True)
class LineageStep:
    """A version that another one was made from, or that was made from another one.

    Attributes:
        name: The version, by number.
        digest: Its digest.
        distance: How many steps away it is, from 1 on.
        via: The versions one step nearer; at most `MAX_VIA` of them.
        record: All of it; None if it was not looked at.
    """

    name: VersionName
    digest: str
    distance: int
    via: tuple[VersionName, ...]
    record: VersionRecord | None


@dataclass(frozen=True, slots=True)
class LineageReport:
    """The lineage of a version, nearest first.

    `is_complete` is False if there is more than is told here, or than writers could
    say, or if a journal that is damaged may say more.
    """

    version: VersionRecord
    sources: tuple[LineageStep, ...]
    results: tuple[LineageStep, ...]
    is_complete: bool


class Lineages:
    """Follows lineage. Safe to use from many threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def trace(
        self,
        name: VersionName,
        *,
        visible: Callable[[ArtifactName], bool] = lambda _: True,
        check: Callable[[], None] = lambda: None,
    ) -> LineageReport:
        """Return what a version was made from, and what was made from it.

        Args:
            name: The version; one that is deleted, or gone, is known all the same.
            visible: Whether an artifact's versions may be told of.
            check: Called now and then; raises if nobody waits any more.

        Raises:
            NotFoundError: There is no such version.
        """
        repository = self._repository
        artifact = repository.artifact(name.artifact)
        version = resolve_stored(artifact.history, name.selector)
        record = artifact.version_record(version)
        search = _Search(repository, name.artifact.project, visible, check)
        sources = search.sources(record)
        results = search.results(record)
        return LineageReport(record, sources, results, not search.left_out)


class _Search:
    """One call of `Lineages.trace`. Used by one thread."""

    def __init__(
        self,
        repository: Repository,
        project: str,
        visible: Callable[[ArtifactName], bool],
        check: Callable[[], None],
    ) -> None:
        self._repository = repository
        self._project = project
        self._visible = visible
        self._check = check
        self._artifacts: dict[ArtifactName, Artifact | None] = {}
        #: Whether there may be more than was found.
        self.left_out = False

    def sources(self, start: VersionRecord) -> tuple[LineageStep, ...]:
        """Return what a version was made from, nearest first."""

        def following(near: _Found) -> Iterator[_Found]:
            if near.record is None:
                return
            self.left_out |= bool(near.record.lineage.more_inputs)
            for item in near.record.lineage.inputs:
                key = item.artifact, item.number
                yield _Found(key, item.digest, self._record_of(item))

        return self._walk(start, following)

    def results(self, start: VersionRecord) -> tuple[LineageStep, ...]:
        """Return what was made from a version, nearest first."""
        made = self._made_from()

        def following(near: _Found) -> Iterator[_Found]:
            for digest, found in made.get(near.place, ()):
                # What names another digest was made from something else.
                if digest == near.digest:
                    key = found.artifact, found.number
                    yield _Found(key, found.digest, found)

        return self._walk(start, following)

    def _walk(
        self,
        start: VersionRecord,
        following: Callable[["_Found"], Iterable["_Found"]],
    ) -> tuple[LineageStep, ...]:
        """Go step by step; what is met again is not followed again.

        What writers say need not make sense: there may be circles.
        """
        origin = start.artifact, start.number
        steps: list[LineageStep] = []
        seen, edge = {origin}, [_Found(origin, start.digest, start)]
        distance = 0
        while edge:
            distance += 1
            self._check()
            via: dict[_Place, list[VersionName]] = defaultdict(list)
            found: dict[_Place, _Found] = {}
            for near in edge:
                for item in following(near):
                    if item.place not in seen:
                        found.setdefault(item.place, item)
                        self._add_near(via[item.place], near.name)
            room = MAX_TOLD - len(steps)
            self.left_out |= len(found) > room
            edge = list(islice(found.values(), room))
            seen.update(item.place for item in edge)
            steps += (
                LineageStep(
                    item.name,
                    item.digest,
                    distance,
                    tuple(via[item.place]),
                    item.record,
                )
                for item in edge
            )
        return tuple(steps)

    def _add_near(self, via: list[VersionName], name: VersionName) -> None:
        if name in via:
            return
        if len(via) == MAX_VIA:
            self.left_out = True
            return
        via.append(name)

    def _record_of(self, item: VersionInput) -> VersionRecord | None:
        """Return a version of this project, if it may be told and is what was read."""
        name = item.artifact
        if name.project != self._project or not self._visible(name):
            return None
        if name not in self._artifacts:
            self._check()
            self._artifacts[name] = self._load(name)
        artifact = self._artifacts[name]
        if artifact is None or item.number > len(artifact.history.versions):
            return None
        version = artifact.history.versions[item.number - 1]
        if version.digest != item.digest:
            return None
        return artifact.version_record(version)

    def _load(self, name: ArtifactName) -> Artifact | None:
        try:
            return self._repository.artifact(name)
        except NotFoundError:
            return None
        except (IntegrityError, PreconditionError):
            self.left_out = True  # damaged, or shredded: nobody can tell any more
            return None

    def _made_from(self) -> Mapping[_Place, list[tuple[str, VersionRecord]]]:
        """Return the versions that were made from each one, with its digest."""
        made: dict[_Place, list[tuple[str, VersionRecord]]] = defaultdict(list)
        known_count = 0
        project = self._repository.projects.get(ProjectName(self._project))
        for artifact in self._all(project):
            if not self._visible(artifact.name):
                continue
            for version in artifact.history.versions:
                if not version.lineage.inputs:
                    continue
                known_count += len(version.lineage.inputs)
                if known_count > MAX_KNOWN:
                    self.left_out = True
                    return made
                record = artifact.version_record(version)
                for item in version.lineage.inputs:
                    made[item.artifact, item.number].append((item.digest, record))
        return made

    def _all(self, project: Project) -> Iterator[Artifact]:
        journals = iter(self._repository.journals.artifacts(project.scope.project))
        while batch := list(islice(journals, _BATCH)):
            self._check()
            for artifact, is_readable in self._repository.executor.map(
                lambda journal: self._artifact_in(project, journal), batch
            ):
                self.left_out |= not is_readable
                if artifact is not None:
                    yield artifact

    def _artifact_in(
        self, project: Project, journal: JournalId
    ) -> tuple[Artifact | None, bool]:
        """Return a journal's artifact, and whether its journal could be read."""
        try:
            return self._repository.artifact_in(project, journal), True
        except IntegrityError:
            return None, False


@dataclass(frozen=True, slots=True)
class _Found:
    """A version that was met on the way."""

    place: _Place
    digest: str
    record: VersionRecord | None

    @property
    def name(self) -> VersionName:
        artifact, number = self.place
        return VersionName(artifact, str(number))
