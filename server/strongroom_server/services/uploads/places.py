# SPDX-License-Identifier: Apache-2.0
"""Where content goes: an artifact's journal, key domain and policy, at one moment."""

from dataclasses import dataclass, replace

from strongroom.errors import IntegrityError
from strongroom.format.names import ArtifactName
from strongroom_server.core.codec_choice import choice_of
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.history import Committed, History
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.policy import Cuts
from strongroom_server.core.records import Caller, Kind
from strongroom_server.core.scope import Scope
from strongroom_server.repository.content_writer import ContentWriter
from strongroom_server.repository.creating import (
    check_exclusive,
    make_artifact,
    project_of,
)
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.parents import ParentFiles
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository, scope_of
from strongroom_server.repository.requests import check_kind
from strongroom_server.repository.sweeps import SweepView


@dataclass(frozen=True, slots=True)
class Place:
    """Where content of an artifact is written, as things stood at one moment.

    Attributes:
        name: The artifact's name.
        kind: What it holds, or will.
        project: Its project.
        scope: Its key domain.
        keys: The newest keys of that.
        journal: Its journal.
        past: The journal as it was before the view was taken.
        view: What sweeps had condemned.
    """

    name: ArtifactName
    kind: Kind
    project: Project
    scope: Scope
    keys: DomainKeys
    journal: JournalId
    past: History
    view: SweepView

    def writer(
        self,
        repository: Repository,
        *,
        remembers_entries: bool = False,
        is_part: bool = False,
        writer: bytes = b"",
    ) -> ContentWriter:
        """Return a writer of content for the artifact; see `ContentWriter`."""
        # Deltas are made to the newest version.
        newest = self.manifest_of(repository, self.past.newest)
        return ContentWriter(
            repository,
            self.keys,
            self.journal.artifact,
            view=self.view,
            choice=choice_of(self.past.policy.codec, self.kind),
            cuts=Cuts(self.past.policy.cuts),
            parent=ParentFiles(repository, self.scope, newest) if newest else None,
            remembers_entries=remembers_entries,
            is_part=is_part,
            writer=writer,
        )

    def merger(self, repository: Repository) -> ContentWriter:
        """Return a writer for files that are all stored already."""
        return ContentWriter(
            repository, self.keys, self.journal.artifact, view=self.view
        )

    def manifest_of(
        self, repository: Repository, version: Committed | None
    ) -> Manifest | None:
        """Return a version's manifest, if there is one that can be read."""
        if version is None:
            return None
        try:
            return repository.manifests.load(self.scope, self.journal.artifact, version)
        except IntegrityError:
            return None  # nothing to build on; the bytes at hand do not need it

    def again(self, repository: Repository) -> "Place":
        """Return the same place, as things stand now.

        Raises:
            IntegrityError: The journal is damaged.
            UnavailableError: S3 or Vault failed.
        """
        past = repository.journals.load(self.journal)
        view = repository.sweeps.view(at_least=past.fence)
        return replace(self, past=past, view=view)


def find_place(
    repository: Repository,
    artifact: ArtifactName,
    *,
    kind: Kind | None,
    may_create: bool,
    exclusive: bool = False,
    caller: Caller,
    request_id: str,
) -> Place:
    """Return where an artifact's content goes; make its project, if that is allowed.

    Raises:
        NotFoundError: The project does not exist and may not be created.
        PreconditionError: The artifact is of another kind (KIND_MISMATCH), shares
            its project's key domain though it is to have its own (DOMAIN_SHARED),
            or was shredded (KEY_SHREDDED).
        UnavailableError: Vault or S3 cannot be reached.
    """
    # Vault is needed in the end: better refused now than after many gigabytes.
    repository.keyring.check_ready()
    project = project_of(
        repository,
        artifact,
        may_create=may_create,
        caller=caller,
        request_id=request_id,
    )
    journal = repository.projects.journal_of(project, artifact)
    past = repository.journals.load(journal)
    if exclusive and not past.entries:
        # At once, so that all that is stored has the domain that it keeps.
        past = make_artifact(
            repository,
            project,
            artifact,
            kind=kind,
            exclusive=True,
            caller=caller,
            request_id=request_id,
        )
    check_exclusive(artifact, project, past, wanted=exclusive)
    found = kind or Kind.DATASET
    if past.entries:
        check_kind(artifact, said=kind, kind=past.created.kind)
        found = past.created.kind
    scope = scope_of(project, past)
    view = repository.sweeps.view(at_least=past.fence)
    keys = repository.keyring.open_newest(scope)
    repository.chunk_index.refresh(keys)
    return Place(artifact, found, project, scope, keys, journal, past, view)
