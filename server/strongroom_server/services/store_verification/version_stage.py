# SPDX-License-Identifier: Apache-2.0
"""The stage of a verification that reads versions back, project by project."""

import contextlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.history import Committed
from strongroom_server.core.repair import RepairRecord
from strongroom_server.core.scope import Scope
from strongroom_server.core.stored_objects import PACKS, digest_name
from strongroom_server.core.verify_records import (
    StoreFinding,
    StoreProgress,
    VersionAtRisk,
)
from strongroom_server.core.verify_token import VerifyToken, format_token
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.mend_survey import MendSurvey
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.services.store_verification.object_checks import ObjectChecks
from strongroom_server.services.store_verification.pace import Pace
from strongroom_server.services.store_verification.pack_reads import MAX_SEEN, PackReads
from strongroom_server.services.store_verification.risk import Risk
from strongroom_server.services.store_verification.version_walk import (
    Damage,
    VersionWalk,
)

#: Sorts behind every id.
_ALONE: Final = "~"


@dataclass(frozen=True, slots=True)
class _Part:
    """What lies in one key domain of a project, as far as it is in scope."""

    project: Project
    scope: Scope
    journals: tuple[JournalId, ...]


@dataclass(slots=True)
class _Found:
    """What is going to be told of one object."""

    error: IntegrityError
    repaired: bool
    at_risk: list[VersionAtRisk] = field(default_factory=list)


class VersionStage:
    """Reads versions back and tells what is damaged. Used by one thread.

    Attributes:
        fence: How many sweep records there must be, as fences and commits tell.
        artifact_count: Artifacts that were looked at.
        version_count: Versions that were looked at.
        damaged_count: Objects that are damaged and were not mended.
        repaired_count: Objects that were mended.
        unreferenced_count: Packs that no version needs.
        unreferenced_bytes: Their size.
    """

    def __init__(
        self,
        repository: Repository,
        checks: ObjectChecks,
        pace: Pace,
        token: VerifyToken,
        *,
        scope: ProjectName | ArtifactName | None,
        since: datetime | None,
        told: AbstractSet[str],
    ) -> None:
        """`told` are what lies before journals' entries that were told already."""
        self._repository = repository
        self._pace = pace
        self._token = token
        self._scope = scope
        self._since = since
        self._told = told
        self._reads = PackReads(repository, checks)
        self._walk = VersionWalk(repository, checks, self._reads, pace)
        self._done = ""
        self._left_out = False
        self.fence = 0
        self.artifact_count = 0
        self.version_count = 0
        self.damaged_count = 0
        self.repaired_count = 0
        self.unreferenced_count = 0
        self.unreferenced_bytes = 0

    def run(self, number: int) -> Iterator[StoreFinding | StoreProgress]:
        """Read back every version in scope that an earlier run has not."""
        if number < self._token.stage:
            return
        self._pace.stage = "versions"
        self._done = self._token.after if number == self._token.stage else ""
        begin = replace(self._token, stage=number)
        self._pace.token = format_token(replace(begin, after=self._done))
        for project in self._projects():
            for part in self._parts(project):
                keys = self._keys(part.scope)
                if keys is None:
                    self._left_out = True
                    continue
                # What is damaged is told once a key domain is done, so until then a
                # later run must not begin behind it.
                for place in self._part(part):
                    if isinstance(place, str):
                        self._done = place
                        if not self._reads.bad and not self._walk.damages:
                            self._pace.token = format_token(replace(begin, after=place))
                    else:
                        yield place
                yield from self._tell(part, keys)
                self._pace.token = format_token(replace(begin, after=self._done))
        self._pace.token = format_token(replace(begin, stage=number + 1, after=""))
        yield self._pace.progress()

    def close(self) -> None:
        """Stop what was fetched ahead."""
        self._reads.close()

    def count_unreferenced(self) -> Iterator[StoreProgress]:
        """Count the packs that no version needs.

        If not everything was read, or could be, nobody knows, and the counts stay 0.
        """
        complete = (
            self._scope is None
            and self._since is None
            and (self._token.stage, self._token.after) == (0, "")
            and len(self._reads.seen) < MAX_SEEN
            and not (self.damaged_count or self._told or self._left_out)
        )
        if not complete:
            return
        for item in self._repository.blobs.first_versions(PACKS):
            name = digest_name(item.key)
            if name and bytes.fromhex(name) not in self._reads.seen:
                self.unreferenced_count += 1
                self.unreferenced_bytes += item.size_bytes
            yield from self._pace.tell()

    def _projects(self) -> Iterator[Project]:
        projects = self._repository.projects
        if self._scope is not None:
            yield projects.get(ProjectName(self._scope.project))
            return
        for item in projects.stored():
            try:
                project = projects.load(item)
            except (IntegrityError, PreconditionError) as error:
                # Nothing of a shredded one is left to be read; of others, the stage
                # before this one has told.
                self._left_out |= error.reason is not Reason.KEY_SHREDDED
                continue
            yield project

    def _keys(self, scope: Scope) -> DomainKeys | None:
        """Return a domain's keys; None if its key slot is damaged, which was told."""
        try:
            return self._repository.keyring.open(scope)
        except (IntegrityError, PreconditionError):
            return None

    def _parts(self, project: Project) -> Iterator[_Part]:
        """Yield what of a project is in scope, one key domain after the other.

        First all that is in the project's own domain, then the artifacts that have
        one to themselves, by id; those that were shredded are left out.
        """
        own: list[JournalId] = []
        alone: list[_Part] = []
        for journal in self._journals(project):
            scope = self._scope_of(project, journal)
            if scope.domain == project.scope.domain:
                own.append(journal)
            elif self._is_alive(scope):
                alone.append(_Part(project, scope, (journal,)))
        yield _Part(project, project.scope, tuple(own))
        yield from alone

    def _journals(self, project: Project) -> list[JournalId]:
        if isinstance(self._scope, ArtifactName):
            return [self._repository.projects.journal_of(project, self._scope)]
        return self._repository.journals.artifacts(project.scope.project)

    def _scope_of(self, project: Project, journal: JournalId) -> Scope:
        """Return a journal's key domain; its project's, if its journal is damaged."""
        domain = project.scope.domain
        with contextlib.suppress(IntegrityError, PreconditionError):
            domain = self._repository.journals.domain_of(journal) or domain
        return Scope(project.scope.store, project.scope.project, domain, 0)

    def _is_alive(self, scope: Scope) -> bool:
        graves = self._repository.keyring.graves
        return graves.of_domain(scope.project, scope.domain) is None

    def _part(self, part: _Part) -> Iterator[str | StoreProgress]:
        """Read back a domain's versions; yield the place of each one done."""
        for artifact in self._artifacts(part):
            versions = self._versions(artifact)
            self.artifact_count += 1
            self._pace.total_bytes += sum(item.stored_bytes for item in versions)
            for version in versions:
                self.version_count += 1
                yield from self._walk.verify(artifact, version)
                yield _place(artifact, version)

    def _artifacts(self, part: _Part) -> Iterator[Artifact]:
        """Yield the artifacts in scope, and take note of those that cannot be read."""
        for journal in part.journals:
            try:
                artifact = self._artifact(part.project, journal)
            except (IntegrityError, PreconditionError) as error:
                prefix = layout.journal_prefix(journal.project, journal.artifact)
                if prefix not in self._told:
                    self._walk.damages.append(_untold(prefix, error))
            else:
                if artifact is not None:
                    yield artifact

    def _readable_artifacts(self, part: _Part) -> Iterator[Artifact]:
        """Yield every artifact of a domain, in scope or not, that can be read."""
        project = part.project
        for journal in self._repository.journals.artifacts(project.scope.project):
            try:
                artifact = self._artifact(project, journal)
            except (IntegrityError, PreconditionError):
                continue  # Told already, if it is in scope.
            if artifact is not None and artifact.scope.domain == part.scope.domain:
                yield artifact

    def _artifact(self, project: Project, journal: JournalId) -> Artifact | None:
        artifact = self._repository.artifact_in(project, journal)
        if artifact is not None:
            self.fence = max(self.fence, artifact.history.known_epoch)
        return artifact

    def _versions(self, artifact: Artifact) -> list[Committed]:
        """Return the versions to read, in order; those in the trash too."""
        return [
            version
            for version in artifact.history.stored_versions()
            if _place(artifact, version) > self._done
            and (self._since is None or version.info.time >= self._since)
        ]

    def _tell(
        self, part: _Part, keys: DomainKeys
    ) -> Iterator[StoreFinding | StoreProgress]:
        """Tell what was found in a key domain, and what that hits."""
        self._take_account_of_repairs(keys)
        found = self._bad_packs(keys)
        yield from self._state_mended(part, found)
        yield from self._find_risk(part, found)
        for pack in [pack for pack in found if _is_swept(found[pack])]:
            del found[pack]
        self._warn_writers(keys, found)
        for damage in self._walk.damages:
            if any(self._is_purged(risk) for risk in damage.at_risk):
                continue
            told = _Found(damage.error, damage.repaired, list(damage.at_risk))
            yield self._finding(damage.key, told)
        for pack, told in found.items():
            yield self._finding(layout.pack_key(pack), told)
        self._walk.damages.clear()
        self._walk.unreadable.clear()
        self._reads.bad.clear()

    def _take_account_of_repairs(self, keys: DomainKeys) -> None:
        """Count packs of repairs as referenced, though no file table names them."""
        # A record that is damaged is told by the stage that looks at records.
        with contextlib.suppress(IntegrityError, PreconditionError):
            for pack in self._repository.repairs.packs(keys):
                if len(self._reads.seen) < MAX_SEEN:
                    self._reads.seen.add(bytes.fromhex(pack))

    def _find_risk(
        self, part: _Part, found: Mapping[str, _Found]
    ) -> Iterator[StoreProgress]:
        if not found:
            return
        risk = Risk(self._repository, found)
        for artifact in self._readable_artifacts(part):
            for version in artifact.history.stored_versions():
                for pack, hit in risk.of(artifact, version).items():
                    found[pack].at_risk.append(hit)
                yield from self._pace.tell()

    def _bad_packs(self, keys: DomainKeys) -> dict[str, _Found]:
        """Return the damaged packs that were not mended before this run."""
        if not self._reads.bad:
            return {}
        by_chunks = self._repository.repairs.mended(keys)
        return {
            pack: _Found(bad.error, bad.repaired)
            for pack, bad in self._reads.bad.items()
            if pack in self._walk.unreadable or not (bad.mended or pack in by_chunks)
        }

    def _state_mended(
        self, part: _Part, found: Mapping[str, _Found]
    ) -> Iterator[StoreProgress]:
        """State of packs that were mended chunk by chunk that they were, if so.

        So that a verification without keys knows; mostly, the repair has stated it.
        """
        bad = self._reads.bad.items()
        packs = [name for name, item in bad if name not in found and not item.mended]
        if not packs:
            return
        survey = MendSurvey(self._repository, part.project, part.scope)
        for _ in survey.look(packs):
            yield from self._pace.tell()
        survey.state()

    def _is_purged(self, risk: VersionAtRisk) -> bool:
        """Return whether a sweep has taken a version away while it was being read."""
        try:
            artifact = self._repository.artifact(risk.name.artifact)
        except IntegrityError:
            return False
        return int(risk.name.selector) in artifact.history.purged

    def _warn_writers(self, keys: DomainKeys, found: Mapping[str, _Found]) -> None:
        """Let nobody share chunks of packs that are damaged, mended or not."""
        if not found:
            return
        fresh = set(found) - self._repository.repairs.damaged(keys)
        if fresh:
            record = RepairRecord(damaged=tuple(sorted(fresh)))
            self._repository.repairs.add(keys, record)

    def _finding(self, key: str, found: _Found) -> StoreFinding:
        self.repaired_count += found.repaired
        self.damaged_count += not found.repaired
        return StoreFinding(
            key,
            found.error.reason.value,
            found.error.message,
            tuple(found.at_risk),
            found.repaired,
        )


def _is_swept(found: _Found) -> bool:
    """Return whether nobody misses a pack that is gone: a sweep took it meanwhile."""
    return found.error.reason is Reason.CHUNK_MISSING and not found.at_risk


def _place(artifact: Artifact, version: Committed) -> str:
    """Return a text that sorts as versions are read.

    By project; in it, artifacts with a key domain of their own come last; by artifact,
    by number.
    """
    journal = artifact.journal
    key = layout.journal_key(journal.project, journal.artifact, version.version)
    before = layout.project_journals_prefix(journal.project)
    mark = _ALONE if artifact.exclusive else ""
    return before + mark + key.removeprefix(before)


def _untold(prefix: str, error: IntegrityError | PreconditionError) -> Damage:
    """Return the damage of a journal whose entries do not add up to a history."""
    damage = IntegrityError(
        f"its versions cannot be told: {error.message}", reason=error.reason
    )
    return Damage(prefix, damage, repaired=False)
