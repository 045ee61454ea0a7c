# SPDX-License-Identifier: Apache-2.0
"""Moving refs: one journal entry a move, so every move can be undone."""

import contextlib
from dataclasses import replace
from typing import Final

from strongroom.errors import ConflictError, Reason
from strongroom.format.names import RefName
from strongroom_server.core import history
from strongroom_server.core.history import Entry, History, RefMoved
from strongroom_server.core.records import Action, Caller, RefRecord
from strongroom_server.core.selectors import resolve, resolve_stored
from strongroom_server.repository.journals import NumberTakenError, contended
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.repository.requests import check_request, request_reused

_ATTEMPTS: Final = 20
#: The etag of a ref that does not exist.
NO_REF: Final = '""'


class Refs:
    """Moves refs."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def move(
        self,
        name: RefName,
        *,
        version: str,
        etag: str,
        reason: str,
        request_id: str,
        validate_only: bool,
        caller: Caller,
    ) -> RefRecord:
        """Point a ref at a version, or create it.

        Args:
            name: The ref; not `latest`.
            version: A number or selector of the same artifact.
            etag: If not empty, the ref must still have it.
            reason: Why; kept in the journal.
            request_id: The same id moves once, and to one version.
            validate_only: Only check, and answer what would be.
            caller: Who asks.

        Raises:
            NotFoundError: The artifact or version does not exist.
            ConflictError: The ref has moved since (REF_MOVED), or other writers
                won every attempt.
            PreconditionError: The ref moves by itself (REF_RESERVED), or the
                version cannot be read (VERSION_DELETED, VERSION_PURGED).
            InvalidArgumentError: The request id has moved it to another version.
        """
        _check(name, reason, request_id)
        artifact = self._repository.artifact(name.artifact)
        for _ in range(_ATTEMPTS):
            past = artifact.history
            done = past.requests.get((Action.MOVE_REF, name.ref, request_id))
            if done is not None:
                _check_same(past, done.entry, version)
                return artifact.ref_record(name.ref)
            target = resolve(past, version)
            _check_etag(past, name, etag)
            entry = RefMoved(
                history.make_info(
                    Action.MOVE_REF,
                    caller,
                    time=self._repository.clock.now(),
                    request_id=request_id,
                    reason=reason,
                ),
                name.ref,
                target.version,
                past.ref_version(name.ref),
            )
            if validate_only:
                etag_after = f'"{past.next_number}"'
                return RefRecord(name, target.version, entry.info.time, etag_after)
            with contextlib.suppress(NumberTakenError):
                return self._append(artifact, entry)
            artifact = self._repository.artifact(name.artifact)
        raise contended(artifact.journal)

    def _append(self, artifact: Artifact, entry: RefMoved) -> RefRecord:
        past = self._repository.journals.append(
            artifact.journal, artifact.scope, entry, behind=artifact.history
        )
        moved = replace(artifact, history=past)
        return moved.ref_record(entry.ref)


def _check(name: RefName, reason: str, request_id: str) -> None:
    history.check_movable(name.ref)
    check_request(reason, request_id)


def _check_same(past: History, done: Entry, version: str) -> None:
    """Check that a repeated request asks for what it did.

    A selector that is no number may name another version by now, so it is not
    compared.
    """
    if version.isdecimal() and isinstance(done, RefMoved):
        asked = resolve_stored(past, version).version
        if asked != done.version:
            raise request_reused()


def _check_etag(past: History, name: RefName, etag: str) -> None:
    moves = past.refs.get(name.ref, ())
    current = f'"{moves[-1].number}"' if moves else NO_REF
    if etag and etag != current:
        raise ConflictError(
            f"ref {name.ref} of {name.artifact.short} has moved: its etag is "
            f"{current}, not {etag}",
            reason=Reason.REF_MOVED,
            hint="Look at where it points now, then decide again.",
            ref=name.ref,
            etag=current,
        )
