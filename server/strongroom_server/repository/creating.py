# SPDX-License-Identifier: Apache-2.0
"""Making projects and artifacts on the way, for whoever first has a use for them."""

import contextlib
from typing import Final

from strongroom.errors import (
    AlreadyExistsError,
    NotFoundError,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.history import (
    Created,
    EntryInfo,
    History,
    RequestKey,
    make_info,
)
from strongroom_server.core.records import Action, Caller, Kind
from strongroom_server.core.scope import Scope
from strongroom_server.core.tombstone import shredded
from strongroom_server.repository.domains import domain_shared, own_scope
from strongroom_server.repository.journals import (
    JournalId,
    NumberTakenError,
    contended,
)
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository, scope_of
from strongroom_server.repository.requests import check_kind

_ATTEMPTS: Final = 20


def project_of(
    repository: Repository,
    artifact: ArtifactName,
    *,
    may_create: bool,
    caller: Caller,
    request_id: str,
) -> Project:
    """Return an artifact's project; make it, if that is allowed.

    Raises:
        NotFoundError: It does not exist, and may not be made (PROJECT_NOT_FOUND).
    """
    name = ProjectName(artifact.project)
    try:
        return repository.projects.get(name)
    except NotFoundError:
        if not may_create:
            raise
    try:
        return repository.projects.create(name, caller, request_id)
    except AlreadyExistsError:
        # Another request came first; its project is as good as ours.
        return repository.projects.get(name)


def creating_request(request_id: str) -> RequestKey:
    """Return what a request that makes its artifact on the way is known by."""
    return Action.CREATE, "", f"{request_id}/create"


def creating_info(
    repository: Repository, caller: Caller, request_id: str, *, sweep_epoch: int = 0
) -> EntryInfo:
    """Return the common part of the entry that makes an artifact on the way."""
    action, _, create_id = creating_request(request_id)
    return make_info(
        action,
        caller,
        time=repository.clock.now(),
        request_id=create_id,
        sweep_epoch=sweep_epoch,
    )


def created_entry(
    info: EntryInfo, name: ArtifactName, kind: Kind | None, scope: Scope
) -> Created:
    """Return entry 0 of an artifact's journal; without a kind it holds a data set."""
    return Created(info, name, kind or Kind.DATASET, scope.domain)


def make_artifact(
    repository: Repository,
    project: Project,
    name: ArtifactName,
    *,
    kind: Kind | None,
    exclusive: bool,
    caller: Caller,
    request_id: str,
) -> History:
    """See to it that an artifact exists; return its history.

    A journal that is made here needs no look at what sweeps condemn: whoever commits
    to it takes that look (docs/adr/0010).

    Args:
        repository: Where it is.
        project: Its project.
        name: The artifact.
        kind: What it holds; None: what it holds already, or a data set.
        exclusive: Whether it is to have a key domain of its own; one that exists and
            has none is refused.
        caller: Who asks.
        request_id: Of the request that has a use for it.

    Raises:
        PreconditionError: It is of another kind (KIND_MISMATCH), or shares its
            project's key domain (DOMAIN_SHARED), or is dead (KEY_SHREDDED).
        ConflictError: Other writers won every attempt.
    """
    journal = repository.projects.journal_of(project, name)
    for _ in range(_ATTEMPTS):
        past = repository.journals.load(journal)
        if past.entries:
            check_kind(name, said=kind, kind=past.created.kind)
            check_exclusive(name, project, past, wanted=exclusive)
            return past
        scope = project.scope
        if exclusive:
            keys = repository.keyring.open(project.scope)
            scope = own_scope(project, keys, name)
            # Where a journal was taken away, its artifact may have been shredded.
            repository.keyring.graves.look(scope)
            repository.keyring.create(scope)
        info = creating_info(repository, caller, request_id)
        entry = created_entry(info, name, kind, scope)
        # Read back whoever was first: the next round tells what they made.
        with contextlib.suppress(NumberTakenError):
            past = repository.journals.append(journal, scope, entry, behind=past)
            _check_not_shredded(repository, project, journal, exclusive=exclusive)
            return past
    raise contended(journal)


def check_exclusive(
    name: ArtifactName, project: Project, past: History, *, wanted: bool
) -> None:
    """Check that an artifact has the key domain to itself, if that is wanted.

    Raises:
        PreconditionError: It shares its project's (DOMAIN_SHARED).
    """
    if wanted and scope_of(project, past).domain == project.scope.domain:
        raise domain_shared(name, "shares the key domain of its project")


def _check_not_shredded(
    repository: Repository, project: Project, journal: JournalId, *, exclusive: bool
) -> None:
    """Check, once a journal with a domain of its own stands, that its project lives.

    Who shreds a project writes the tombstone and then looks which domains its journals
    name; so either it sees this one, or its tombstone is seen here.
    """
    found = repository.shreds.find(journal.project) if exclusive else None
    if found is not None:
        repository.journals.forget(project.scope.project)
        raise shredded(found)
