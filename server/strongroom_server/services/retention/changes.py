# SPDX-License-Identifier: Apache-2.0
"""Deleting, undeleting, holding, setting policies: one journal entry a change.

A deleted version goes to the trash; nothing here removes a byte. Each change is
decided on the history behind which it is written, so a ref that moves, or a hold
that is set, at the same moment is never overlooked.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import history, retention
from strongroom_server.core.history import (
    Committed,
    Deleted,
    Entry,
    EntryInfo,
    HoldSet,
    PolicySet,
    Undeleted,
)
from strongroom_server.core.policy import check_policy
from strongroom_server.core.records import (
    Action,
    ArtifactPolicy,
    ArtifactRecord,
    Caller,
    VersionRecord,
)
from strongroom_server.core.retention import Keeping
from strongroom_server.core.selectors import (
    resolve,
    resolve_stored,
    version_purged,
)
from strongroom_server.repository.exclusive import exclusive_bytes
from strongroom_server.repository.journals import NumberTakenError, contended
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.repository.requests import check_request, request_reused
from strongroom_server.services.retention.creation import (
    Creating,
    Creation,
    check_etag,
)

_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes something, why, and the id that makes it repeatable."""

    reason: str
    request_id: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class VersionKeeping:
    """Why one version is kept, and what goes with it.

    `exclusive_bytes` is what only this version of its artifact keeps stored; 0 also
    if the artifact is too large to tell.
    """

    keeping: Keeping
    exclusive_bytes: int


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """Why versions of an artifact are kept, newest first."""

    policy: ArtifactPolicy
    versions: tuple[VersionKeeping, ...]


class Retention:
    """Moves versions to the trash and back, and sets holds and policies."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._creating = Creating(repository)

    def delete(
        self,
        name: VersionName,
        *,
        reason: str,
        request_id: str,
        validate_only: bool = False,
        caller: Caller,
    ) -> VersionRecord:
        """Put a version into the trash.

        Raises:
            NotFoundError: It does not exist.
            PreconditionError: A ref or a hold keeps it, or it is deleted already
                (VERSION_IN_USE, LEGAL_HOLD, VERSION_DELETED, VERSION_PURGED).
            InvalidArgumentError: The request id has deleted another version.
            ConflictError: Other writers won every attempt.
        """

        def decide(artifact: Artifact, info: EntryInfo) -> Deleted:
            version = resolve(artifact.history, name.selector).version
            retention.check_deletable(artifact.history, version)
            return Deleted(info, version)

        change = Change(reason, request_id, caller)
        return self._version(
            name, Action.DELETE, change, decide, validate_only=validate_only
        )

    def undelete(
        self, name: VersionName, *, reason: str, request_id: str, caller: Caller
    ) -> VersionRecord:
        """Take a version out of the trash; one that can be read stays as it is.

        Raises:
            NotFoundError: It does not exist.
            PreconditionError: It is gone for good (VERSION_PURGED).
            InvalidArgumentError: The request id has undeleted another version.
            ConflictError: Other writers won every attempt.
        """

        def decide(artifact: Artifact, info: EntryInfo) -> Undeleted | None:
            past = artifact.history
            version = _stored(artifact, name.selector).version
            return None if past.is_live(version) else Undeleted(info, version)

        change = Change(reason, request_id, caller)
        return self._version(name, Action.UNDELETE, change, decide)

    def hold(
        self,
        name: ArtifactName | VersionName,
        *,
        hold: bool,
        reason: str,
        request_id: str,
        caller: Caller,
    ) -> ArtifactRecord:
        """Set or lift a legal hold on a version, or on the whole artifact.

        Raises:
            NotFoundError: It does not exist.
            PreconditionError: The version is gone for good (VERSION_PURGED).
            InvalidArgumentError: The request id has set another hold.
            ConflictError: Other writers won every attempt.
        """
        artifact_name = name if isinstance(name, ArtifactName) else name.artifact

        def version_in(artifact: Artifact) -> int:
            if isinstance(name, ArtifactName):
                return 0
            return _stored(artifact, name.selector).version

        def decide(artifact: Artifact, info: EntryInfo) -> HoldSet | None:
            version = version_in(artifact)
            if hold == (version in artifact.history.held):
                return None
            return HoldSet(info, version, hold)

        def is_same(artifact: Artifact, entry: Entry) -> bool:
            if not isinstance(entry, HoldSet):
                return False
            wanted = 0 if isinstance(name, ArtifactName) else _number(artifact, name)
            return (entry.version, entry.hold) == (wanted, hold)

        change = Change(reason, request_id, caller)
        return self._append(
            artifact_name, Action.RETAIN, change, decide, is_same
        ).record

    def set_policy(
        self,
        name: ArtifactName,
        policy: ArtifactPolicy,
        *,
        reason: str,
        request_id: str,
        etag: str = "",
        creation: Creation | None = None,
        validate_only: bool = False,
        caller: Caller,
    ) -> ArtifactRecord:
        """Set how an artifact's versions are stored and kept from now on.

        Args:
            name: The artifact.
            policy: The whole policy.
            reason: Why; kept in the journal.
            request_id: The same id sets one policy, once.
            etag: If not empty, the policy must still have it; `""` in quotes
                means that the artifact must not exist.
            creation: Make the artifact, if it does not exist.
            validate_only: Only check.
            caller: Who asks.

        Raises:
            NotFoundError: The artifact does not exist, and is not to be made.
            PreconditionError: It is of another kind than said (KIND_MISMATCH).
            InvalidArgumentError: A field is out of range, or the request id has
                set another policy.
            ConflictError: The policy was changed since (POLICY_CHANGED), or other
                writers won every attempt.
        """
        check_policy(policy)
        check_request(reason, request_id)
        if creation is not None:
            would_be = self._creating.run(
                name,
                creation,
                etag=etag,
                request_id=request_id,
                validate_only=validate_only,
                caller=caller,
            )
            if would_be is not None:
                return replace(would_be, policy=policy)

        def decide(artifact: Artifact, info: EntryInfo) -> PolicySet | None:
            check_etag(artifact, etag, request_id)
            same = artifact.history.policy == policy
            return None if same else PolicySet(info, policy)

        def is_same(artifact: Artifact, entry: Entry) -> bool:  # noqa: ARG001
            return isinstance(entry, PolicySet) and entry.policy == policy

        change = Change(reason, request_id, caller)
        changed = self._append(
            name, Action.POLICY, change, decide, is_same, validate_only=validate_only
        )
        return changed.record

    def explain(self, name: ArtifactName | VersionName) -> RetentionReport:
        """Say why an artifact's versions, or one of them, are kept.

        Raises:
            NotFoundError: It does not exist.
        """
        artifact_name = name if isinstance(name, ArtifactName) else name.artifact
        artifact = self._repository.artifact(artifact_name)
        past, now = artifact.history, self._now()
        wanted = past.versions[::-1]
        if isinstance(name, VersionName):
            wanted = (resolve_stored(past, name.selector),)
        sizes = exclusive_bytes(self._repository, artifact)
        best = retention.best_versions(past)
        return RetentionReport(
            past.policy,
            tuple(
                VersionKeeping(
                    retention.explain(past, version, now, best),
                    sizes.get(version.version, 0),
                )
                for version in wanted
            ),
        )

    def _now(self) -> datetime:
        return self._repository.clock.now()

    def _version(
        self,
        name: VersionName,
        action: Action,
        change: Change,
        decide: Callable[[Artifact, EntryInfo], Deleted | Undeleted | None],
        *,
        validate_only: bool = False,
    ) -> VersionRecord:
        def is_same(artifact: Artifact, entry: Entry) -> bool:
            number = _number(artifact, name)
            return isinstance(entry, Deleted | Undeleted) and entry.version == number

        artifact = self._append(
            name.artifact, action, change, decide, is_same, validate_only=validate_only
        )
        return artifact.version_record(
            artifact.history.versions[_number(artifact, name) - 1]
        )

    def _append(
        self,
        name: ArtifactName,
        action: Action,
        change: Change,
        decide: Callable[[Artifact, EntryInfo], Entry | None],
        is_same: Callable[[Artifact, Entry], bool],
        *,
        validate_only: bool = False,
    ) -> Artifact:
        """Write the entry that `decide` wants, once; None means nothing to do."""
        check_request(change.reason, change.request_id)
        artifact = self._repository.artifact(name)
        for _ in range(_ATTEMPTS):
            past = artifact.history
            done = past.requests.get((action, "", change.request_id))
            if done is not None:
                if not is_same(artifact, done.entry):
                    raise request_reused()
                return artifact
            info = history.make_info(
                action,
                change.caller,
                time=self._now(),
                request_id=change.request_id,
                reason=change.reason,
            )
            entry = decide(artifact, info)
            if entry is None or validate_only:
                return artifact
            with contextlib.suppress(NumberTakenError):
                after = self._repository.journals.append(
                    artifact.journal, artifact.scope, entry, behind=past
                )
                return replace(artifact, history=after)
            artifact = self._repository.artifact(name)
        raise contended(artifact.journal)


def _stored(artifact: Artifact, selector: str) -> Committed:
    """Return a version that is not gone for good."""
    found = resolve_stored(artifact.history, selector)
    if found.version in artifact.history.purged:
        raise version_purged(artifact.history, found.version)
    return found


def _number(artifact: Artifact, name: VersionName) -> int:
    return resolve_stored(artifact.history, name.selector).version
