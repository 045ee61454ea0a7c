# SPDX-License-Identifier: Apache-2.0
"""What would die with a project, or with one artifact that has its own key domain."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.history import History
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.tombstone import DoomedArtifact, Tombstone
from strongroom_server.repository.domains import domain_shared
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.repository import Artifact, Repository

#: Journals that are read at once.
_BATCH: Final = 32
LATEST: Final = "latest"

Doomed = ProjectName | ArtifactName


@dataclass(frozen=True, slots=True)
class DoomedPreview:
    """What would die with one artifact, and whether a legal hold forbids it."""

    artifact: DoomedArtifact
    held: bool
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class ShredPreview:
    """What would die.

    Attributes:
        scope: The project's key domain, or the artifact's own.
        slot_count: How many key slots would be removed.
        artifacts: By name.
        artifact: The id of the artifact that alone would die; b"" if the project.
        further: The key domains that artifacts of the project have to themselves.
    """

    scope: Scope
    slot_count: int
    artifacts: tuple[DoomedPreview, ...]
    artifact: bytes = b""
    further: tuple[Scope, ...] = ()

    @property
    def held(self) -> tuple[str, ...]:
        """The artifacts that a legal hold keeps."""
        return tuple(item.artifact.artifact for item in self.artifacts if item.held)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """All key domains that would die, the main one first."""
        return (self.scope, *self.further)


class Previews:
    """Looks what would die, and finds what is dead. Safe to use from many threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def preview(self, name: Doomed, check: Callable[[], None]) -> ShredPreview:
        """Tell what would die; errors as `Shredding.preview`."""
        if isinstance(name, ArtifactName):
            return self._of_artifact(name)
        return self._of_project(name, check)

    def find(self, name: Doomed) -> Tombstone | None:
        """Return the tombstone of a project or an artifact; None if it lives.

        Raises:
            NotFoundError: There is no such artifact, or not its project.
            PreconditionError: Of an artifact: its whole project was shredded
                (KEY_SHREDDED); it has no key domain of its own (DOMAIN_SHARED).
            IntegrityError: Of an artifact: its first journal entry is damaged.
        """
        shreds = self._repository.shreds
        if isinstance(name, ProjectName):
            return shreds.find(self._repository.projects.id_of(name))
        scope, _ = self._scope_of(name)
        return shreds.find(scope.project, scope.domain)

    def slot_keys(self, scope: Scope) -> list[str]:
        """Return the keys of a domain's key slots, and of their copies."""
        first_versions = self._repository.blobs.first_versions
        return [
            item.key
            for prefix in slot_prefixes(scope)
            for item in first_versions(prefix)
        ]

    def domains(self, project: Scope, *, known: frozenset[str]) -> Iterator[Scope]:
        """Yield the domains that artifacts of a project have to themselves, by id.

        No key is needed for that, so it can be asked of a project that is dead. What
        is damaged, or was planted, names none, and keeps nobody from finishing.

        Args:
            project: The project's own domain.
            known: Ids of artifacts that are left out.
        """
        journals = [
            journal
            for journal in self._repository.journals.artifacts(project.project)
            if format_id(journal.artifact) not in known
        ]

        def look(journal: JournalId) -> bytes | None:
            try:
                return self._repository.journals.domain_of(journal)
            except (IntegrityError, PreconditionError):
                return None

        found = set(self._repository.executor.map(look, journals))
        for domain in sorted(item for item in found if item is not None):
            if domain != project.domain:
                yield Scope(project.store, project.project, domain, 0)

    def _of_project(self, name: ProjectName, check: Callable[[], None]) -> ShredPreview:
        project = self._repository.projects.get(name)
        waiting = iter(self._repository.journals.artifacts(project.scope.project))
        load = partial(self._repository.artifact_in, project)
        found = []
        while batch := list(islice(waiting, _BATCH)):
            for artifact in self._repository.executor.map(load, batch):
                check()
                if artifact is not None:
                    found.append(_preview_of(artifact))
        found.sort(key=lambda item: item.artifact.artifact)
        # Also those that died before: whoever did that may not have finished.
        further = tuple(self.domains(project.scope, known=frozenset()))
        slots = sum(len(self.slot_keys(item)) for item in (project.scope, *further))
        return ShredPreview(project.scope, slots, tuple(found), further=further)

    def _of_artifact(self, name: ArtifactName) -> ShredPreview:
        scope, journal = self._scope_of(name)
        artifact = self._repository.artifact(name)
        slots = len(self.slot_keys(scope))
        return ShredPreview(scope, slots, (_preview_of(artifact),), journal.artifact)

    def _scope_of(self, name: ArtifactName) -> tuple[Scope, JournalId]:
        """Return the key domain that an artifact has to itself, and its journal."""
        projects, journals = self._repository.projects, self._repository.journals
        project = projects.get(ProjectName(name.project))
        journal = projects.journal_of(project, name)
        domain = journals.domain_of(journal)
        if domain is None:
            raise NotFoundError(
                f"artifact {name.short} does not exist",
                reason=Reason.ARTIFACT_NOT_FOUND,
                hint=f"See `strongroom ls {name.project}`.",
                artifact=name.short,
            )
        if domain == project.scope.domain:
            raise domain_shared(name, "shares the key domain of its project")
        return Scope(project.scope.store, project.scope.project, domain, 0), journal


def slot_prefixes(scope: Scope) -> tuple[str, str]:
    """Return what the key slots of a domain, and copies of them, lie below."""
    return layout.slots_prefix(scope.domain), layout.slot_copies_prefix(scope.domain)


def check_holds(name: Doomed, preview: ShredPreview) -> None:
    """Check that no legal hold keeps anything of what would die.

    Raises:
        PreconditionError: One does (LEGAL_HOLD).
    """
    if preview.held:
        held = preview.held[0]
        more = len(preview.held) - 1
        raise PreconditionError(
            f"{name.project}/{held} is under a legal hold"
            + (f", and {more} more are" if more else ""),
            reason=Reason.LEGAL_HOLD,
            hint="strongroom hold lift, once the case is closed.",
            artifact=f"{name.project}/{held}",
            held_count=len(preview.held),
        )


def _preview_of(artifact: Artifact) -> DoomedPreview:
    history: History = artifact.history
    stored = history.stored_versions()
    refs = {ref: history.ref_version(ref) for ref in sorted(history.refs)}
    if history.latest:
        refs[LATEST] = history.latest
    doomed = DoomedArtifact(
        artifact.name.artifact,
        format_id(artifact.journal.artifact),
        history.created.kind.value,
        len(stored),
        refs,
    )
    size_bytes = sum(version.stored_bytes for version in stored)
    return DoomedPreview(doomed, bool(history.held), size_bytes)
