# SPDX-License-Identifier: Apache-2.0
"""Artifacts that get a policy before they get a version; and etags of policies."""

from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import ConflictError, NotFoundError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.records import ArtifactRecord, Caller, Kind
from strongroom_server.core.scope import format_id
from strongroom_server.repository.creating import (
    creating_request,
    make_artifact,
    project_of,
)
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.repository.requests import check_kind

#: The etag of the policy of an artifact that does not exist.
NO_ARTIFACT: Final = '""'


@dataclass(frozen=True, slots=True)
class Creation:
    """What makes an artifact on the way: its kind, and whether its project, too."""

    kind: Kind
    may_create_project: bool = False


class Creating:
    """Makes artifacts that have no version yet. Safe to use from many threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def run(
        self,
        name: ArtifactName,
        creation: Creation,
        *,
        etag: str,
        request_id: str,
        validate_only: bool,
        caller: Caller,
    ) -> ArtifactRecord | None:
        """See to it that an artifact exists.

        Returns:
            What it would be, if it does not exist and this is only a check.

        Raises:
            NotFoundError: Its project does not exist, and may not be made.
            PreconditionError: It is of another kind (KIND_MISMATCH).
            ConflictError: It does not exist, and `etag` says that it does
                (POLICY_CHANGED), or other writers won every attempt.
        """
        repository, projects = self._repository, self._repository.projects
        now = repository.clock.now()
        would_be = ArtifactRecord(name, "", creation.kind, now, 0, ())
        if validate_only and creation.may_create_project:
            try:
                projects.get(ProjectName(name.project))
            except NotFoundError:
                _check_absent(name, etag)
                return would_be
        project = project_of(
            repository,
            name,
            may_create=creation.may_create_project,
            caller=caller,
            request_id=request_id,
        )
        journal = projects.journal_of(project, name)
        past = repository.journals.load(journal)
        if past.entries:
            check_kind(name, said=creation.kind, kind=past.created.kind)
            return None
        _check_absent(name, etag)
        if validate_only:
            return replace(would_be, artifact_id=format_id(journal.artifact))
        make_artifact(
            repository,
            project,
            name,
            kind=creation.kind,
            exclusive=False,
            caller=caller,
            request_id=request_id,
        )
        return None


def check_etag(artifact: Artifact, etag: str, request_id: str) -> None:
    """Check that a policy is still the one that the caller has seen.

    Args:
        artifact: The artifact as it is now.
        etag: What the caller has seen; empty: anything will do.
        request_id: Of the change that the caller asks for.

    Raises:
        ConflictError: It is another one (POLICY_CHANGED).
    """
    past = artifact.history
    current = f'"{past.policy_number}"'
    accepted = {"", current}
    if not past.policy_number and creating_request(request_id) in past.requests:
        # This request made the artifact: before it, there was none.
        accepted.add(NO_ARTIFACT)
    if etag not in accepted:
        raise _policy_changed(artifact.name, etag, current)


def _check_absent(name: ArtifactName, etag: str) -> None:
    if etag not in {"", NO_ARTIFACT}:
        raise _policy_changed(name, etag, NO_ARTIFACT)


def _policy_changed(name: ArtifactName, etag: str, current: str) -> ConflictError:
    return ConflictError(
        f"the policy of {name.short} is another one by now: its etag is {current}, "
        f"not {etag[:100]}",
        reason=Reason.POLICY_CHANGED,
        hint=f"See `strongroom policy show {name.short}`, then decide again.",
        artifact=name.short,
        etag=current,
    )
