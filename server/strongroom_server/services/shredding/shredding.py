# SPDX-License-Identifier: Apache-2.0
"""Shredding: a project's key is destroyed, and a signed receipt says so.

In this order, each step harmless if it is repeated, so that a run that broke off is
finished by running it again: Vault lets the KEK be destroyed; the tombstone, from
which on no server opens anything of the project; the KEK; the key slots; the receipt.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom.format.names import ProjectName
from strongroom_server.core import layout, shred_receipt
from strongroom_server.core.history import History
from strongroom_server.core.records import Caller
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.shred_receipt import Destroyed
from strongroom_server.core.signatures import PublicKey
from strongroom_server.core.tombstone import (
    DoomedArtifact,
    ShredOrder,
    Tombstone,
    fit_doomed,
)
from strongroom_server.ports import (
    BlobRemover,
    BlobVersion,
    KeyDestroyer,
    KeyService,
)
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.requests import check_request
from strongroom_server.services.shredding.watch import MAX_BLIND_S

#: Journals that are read at once.
_BATCH: Final = 32
#: Key slots may have as many versions below one key; then somebody else writes them.
_MAX_PASSES: Final = 100
#: Beyond the time after which a server without sight of the store forgets keys: a
#: look that was under way, and clocks that differ.
_MARGIN_S: Final = 30.0
LATEST: Final = "latest"


@dataclass(frozen=True, slots=True)
class ShredSettings:
    """What receipts say that no server can find out.

    Attributes:
        snapshot_days: How long snapshots of Vault's storage are kept.
    """

    snapshot_days: int = 35


@dataclass(frozen=True, slots=True)
class Approval:
    """Under which approval a shredding is done; who approved."""

    approval_id: str = ""
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DoomedPreview:
    """What would die with one artifact, and whether a legal hold forbids it."""

    artifact: DoomedArtifact
    held: bool
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class ShredPreview:
    """What would die with a project."""

    scope: Scope
    slot_count: int
    artifacts: tuple[DoomedPreview, ...]

    @property
    def held(self) -> tuple[str, ...]:
        """The artifacts that a legal hold keeps."""
        return tuple(item.artifact.artifact for item in self.artifacts if item.held)


class Shredding:
    """Destroys projects. Safe to use from many threads.

    Without a destroyer and a remover a server tells what would die, and shows
    receipts, and destroys nothing.
    """

    def __init__(
        self,
        repository: Repository,
        key_service: KeyService,
        destroyer: KeyDestroyer | None = None,
        remover: BlobRemover | None = None,
        settings: ShredSettings | None = None,
    ) -> None:
        self._repository = repository
        self._key_service = key_service
        self._destroyer = destroyer
        self._remover = remover
        self._settings = settings or ShredSettings()

    def preview(
        self, name: ProjectName, *, check: Callable[[], None] = lambda: None
    ) -> ShredPreview:
        """Tell what would die; `check` is called in between, and may raise.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
            PreconditionError: It was shredded (KEY_SHREDDED).
            IntegrityError: A journal is damaged, so that it cannot be told what it
                holds, or whether it is under a legal hold.
        """
        project = self._repository.projects.get(name)
        found = []
        for item in self._doomed(project):
            check()
            found.append(item)
        found.sort(key=lambda item: item.artifact.artifact)
        slots = self._slot_keys(project.scope)
        return ShredPreview(project.scope, len(slots), tuple(found))

    def shred(
        self,
        name: ProjectName,
        *,
        reason: str,
        request_id: str,
        caller: Caller,
        approval: Approval,
        check: Callable[[], None] = lambda: None,
    ) -> bytes:
        """Destroy a project for good; return the signed receipt.

        Called again, whoever calls, it finishes what was begun, and returns the same
        receipt.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
            PreconditionError: A legal hold forbids it (LEGAL_HOLD); this server has
                no credential for it, or Vault refuses (KEK_ACCESS_DENIED); Vault
                waits for its own approvers (KEK_APPROVAL_PENDING).
            IntegrityError: A journal is damaged.
            UnavailableError: S3 or Vault failed; what is done stays done.
        """
        check_request(reason, request_id)
        self._require()
        shreds, project = self._repository.shreds, self._repository.projects.id_of(name)
        tombstone = shreds.find(project)
        if tombstone is None:
            order = ShredOrder(
                name.project,
                reason,
                caller.principal,
                approval.approval_id,
                approval.approvers,
                request_id,
                caller.trace_id,
                caller.audit_id,
            )
            try:
                tombstone = self._condemn(name, order, check)
            except (IntegrityError, PreconditionError):
                # Another server may have come first, and taken the keys away.
                tombstone = shreds.find(project)
                if tombstone is None:
                    raise
        return self._finish(tombstone)

    def _condemn(
        self, name: ProjectName, order: ShredOrder, check: Callable[[], None]
    ) -> Tombstone:
        """Look what dies and whether it may, and write the tombstone."""
        destroyer, _ = self._require()
        preview = self.preview(name, check=check)
        _check_holds(name, preview)
        # Before the tombstone, which cannot be taken back.
        destroyer.allow(preview.scope.kek)
        artifacts = [item.artifact for item in preview.artifacts]
        stored_bytes = sum(item.stored_bytes for item in preview.artifacts)
        doomed = fit_doomed(artifacts, stored_bytes)
        slots = tuple(self._slot_keys(preview.scope))
        order = replace(order, slots=slots, doomed=doomed)
        return self._repository.shreds.write(preview.scope, order)

    def receipt(self, name: ProjectName) -> bytes:
        """Return the receipt of a project that was shredded.

        Raises:
            NotFoundError: It was not, or that is not finished (RECEIPT_NOT_FOUND).
        """
        shreds = self._repository.shreds
        project = self._repository.projects.id_of(name)
        tombstone = shreds.find(project)
        found = shreds.receipt(project)
        if found is not None and tombstone is not None:
            return found
        problem = "was not shredded"
        hint = "strongroom ls"
        if tombstone is not None:
            problem = "is being shredded, and that was not finished"
            hint = f"Finish it: strongroom shred {name.project} --reason …"
        raise NotFoundError(
            f"project {name.project} {problem}",
            reason=Reason.RECEIPT_NOT_FOUND,
            hint=hint,
            project=name.project,
        )

    def signing_keys(self) -> Mapping[str, PublicKey]:
        """Return the public keys that receipts are signed with, by id."""
        return self._repository.journals.public_keys()

    def _finish(self, tombstone: Tombstone) -> bytes:
        """Do what is left to do for a project that is dead already."""
        destroyer, remover = self._require()
        shreds, scope = self._repository.shreds, tombstone.scope
        found = shreds.receipt(scope.project)
        if found is not None:
            return found
        order = shreds.order(tombstone)
        self._destroy_kek(destroyer, scope.kek)
        kek_time = self._repository.clock.now()
        removed, locked = self._remove_slots(remover, scope)
        gone = sorted({*order.slots, *removed} - {*locked})
        destroyed = Destroyed(
            kek_time,
            kek_time + timedelta(seconds=MAX_BLIND_S + _MARGIN_S),
            kek_time + timedelta(days=self._settings.snapshot_days),
            tuple(gone),
            tuple(sorted(locked)),
        )
        payload = shred_receipt.format_payload(
            scope, order, destroyed, time=tombstone.time
        )
        return shreds.write_receipt(scope, payload)

    def _destroy_kek(self, destroyer: KeyDestroyer, kek: str) -> None:
        try:
            destroyer.allow(kek)
        except PreconditionError as error:
            if error.reason is not Reason.KEK_MISSING:
                raise
        destroyer.destroy(kek)
        # The server's own credential is asked, since the receipt builds on it.
        try:
            self._key_service.kek_state(kek)
        except PreconditionError as error:
            if error.reason is not Reason.KEK_MISSING:
                raise
            return
        raise UnavailableError(
            f"Vault still has the key {kek}, though it was deleted",
            reason=Reason.KEY_SERVICE_UNAVAILABLE,
            hint="Do the same again in a moment; a standby may be behind.",
        )

    def _remove_slots(
        self, remover: BlobRemover, scope: Scope
    ) -> tuple[set[str], set[str]]:
        """Remove every version of every slot; return the keys, and the locked ones."""
        removed: set[str] = set()
        locked: set[str] = set()
        for prefix in _slot_prefixes(scope):
            left: list[BlobVersion] = []
            for _ in range(_MAX_PASSES):
                # A listing shows the oldest version of each key, so that the next
                # one comes to light when it is gone.
                listed = self._repository.blobs.first_versions(prefix)
                left = [item for item in listed if item.key not in locked]
                for item in left:
                    done = removed if _removed(remover, item) else locked
                    done.add(item.key)
                if not left:
                    break
            locked |= {item.key for item in left}
        return removed, locked

    def _slot_keys(self, scope: Scope) -> list[str]:
        first_versions = self._repository.blobs.first_versions
        return [
            item.key
            for prefix in _slot_prefixes(scope)
            for item in first_versions(prefix)
        ]

    def _doomed(self, project: Project) -> Iterator[DoomedPreview]:
        journals = self._repository.journals
        waiting = iter(journals.artifacts(project.scope.project))
        while batch := list(islice(waiting, _BATCH)):
            histories = self._repository.executor.map(journals.load, batch)
            for journal, history in zip(batch, histories, strict=True):
                if history.entries:
                    yield _preview_of(format_id(journal.artifact), history)

    def _require(self) -> tuple[KeyDestroyer, BlobRemover]:
        if self._destroyer is None or self._remover is None:
            raise PreconditionError(
                "this server holds no credential that may destroy keys and key slots",
                reason=Reason.KEK_ACCESS_DENIED,
                hint="Set vault.key_destroyer_role_id_file, its secret_id_file and "
                "store.shredder_credentials_file in the settings of one server.",
            )
        return self._destroyer, self._remover


def _removed(remover: BlobRemover, item: BlobVersion) -> bool:
    """Remove a version; return False if it is locked, or that is not allowed."""
    try:
        remover.remove(item.key, version_id=item.version_id)
    except PreconditionError as error:
        if error.reason is not Reason.STORE_ACCESS_DENIED:
            raise
        return False
    return True


def _slot_prefixes(scope: Scope) -> tuple[str, str]:
    return layout.slots_prefix(scope.domain), layout.slot_copies_prefix(scope.domain)


def _preview_of(artifact_id: str, history: History) -> DoomedPreview:
    stored = history.stored_versions()
    refs = {ref: history.ref_version(ref) for ref in sorted(history.refs)}
    if history.latest:
        refs[LATEST] = history.latest
    created = history.created
    artifact = DoomedArtifact(
        created.name.artifact, artifact_id, created.kind.value, len(stored), refs
    )
    size_bytes = sum(version.stored_bytes for version in stored)
    return DoomedPreview(artifact, bool(history.held), size_bytes)


def _check_holds(name: ProjectName, preview: ShredPreview) -> None:
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
