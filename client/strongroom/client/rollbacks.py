# SPDX-License-Identifier: Apache-2.0
"""`Rollbacks`: where a ref pointed, what going back would change, and going back."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from strongroom import _convert, values
from strongroom._channel import methods
from strongroom.client.catalog import Catalog, parse_artifact
from strongroom.errors import NotFoundError, PermissionDeniedError, Reason
from strongroom.format.names import LATEST, TimeSelector, parse_selector, parse_uri
from strongroom.v1 import artifact_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import (
        JournalEntry,
        Ref,
        RollbackPreview,
        VersionReaders,
    )

_BESIDE: Final = 2


class Rollbacks(Catalog):
    """The part of `Client` that looks at a ref's past, and goes back to it."""

    def ref_log(self, artifact: str, ref: str) -> "Iterator[JournalEntry]":
        """Yield the moves of a ref, newest first; those of `latest` are commits.

        Raises:
            NotFoundError: There is no such artifact.
        """
        for entry in self.log(artifact):
            commits = ref == LATEST and entry.action is values.Action.COMMIT
            if commits or (entry.ref == ref and entry.action is values.Action.MOVE_REF):
                yield entry

    def list_readers(self, version: str) -> "VersionReaders":
        """Return who reads a version now, as far as the server that answers knows.

        Other servers of the same store know of others; who has read it, the audit log
        tells.

        Args:
            version: `project/artifact@version`.

        Raises:
            NotFoundError: There is no such version.
        """
        asked = parse_uri(version).version
        request = pb.ListReadersRequest(parent=asked.resource)
        answer = self._caller.unary(methods.LIST_READERS, request)
        return _convert.version_readers_of(answer, asked)

    def preview_rollback(
        self, artifact: str, ref: str, *, to: str | int | None = None
    ) -> "RollbackPreview":
        """Return what a rollback would do; nothing is read of the versions' content.

        Args:
            artifact: `project/artifact`.
            ref: The ref's name.
            to: As of `rollback`.

        Raises:
            NotFoundError: There is no such ref, or nothing earlier to go back to.
            PreconditionError: The version cannot be read (VERSION_DELETED,
                VERSION_PURGED).
        """
        current = self._find_ref(artifact, ref)
        selector = self._target(artifact, ref, to)
        base = self.show(f"{artifact}@{current.version}")
        target = self.show(f"{artifact}@{selector}")
        commits: dict[int, JournalEntry] = {}
        last_move = None
        wanted = {base.number, target.number}
        for entry in self.log(artifact):
            if entry.action is values.Action.COMMIT and entry.version in wanted:
                commits[entry.version] = entry
            if last_move is None and entry.ref == ref:
                last_move = entry
            if len(commits) == len(wanted) and last_move is not None:
                break
        return values.RollbackPreview(
            artifact=parse_artifact(artifact).short,
            ref=current,
            base=base,
            target=target,
            base_entry=commits.get(base.number),
            target_entry=commits.get(target.number),
            last_move=last_move,
            readers=self._readers(f"{artifact}@{base.number}"),
        )

    def rollback(
        self,
        artifact: str,
        ref: str,
        *,
        to: str | int | None = None,
        reason: str = "",
        etag: str = "",
        validate_only: bool = False,
    ) -> "Ref":
        """Move a ref back; nothing is copied, so it takes effect at once.

        It is a move like any other: what it did is in the journal, and another one
        takes it back.

        Args:
            artifact: `project/artifact`.
            ref: The ref's name.
            to: A number or selector; `{time}` is where this ref pointed then. Unless
                given, the version before the one it points at: doing it again goes
                further back, never forward.
            reason: Why; kept in the journal.
            etag: If given, the ref must still have it.
            validate_only: Whether only to check.

        Raises:
            ConflictError: Somebody moved the ref meanwhile (REF_MOVED).
            NotFoundError: There is no such ref, or nothing earlier to go back to.
        """
        current = self._find_ref(artifact, ref)
        return self.move_ref(
            artifact,
            ref,
            self._target(artifact, ref, to),
            etag=etag or current.etag,
            reason=reason,
            validate_only=validate_only,
        )

    def _find_ref(self, artifact: str, ref: str) -> "Ref":
        found = [item for item in self.artifact(artifact).refs if item.name == ref]
        if not found:
            message = f"{artifact} has no ref {ref!r}"
            raise NotFoundError(
                message,
                reason=Reason.REF_NOT_FOUND,
                hint=f"strongroom ref ls {artifact}",
                ref=ref,
            )
        return found[0]

    def _target(self, artifact: str, ref: str, to: str | int | None) -> str:
        """Return the number or selector that a ref is to go back to."""
        if to is None:
            return str(self._version_before(artifact, ref))
        text = str(to).removeprefix("@")
        selector = parse_selector(text)
        if not isinstance(selector, TimeSelector):
            return text
        for entry in self.ref_log(artifact, ref):
            if entry.create_time <= selector.time:
                return str(entry.version)
        message = f"{artifact} had no ref {ref!r} at {text}"
        raise NotFoundError(
            message,
            reason=Reason.REF_NOT_FOUND,
            hint=f"strongroom ref log {artifact} {ref}",
            ref=ref,
        )

    def _readers(self, version: str) -> "VersionReaders | None":
        try:
            return self.list_readers(version)
        except PermissionDeniedError:
            return None

    def _version_before(self, artifact: str, ref: str) -> int:
        """Return what a ref pointed at before, as if rolled-back moves were not."""
        moves = [entry.version for entry in self.log(artifact) if entry.ref == ref]
        trail: list[int] = []
        for version in reversed(moves):
            if trail[-2:-1] == [version]:
                trail.pop()
            elif trail[-1:] != [version]:
                trail.append(version)
        if len(trail) < _BESIDE:
            message = f"{artifact}@{ref} has no earlier version to go back to"
            raise NotFoundError(
                message,
                reason=Reason.VERSION_NOT_FOUND,
                hint=f"strongroom rollback {artifact} {ref} --to VERSION",
                ref=ref,
            )
        return trail[-_BESIDE]
