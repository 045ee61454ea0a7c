# SPDX-License-Identifier: Apache-2.0
"""Making projects and artifacts on the way, for whoever first has a use for them."""

from strongroom.errors import AlreadyExistsError, NotFoundError
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.history import Created, EntryInfo, RequestKey, make_info
from strongroom_server.core.records import Action, Caller, Kind
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository


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
    info: EntryInfo, name: ArtifactName, kind: Kind | None, project: Project
) -> Created:
    """Return entry 0 of an artifact's journal; without a kind it holds a data set."""
    return Created(info, name, kind or Kind.DATASET, project.scope.domain)
