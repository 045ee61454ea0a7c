# SPDX-License-Identifier: Apache-2.0
"""Which key domain is whose: a project's own, or that of one artifact alone.

An artifact is encrypted under the domain that its first journal entry names, for good:
its project's, which most artifacts share, or one that it has to itself, so that it can
be shredded alone. The id of such a domain follows from the artifact's name, so that
whoever was killed while making one goes on with it.
"""

import contextlib
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format.names import ArtifactName
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.sweep import DomainId
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository

#: Of names whose keyed hash is the id of a domain.
_KIND: Final = "domain"


@dataclass(frozen=True, slots=True)
class Domain:
    """A key domain that lives, and the journals that are written under it."""

    project: Project
    scope: Scope
    journals: tuple[JournalId, ...]

    @property
    def id(self) -> DomainId:
        """What sweeps know it by."""
        return DomainId(self.scope.project, self.scope.domain)

    @property
    def told(self) -> str:
        """What people know it by."""
        project = f"project {self.project.name.project}"
        if self.scope.domain == self.project.scope.domain:
            return project
        return f"{project}, key domain {format_id(self.scope.domain)}"


def own_scope(project: Project, keys: DomainKeys, artifact: ArtifactName) -> Scope:
    """Return the key domain that an artifact would have to itself.

    Args:
        project: The artifact's project.
        keys: The project's keys.
        artifact: The artifact.
    """
    scope = project.scope
    domain = keys.name_id(_KIND, artifact.artifact)
    return Scope(scope.store, scope.project, domain, 0)


def domains_of(repository: Repository, project: Project) -> list[Domain]:
    """Return the living key domains of a project: its own first, then by id.

    Raises:
        IntegrityError: The first entry of a journal is damaged, so that nobody can
            tell which of them it belongs to.
        PreconditionError: The project was shredded (KEY_SHREDDED).
    """
    graves = repository.keyring.graves
    graves.check(project.scope)
    own, found = project.scope.domain, dict[bytes, list[JournalId]]()
    journals = repository.journals.artifacts(project.scope.project)
    domains = repository.executor.map(repository.journals.domain_of, journals)
    for journal, domain in zip(journals, domains, strict=True):
        if domain is not None:
            found.setdefault(domain, []).append(journal)
    found.setdefault(own, [])
    return [
        Domain(
            project,
            Scope(project.scope.store, project.scope.project, domain, 0),
            tuple(found[domain]),
        )
        for domain in sorted(found, key=lambda item: (item != own, item))
        if graves.of_domain(project.scope.project, domain) is None
    ]


def known_scopes(repository: Repository, project: Project) -> list[Scope]:
    """Return the living key domains of a project, its own first, as far as known.

    What is damaged keeps nobody from what is not; verification tells about it.
    """
    own, owner = project.scope.domain, project.scope.project

    def look(journal: JournalId) -> bytes:
        with contextlib.suppress(IntegrityError, PreconditionError):
            return repository.journals.domain_of(journal) or own
        return own

    journals = repository.journals.artifacts(owner)
    found = {own, *repository.executor.map(look, journals)}
    graves = repository.keyring.graves
    return [
        Scope(project.scope.store, owner, domain, 0)
        for domain in sorted(found, key=lambda item: (item != own, item))
        if graves.of_domain(owner, domain) is None
    ]


def domain_shared(name: ArtifactName, problem: str) -> PreconditionError:
    """Return the error for who wants an artifact's own key domain, and it has none."""
    return PreconditionError(
        f"{name.short} {problem}, which was decided when it was made: it cannot be "
        "shredded alone",
        reason=Reason.DOMAIN_SHARED,
        hint=f"Copy it to an artifact that has its own: `strongroom pull {name.short} "
        f"DIR`, `strongroom push DIR {name.project}/NEW --exclusive`; then delete the "
        "versions here.",
        artifact=name.short,
    )
