# SPDX-License-Identifier: Apache-2.0
"""Whether a Vault has all that a store needs: after Vault was restored, before use.

Nobody's word is taken: each domain key is unwrapped, and the newest signatures are
checked. A Vault that was restored from an old snapshot lacks what was made since, and
has again what was destroyed since; both are named. Changes nothing.
"""

import heapq
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.journal import MAX_ENTRY_BYTES
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.signed_note import MAX_NOTE_BYTES, open_note
from strongroom_server.core.tombstone import Tombstone
from strongroom_server.core.vault_policy import LOG_KEYS, SIGNING_KEYS
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    CheckpointSigner,
    Clock,
    Entropy,
    KeyService,
    Signer,
)
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.repository.key_slots import StoredSlot
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.shreds import Shreds
from strongroom_server.services.keys.inventory import (
    KeyEntry,
    SlotLook,
    SlotState,
    told_domain,
)

#: Domains looked at together.
_AT_ONCE: Final = 64
#: Of the newest objects below `journals/` so many are looked at: what is no entry at
#: all was planted, and says nothing of Vault.
_NEWEST: Final = 8
_FROM_AFTER: Final = (
    " What needs it was stored {:%Y-%m-%d %H:%M:%SZ}: no older snapshot has it. If"
    " there is no newer one, what that domain holds is lost; all else can be used."
)


class ProblemKind(StrEnum):
    """What is wrong with a Vault."""

    #: A domain key does not open: its KEK, or the version that wraps it, is not there.
    UNOPENED = "unopened"
    #: What the store's keys signed does not verify by this Vault's.
    UNSIGNED = "unsigned"
    #: A KEK is there that was destroyed when its project was shredded.
    REVIVED = "revived"


@dataclass(frozen=True, slots=True)
class VaultProblem:
    """Something that a store needs and a Vault lacks, or the other way round.

    Attributes:
        kind: What is wrong.
        key: The key's name in Vault; "" if no slot names one.
        reason: What servers would say.
        message: What is the matter.
        hint: What to do.
        domain: The key domain, 18 bytes; b"" of signing keys.
        epoch: Of the domain.
    """

    kind: ProblemKind
    key: str
    reason: Reason
    message: str
    hint: str
    domain: bytes = b""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class VaultReport:
    """What came of a check.

    Attributes:
        store: The store's id, 16 bytes.
        domain_count: Key domains that are in use.
        slot_count: Their keys: one for each domain and epoch.
        opened_count: Those that open.
        shredded_count: Domains that are dead, as they should be, and were left out.
        problem_count: What was found wrong.
        newest_key_time: When the youngest version of a KEK was made that is needed;
            a snapshot of Vault from before then does not have it. None if none
            opens.
    """

    store: bytes
    domain_count: int
    slot_count: int
    opened_count: int
    shredded_count: int
    problem_count: int
    newest_key_time: datetime | None


@dataclass
class _Counts:
    """What was seen so far."""

    domains: int = 0
    slots: int = 0
    opened: int = 0
    shredded: int = 0
    problems: int = 0
    newest: datetime | None = None

    def add(self, entry: KeyEntry) -> None:
        """Count what a look at a domain and epoch found."""
        self.slots += 1
        if entry.slot >= 0 and entry.versions is not None:
            self.opened += 1
            made = entry.versions.create_times.get(entry.version)
            if made is not None and (self.newest is None or made > self.newest):
                self.newest = made


class VaultCheck:
    """Compares a Vault with what a bucket, or a backup of one, needs of it."""

    def __init__(
        self,
        store: bytes,
        *,
        blobs: BlobStore,
        key_service: KeyService,
        signer: Signer,
        checkpoints: CheckpointSigner,
        log: str,
        clock: Clock,
        entropy: Entropy,
        executor: Executor,
    ) -> None:
        """`log` is the audit log's name in the bucket."""
        self._blobs = blobs
        self._signer = signer
        self._checkpoints = checkpoints
        self._executor = executor
        self._key_service = key_service
        self._keyring = Keyring(
            store, blobs=blobs, key_service=key_service, clock=clock, entropy=entropy
        )
        self._shreds = Shreds(
            blobs=blobs,
            keyring=self._keyring,
            signer=signer,
            clock=clock,
            purge=lambda _tombstone, _domains: None,
        )
        self._log = log
        self._look = SlotLook(self._keyring, key_service)

    def run(self) -> Iterator[VaultProblem | VaultReport]:
        """Yield what is wrong, and a report in the end.

        Raises:
            UnavailableError: S3 or Vault cannot be reached, or Vault is sealed.
            PreconditionError: Vault refuses the login, or has no engine at the
                mount of the settings (KEK_ACCESS_DENIED, KEK_MISSING).
        """
        counts = _Counts()
        for problem in self._problems(counts):
            counts.problems += 1
            yield problem
        yield VaultReport(
            self._keyring.store,
            counts.domains,
            counts.slots,
            counts.opened,
            counts.shredded,
            counts.problems,
            counts.newest,
        )

    def _problems(self, counts: _Counts) -> Iterator[VaultProblem]:
        unsigned = list(self._signatures())
        yield from unsigned
        dead = frozenset[bytes]()
        try:
            self._keyring.open_store_domain()
        except (IntegrityError, PreconditionError) as error:
            _check_key_trouble(error)  # The store's own domain is told with the rest.
        else:
            if not any(item.key in SIGNING_KEYS for item in unsigned):
                self._shreds.refresh()
                dead = frozenset(scope.domain for scope in self._shreds.scopes())
                counts.shredded = len(dead)
                yield from self._revived()
        domains = self._keyring.slots.domains()
        while batch := list(islice(domains, _AT_ONCE)):
            living = [found for found in batch if found[0].domain not in dead]
            counts.domains += len(living)
            for found, entries in zip(
                living, self._executor.map(self._look.look, living), strict=True
            ):
                for entry in entries:
                    counts.add(entry)
                    if entry.state in (SlotState.UNOPENED, SlotState.LOST):
                        yield self._unopened(found, entry)

    def _unopened(self, found: Sequence[StoredSlot], entry: KeyEntry) -> VaultProblem:
        """Say of a domain and epoch what a server would say of it."""
        told, hint = (
            told_domain(entry),
            "Restore the objects below keys/ from a backup.",
        )
        message, reason = f"no key slot of {told} is whole", Reason.KEY_SLOT_CORRUPT
        if entry.project:
            scope = Scope(self._keyring.store, entry.project, entry.domain, entry.epoch)
            try:
                self._keyring.slots.open(scope, found)
            except (IntegrityError, PreconditionError) as error:
                message, reason = f"{told}: {error.message}", error.reason
                hint = error.hint
            newest = entry.versions.newest if entry.versions is not None else 0
            wrapped_by = self._wrapped_by(found, scope)
            # To a server, such a slot is one that somebody planted.
            if 0 < newest < wrapped_by:
                reason = Reason.KEK_MISSING
                message = (
                    f"{told}: version {wrapped_by} of the key {entry.kek} wraps it, "
                    f"and Vault has {newest}"
                )
                hint = "Restore Vault from a newer snapshot."
        if reason is Reason.KEK_MISSING:
            hint += _FROM_AFTER.format(_stored_time(found, entry.epoch))
        return VaultProblem(
            ProblemKind.UNOPENED,
            entry.kek,
            reason,
            message,
            hint,
            entry.domain,
            entry.epoch,
        )

    def _wrapped_by(self, found: Sequence[StoredSlot], scope: Scope) -> int:
        """Return the newest version of a KEK that slots of an epoch say wraps them."""
        slots = self._keyring.slots.candidates(found, scope.epoch, scope=scope)
        return max((slot.kek_version for _, slot in slots), default=0)

    def _revived(self) -> Iterator[VaultProblem]:
        """Yield the KEKs of what was shredded that are there all the same."""
        for tombstone in self._shreds.known():
            scope = tombstone.scope
            for domain in sorted(self._shreds.domains(tombstone)):
                kek = Scope(scope.store, scope.project, domain, 0).kek
                if self._look.state_of(kek, {}) is None:
                    continue
                name = self._name_of(tombstone)
                message = f"{name} was shredded, and its key {kek} is there"
                yield VaultProblem(
                    ProblemKind.REVIVED,
                    kek,
                    Reason.KEY_SHREDDED,
                    f"{message}: this Vault is older than the shredding",
                    f"Destroy it again: strongroom shred {name} --reason …",
                    domain,
                )

    def _name_of(self, tombstone: Tombstone) -> str:
        try:
            order = self._shreds.order(tombstone)
        except IntegrityError:
            return format_id(tombstone.scope.project)
        return f"{order.project}/{order.artifact}" if order.artifact else order.project

    def _signatures(self) -> Iterator[VaultProblem]:
        """Check the newest signatures of journals and of the audit log."""
        try:
            self._check_newest_entry()
        except (IntegrityError, PreconditionError) as error:
            _check_key_trouble(error)
            yield _unsigned(SIGNING_KEYS[0], "the newest journal entry", error)
        try:
            self._check_newest_checkpoint()
        except (IntegrityError, PreconditionError) as error:
            _check_key_trouble(error)
            yield _unsigned(LOG_KEYS[0], "the audit log's newest checkpoint", error)

    def _check_newest_entry(self) -> None:
        keys, store = self._signer.public_keys(), self._keyring.store
        listed = self._blobs.first_versions(layout.JOURNALS)
        newest = heapq.nlargest(_NEWEST, listed, key=_written)
        last: IntegrityError | None = None
        for item in newest:
            try:
                data = self._read(item, MAX_ENTRY_BYTES, Reason.JOURNAL_CORRUPT)
                stored_objects.check_entry(data, item.key, store, keys)
            except IntegrityError as error:
                if error.reason is not Reason.JOURNAL_CORRUPT:
                    raise
                last = error
            else:
                return
        if last is not None:
            raise last

    def _check_newest_checkpoint(self) -> None:
        log = SharedAuditLog(self._log, blobs=self._blobs, keyring=self._keyring)
        keys = self._checkpoints.keys(log.origin)
        prefix = layout.audit_checkpoints_prefix(self._log)
        listed = self._blobs.first_versions(prefix)
        newest = max(listed, key=lambda item: item.key, default=None)
        if newest is not None:
            open_note(self._read(newest, MAX_NOTE_BYTES, Reason.AUDIT_CORRUPT), keys)

    def _read(self, item: BlobVersion, max_bytes: int, reason: Reason) -> bytes:
        """Return what was listed; if it is gone, of a backup, it is damaged."""
        try:
            return self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=max_bytes
            )
        except BlobNotFoundError as error:
            raise IntegrityError(
                f"{item.key} is listed, and gone",
                reason=reason,
                hint="Restore it from a backup; or ask for another backup.",
                key=item.key,
            ) from error


def check_found(report: VaultReport) -> None:
    """Check that nothing was found wrong.

    Raises:
        PreconditionError: Something was; what it is was told before (KEK_MISSING).
    """
    if report.problem_count:
        raise PreconditionError(
            f"this Vault does not fit the store: {report.problem_count} problems, "
            f"{report.opened_count} of {report.slot_count} domain keys open",
            reason=Reason.KEK_MISSING,
            hint="Do what is said of each before a server is started on it.",
        )


def _unsigned(key: str, what: str, error: StrongroomError) -> VaultProblem:
    return VaultProblem(
        ProblemKind.UNSIGNED,
        key,
        error.reason,
        f"{what} does not verify by this Vault's keys: {error.message}",
        "Restore Vault from a newer snapshot; do not rotate the signing keys before, "
        "or two keys have one number.",
    )


def _stored_time(found: Sequence[StoredSlot], epoch: int) -> datetime:
    """Return when the first slot of an epoch was stored: its KEK was made before."""
    times = (stored.item.modified_s for stored in found if stored.epoch == epoch)
    return datetime.fromtimestamp(min(times, default=0.0), UTC)


def _check_key_trouble(error: StrongroomError) -> None:
    """Check that an error is about keys, and not about all that Vault is asked for."""
    if error.reason not in (
        Reason.KEK_MISSING,
        Reason.KEY_SLOT_CORRUPT,
        Reason.KEY_SLOT_MISSING,
        Reason.JOURNAL_CORRUPT,
        Reason.SIGNATURE_INVALID,
        Reason.AUDIT_CORRUPT,
    ):
        raise error


def _written(item: BlobVersion) -> tuple[float, str]:
    return item.modified_s, item.key
