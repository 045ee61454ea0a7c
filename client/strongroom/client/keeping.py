# SPDX-License-Identifier: Apache-2.0
"""`Keeping`: artifacts made; what is kept, how long: trash, legal holds, policies."""

from typing import TYPE_CHECKING

from strongroom import _convert, _system
from strongroom._channel import methods
from strongroom.client.catalog import parse_artifact
from strongroom.client.rollbacks import Rollbacks
from strongroom.format.names import (
    ArtifactName,
    NumberSelector,
    ProjectName,
    VersionName,
    parse_artifact_name,
    parse_selector,
    parse_uri,
)
from strongroom.v1 import artifact_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import Artifact, ArtifactPolicy, Kind, Retention, Version


class Keeping(Rollbacks):
    """The part of `Client` that decides what stays.

    Nothing here removes a byte: what is deleted lies in the trash until its time is
    over and a sweep has passed.
    """

    def list_shredded_artifacts(self, project: str) -> tuple[str, ...]:
        """Return the artifacts of a project that were shredded alone, by name.

        At most 1000; none of those that the caller may not see.
        """
        parent = ProjectName(project.rstrip("/")).resource
        answer = self._caller.unary(
            methods.LIST_ARTIFACTS, pb.ListArtifactsRequest(parent=parent, page_size=1)
        )
        return tuple(parse_artifact_name(name).short for name in answer.shredded)

    def create_artifact(
        self,
        artifact: str,
        *,
        kind: "Kind | str | None" = None,
        exclusive: bool = False,
        request_id: str | None = None,
    ) -> "Artifact":
        """Make an artifact that has no version yet; return it, too, if it exists.

        Args:
            artifact: `project/artifact`; the project is made if that is allowed.
            kind: What it holds; if it exists, it must be that.
            exclusive: Give it a key domain of its own, so that it can be shredded
                alone. It then shares no stored bytes with other artifacts.
            request_id: Makes the call repeatable; a new one, unless given.

        Raises:
            PreconditionError: It exists with another kind (KIND_MISMATCH), or shares
                its project's key domain (DOMAIN_SHARED).
        """
        name = parse_artifact(artifact)
        request = pb.CreateArtifactRequest(
            parent=ProjectName(name.project).resource,
            artifact_id=name.artifact,
            kind=_convert.kind_to_message(kind),
            exclusive=exclusive,
            request_id=request_id or _system.new_request_id(),
        )
        return _convert.artifact_of(
            self._caller.unary(methods.CREATE_ARTIFACT, request)
        )

    def delete(
        self,
        uri: str,
        *,
        reason: str = "",
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> "Version":
        """Put a version into the trash; `undelete` takes it out again.

        Args:
            uri: `project/artifact@version`; a selector is resolved first.
            reason: Why; kept in the journal, at most 1000 characters.
            request_id: A UUID4 that makes the call repeatable.
            validate_only: Whether only to check.

        Returns:
            The version as it is now; `purge_time` says until when it can come back.

        Raises:
            NotFoundError: There is no such version.
            PreconditionError: A ref points at it or a hold keeps it
                (VERSION_IN_USE, LEGAL_HOLD), or it is gone (VERSION_PURGED).
        """
        name = self._numbered(uri)
        request = pb.DeleteVersionRequest(
            name=name.resource,
            reason=reason,
            request_id=request_id or _system.new_request_id(),
            validate_only=validate_only,
        )
        answer = self._caller.unary(methods.DELETE_VERSION, request)
        return _convert.answered_version_of(answer, name)

    def undelete(
        self, uri: str, *, reason: str = "", request_id: str | None = None
    ) -> "Version":
        """Take a version out of the trash.

        Args:
            uri: `project/artifact@version`, by number or digest.
            reason: Why; kept in the journal.
            request_id: A UUID4 that makes the call repeatable.

        Raises:
            NotFoundError: There is no such version.
            PreconditionError: It is gone for good (VERSION_PURGED).
        """
        name = self._numbered(uri)
        request = pb.UndeleteVersionRequest(
            name=name.resource,
            reason=reason,
            request_id=request_id or _system.new_request_id(),
        )
        answer = self._caller.unary(methods.UNDELETE_VERSION, request)
        return _convert.answered_version_of(answer, name)

    def set_hold(
        self,
        name: str,
        *,
        hold: bool,
        reason: str = "",
        request_id: str | None = None,
    ) -> "Artifact":
        """Set or lift a legal hold; what is held, nobody and no policy deletes.

        Args:
            name: `project/artifact@version`, or `project/artifact` for all versions.
            hold: Whether it is to be held.
            reason: Why; kept in the journal.
            request_id: A UUID4 that makes the call repeatable.

        Raises:
            NotFoundError: There is no such artifact or version.
        """
        request = pb.SetHoldRequest(
            name=self._artifact_or_version(name).resource,
            hold=hold,
            reason=reason,
            request_id=request_id or _system.new_request_id(),
        )
        return _convert.artifact_of(self._caller.unary(methods.SET_HOLD, request))

    def set_policy(
        self,
        artifact: str,
        policy: "ArtifactPolicy",
        *,
        etag: str = "",
        kind: "Kind | str | None" = None,
        reason: str = "",
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> "Artifact":
        """Change how an artifact's versions are stored and kept.

        No version that exists is changed; what the policy keeps no longer goes to
        the trash with the next sweep.

        Args:
            artifact: `project/artifact`.
            policy: The whole policy from now on.
            etag: If given, the change fails unless `Artifact.policy_etag` is still
                this one; `'""'` means that the artifact must not exist.
            kind: If given, the artifact is created with this kind, unless it
                exists; that needs the rights of a push that creates it.
            reason: Why; kept in the journal.
            request_id: A UUID4 that makes the call repeatable.
            validate_only: Whether only to check.

        Raises:
            ConflictError: The policy was changed since (POLICY_CHANGED).
            InvalidArgumentError: The policy cannot be (ARGUMENT_INVALID).
            NotFoundError: There is no such artifact, and no kind was given.
            PreconditionError: It holds another kind (KIND_MISMATCH).
        """
        request = pb.SetPolicyRequest(
            name=parse_artifact(artifact).resource,
            policy=_convert.policy_to_message(policy),
            reason=reason,
            request_id=request_id or _system.new_request_id(),
            validate_only=validate_only,
            etag=etag,
            kind=_convert.kind_to_message(kind),
        )
        return _convert.artifact_of(self._caller.unary(methods.SET_POLICY, request))

    def explain(self, name: str) -> "Retention":
        """Say why versions are kept, and until when.

        Args:
            name: `project/artifact@version`, or `project/artifact` for all versions.

        Raises:
            NotFoundError: There is no such artifact or version.
        """
        request = pb.ExplainRetentionRequest(
            name=self._artifact_or_version(name).resource
        )
        answer = self._caller.unary(methods.EXPLAIN_RETENTION, request)
        return _convert.retention_of(answer)

    def _artifact_or_version(self, name: str) -> ArtifactName | VersionName:
        return self._numbered(name) if "@" in name else parse_artifact(name)

    def _numbered(self, uri: str) -> VersionName:
        """Return a version by number: what moves meanwhile is not what was meant."""
        asked = parse_uri(uri).version
        if isinstance(parse_selector(asked.selector), NumberSelector):
            return asked
        return VersionName(asked.artifact, str(self.show(uri).number))
