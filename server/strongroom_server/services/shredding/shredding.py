# SPDX-License-Identifier: Apache-2.0
"""Shredding: a project's or an artifact's key is destroyed; a receipt says so.

In this order, each step harmless if it is repeated, so that a run that broke off is
finished by running it again: Vault lets the KEK be destroyed; the tombstone, from
which on no server opens anything of it; the KEK; the key slots, the store's before
those in the backup bucket; the receipt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom.format.names import ArtifactName
from strongroom_server.core import shred_receipt
from strongroom_server.core.records import Caller
from strongroom_server.core.scope import Scope
from strongroom_server.core.shred_receipt import Destroyed, InBackups
from strongroom_server.core.signatures import PublicKey
from strongroom_server.core.tombstone import (
    ShredOrder,
    Tombstone,
    fit_doomed,
    shredded,
)
from strongroom_server.ports import (
    BlobRemover,
    BlobVersion,
    KeyDestroyer,
    KeyService,
)
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.requests import check_request
from strongroom_server.services.shredding.backup_slots import BackupSlots
from strongroom_server.services.shredding.listing import (
    ShreddedRecord,
    list_shredded,
)
from strongroom_server.services.shredding.previews import (
    Doomed,
    Previews,
    ShredPreview,
    check_holds,
    slot_prefixes,
)
from strongroom_server.services.shredding.watch import MAX_BLIND_S

#: Key slots may have as many versions below one key; then somebody else writes them.
_MAX_PASSES: Final = 100
#: Beyond the time after which a server without sight of the store forgets keys: a
#: look that was under way, and clocks that differ.
_MARGIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class ShredSettings:
    """What receipts say that no server can find out.

    Attributes:
        snapshot_days: How long snapshots of Vault's storage are kept.
        grant_lifetime_s: How long sidecars read on with what they were granted, if
            they do not hear of it.
    """

    snapshot_days: int = 35
    grant_lifetime_s: int = 900


@dataclass(frozen=True, slots=True)
class Approval:
    """Under which approval a shredding is done; who approved."""

    approval_id: str = ""
    approvers: tuple[str, ...] = ()


class Shredding:
    """Destroys projects, and single artifacts. Safe to use from many threads.

    An artifact can be destroyed alone if it has a key domain to itself; a project is
    destroyed with all the domains that artifacts of it have.

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
        *,
        backup_slots: BackupSlots | None = None,
    ) -> None:
        self._repository = repository
        self._backup_slots = backup_slots
        self._key_service = key_service
        self._destroyer = destroyer
        self._remover = remover
        self._settings = settings or ShredSettings()
        self._previews = Previews(repository)

    def preview(
        self, name: Doomed, *, check: Callable[[], None] = lambda: None
    ) -> ShredPreview:
        """Tell what would die; `check` is called in between, and may raise.

        Raises:
            NotFoundError: There is no such project or artifact (PROJECT_NOT_FOUND,
                ARTIFACT_NOT_FOUND).
            PreconditionError: It was shredded (KEY_SHREDDED); or the artifact shares
                the key domain of its project (DOMAIN_SHARED).
            IntegrityError: A journal is damaged, so that it cannot be told what it
                holds, or whether it is under a legal hold.
        """
        return self._previews.preview(name, check)

    def shred(
        self,
        name: Doomed,
        *,
        reason: str,
        request_id: str,
        caller: Caller,
        approval: Approval,
        check: Callable[[], None] = lambda: None,
    ) -> bytes:
        """Destroy a project or an artifact for good; return the signed receipt.

        Called again, whoever calls, it finishes what was begun, destroys keys that a
        snapshot of Vault has brought back, and returns the same receipt.

        Raises:
            NotFoundError: There is no such project or artifact (PROJECT_NOT_FOUND,
                ARTIFACT_NOT_FOUND).
            PreconditionError: A legal hold forbids it (LEGAL_HOLD); the artifact
                shares the key domain of its project (DOMAIN_SHARED), or died with it
                (KEY_SHREDDED); this server has no credential for it, or Vault
                refuses (KEK_ACCESS_DENIED); Vault waits for its own approvers
                (KEK_APPROVAL_PENDING).
            IntegrityError: A journal is damaged.
            UnavailableError: S3 or Vault failed; what is done stays done.
        """
        check_request(reason, request_id)
        self._require()
        tombstone = self._previews.find(name)
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
                artifact=name.artifact if isinstance(name, ArtifactName) else "",
            )
            try:
                tombstone = self._condemn(name, order, check)
            except (IntegrityError, PreconditionError):
                # Another server may have come first, and taken the keys away.
                tombstone = self._previews.find(name)
                if tombstone is None:
                    raise
        if isinstance(name, ArtifactName) and not tombstone.artifact:
            raise shredded(tombstone)  # with its project, which is another matter
        return self._finish(tombstone, check)

    def _condemn(
        self, name: Doomed, order: ShredOrder, check: Callable[[], None]
    ) -> Tombstone:
        """Look what dies and whether it may, and write the tombstone."""
        destroyer, _ = self._require()
        preview = self.preview(name, check=check)
        check_holds(name, preview)
        # Before the tombstone, which cannot be taken back.
        destroyer.allow(preview.scope.kek)
        for scope in preview.further:
            check()
            _allow_again(destroyer, scope.kek)
        artifacts = [item.artifact for item in preview.artifacts]
        stored_bytes = sum(item.stored_bytes for item in preview.artifacts)
        doomed = fit_doomed(artifacts, stored_bytes)
        slots = tuple(
            key for scope in preview.scopes for key in self._previews.slot_keys(scope)
        )
        domains = tuple(scope.domain for scope in preview.further)
        order = replace(order, slots=slots, doomed=doomed, domains=domains)
        return self._repository.shreds.write(preview.scope, order, preview.artifact)

    def receipt(self, name: Doomed) -> bytes:
        """Return the receipt of a project or an artifact that was shredded.

        Raises:
            NotFoundError: It was not, or that is not finished (RECEIPT_NOT_FOUND); or
                there is no such artifact (ARTIFACT_NOT_FOUND, PROJECT_NOT_FOUND).
            PreconditionError: The artifact's whole project was shredded
                (KEY_SHREDDED); or it shares its key domain (DOMAIN_SHARED).
        """
        tombstone = self._previews.find(name)
        found = None
        if tombstone is not None:
            found = self._repository.shreds.receipt(tombstone)
        if found is not None:
            return found
        told, kind = name.project, "project"
        if isinstance(name, ArtifactName):
            told, kind = name.short, "artifact"
        problem = "was not shredded"
        hint = "See what was: strongroom ls --shredded"
        if tombstone is not None:
            problem = "is being shredded, and that was not finished"
            hint = f"Finish it: strongroom shred {told} --reason …"
        raise NotFoundError(
            f"{kind} {told} {problem}",
            reason=Reason.RECEIPT_NOT_FOUND,
            hint=hint,
            project=name.project,
        )

    def shredded(self) -> tuple[ShreddedRecord, ...]:
        """Return what was shredded, the newest first; see `list_shredded`."""
        return list_shredded(self._repository.shreds)

    def signing_keys(self) -> Mapping[str, PublicKey]:
        """Return the public keys that receipts are signed with, by id."""
        return self._repository.journals.public_keys()

    def _finish(self, tombstone: Tombstone, check: Callable[[], None]) -> bytes:
        """Do what is left to do for what is dead already.

        With a receipt, too: a Vault that was restored from a snapshot of before has
        the keys again.
        """
        destroyer, remover = self._require()
        shreds, scope = self._repository.shreds, tombstone.scope
        order = shreds.order(tombstone)
        further = self._further(tombstone, order)
        for item in (scope, *further):
            check()
            self._destroy_kek(destroyer, item.kek)
        found = shreds.receipt(tombstone)
        if found is not None:
            self._remove_from_backups((scope, *further))
            return found
        kek_time = self._repository.clock.now()
        removed, locked = set[str](), set[str]()
        for item in (scope, *further):
            check()
            more, kept = self._remove_slots(remover, item)
            removed |= more
            locked |= kept
        # Behind the store's: a backup under way copies what it still finds there.
        in_backups = self._remove_from_backups((scope, *further))
        gone = sorted({*order.slots, *removed} - {*locked})
        destroyed = Destroyed(
            kek_time,
            kek_time + self._still_held(),
            kek_time + timedelta(days=self._settings.snapshot_days),
            tuple(gone),
            tuple(sorted(locked)),
            tuple(item.kek for item in further),
            in_backups,
        )
        payload = shred_receipt.format_payload(
            scope, order, destroyed, time=tombstone.time
        )
        return shreds.write_receipt(tombstone, payload)

    def _remove_from_backups(self, scopes: Sequence[Scope]) -> InBackups | None:
        """Remove their slots from the backup bucket; None if there is none."""
        if self._backup_slots is None:
            return None
        return self._backup_slots.remove(scopes)

    def _still_held(self) -> timedelta:
        """Return for how long keys may be held by who does not hear of the end.

        A server forgets them once it has been blind for long enough. In its last
        moment it may have granted some to a sidecar that is cut off from then on.
        """
        blind_s = MAX_BLIND_S + _MARGIN_S
        return timedelta(seconds=blind_s + self._settings.grant_lifetime_s)

    def _further(self, tombstone: Tombstone, order: ShredOrder) -> list[Scope]:
        """Return the domains that die with a project, by id.

        Those that the order names; and of artifacts that were made between the look
        and the tombstone, which it could not know.
        """
        scope = tombstone.scope
        if tombstone.artifact:
            return []
        known = frozenset(item.artifact_id for item in order.doomed.artifacts)
        domains = {item.domain for item in self._previews.domains(scope, known=known)}
        return [
            Scope(scope.store, scope.project, domain, 0)
            for domain in sorted({*domains, *order.domains} - {scope.domain})
        ]

    def _destroy_kek(self, destroyer: KeyDestroyer, kek: str) -> None:
        _allow_again(destroyer, kek)
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
        for prefix in slot_prefixes(scope):
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

    def _require(self) -> tuple[KeyDestroyer, BlobRemover]:
        if self._destroyer is None or self._remover is None:
            raise PreconditionError(
                "this server holds no credential that may destroy keys and key slots",
                reason=Reason.KEK_ACCESS_DENIED,
                hint="Set vault.key_destroyer_role_id_file, its secret_id_file and "
                "store.shredder_credentials_file in the settings of one server.",
            )
        return self._destroyer, self._remover


def _allow_again(destroyer: KeyDestroyer, kek: str) -> None:
    """Have Vault let a KEK be deleted, unless it is gone already."""
    try:
        destroyer.allow(kek)
    except PreconditionError as error:
        if error.reason is not Reason.KEK_MISSING:
            raise


def _removed(remover: BlobRemover, item: BlobVersion) -> bool:
    """Remove a version; return False if it is locked, or that is not allowed."""
    try:
        remover.remove(item.key, version_id=item.version_id)
    except PreconditionError as error:
        if error.reason is not Reason.STORE_ACCESS_DENIED:
            raise
        return False
    return True
