# SPDX-License-Identifier: Apache-2.0
"""Restoring into a bucket: stored objects as they are, so that it becomes the store.

Order makes it safe to be cut off at any point: what journals need comes before them,
and `strongroom.json` last, without which no server takes the bucket for a store. What
lies there already is compared; other bytes under a key are refused by name.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import layout
from strongroom_server.core.backup_root import JournalHead
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.relocation import Relocation
from strongroom_server.core.restore_records import (
    RestoreProgress,
    RestoreReport,
    RestoreTarget,
    Selection,
)
from strongroom_server.core.scope import format_id
from strongroom_server.ports import BlobStore, Clock
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.copying import (
    BlobTarget,
    CopyItem,
    copy_objects,
)
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.relocations import (
    MAX_ROWS,
    RelocatedBlobs,
    Relocations,
    relocation_of,
)
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.store import parse_store
from strongroom_server.repository.throttle import Throttle
from strongroom_server.services.restoring.choosing import chosen_rows
from strongroom_server.services.restoring.tally import Tally

_MAX_RECORD_BYTES: Final = 4096
#: Objects after which progress is told.
_TOLD_EVERY: Final = 100
#: Relocations that are held before they are written.
_HELD_ROWS: Final = 10_000
#: What is copied first, then journals, then the store's own record.
_LAST: Final = (layout.JOURNALS, layout.STORE)
_STAGES: Final = (
    ("content and records", ""),
    ("journals", layout.JOURNALS),
    ("the store's record", layout.STORE),
)
#: Where one record tells of others, or goes on from them.
_APPENDED: Final = (
    layout.AUDIT,
    layout.JOURNALS,
    layout.KEYS,
    layout.PROJECTS,
    layout.SHREDS,
    layout.SWEEP,
)
_NAMED: Final = 5
Rows = Callable[[StoredObject], bool]


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """What is worth leaving out if it is damaged, so that everything else is there."""

    engine: BackupEngine
    tally: Tally

    def mend(self, item: CopyItem, error: IntegrityError) -> bytes | None:
        """Leave out content and key slots, and tell; other records never.

        Slots of what was shredded are removed from backups, and not missed.
        """
        place = layout.slot_place(item.key)
        if place is None and not layout.is_named_by_digest(item.key):
            raise error
        if place is None or not self.engine.is_dead(place[0]):
            self.tally.damage(item.key, error)
        return None


class StoreRestore:
    """Restores a backup into a bucket. Used by one thread.

    Args:
        engine: The backup.
        target: The bucket, as it is: no relocations are read through it.
        executor: Its threads copy.
        opens: Opens the bucket as a store, once it is one, to prove it.
        max_bytes_per_second: How fast to copy; 0 means as fast as possible.
    """

    def __init__(
        self,
        engine: BackupEngine,
        target: BlobStore,
        *,
        executor: Executor,
        opens: Callable[[BlobStore], Repository],
        max_bytes_per_second: int = 0,
    ) -> None:
        self._engine = engine
        self._target = target
        self._executor = executor
        self._opens = opens
        self._rate = max_bytes_per_second

    @property
    def _clock(self) -> Clock:
        return self._engine.repository.clock

    def run(self, selection: Selection) -> Iterator[RestoreProgress | RestoreReport]:
        """Restore; progress comes now and then, last the report.

        Raises:
            PreconditionError: The bucket holds another store (STORE_UNSUITABLE).
            NotFoundError: The backup has no such thing.
            IntegrityError: Other bytes lie under a key (DIGEST_MISMATCH), a record of
                the backup is damaged, or what was restored does not read back.
            UnavailableError: One of the buckets, or Vault, failed.
        """
        check_store_target(self._engine, selection)
        check_target(self._engine, self._target)
        tally = Tally(self._clock, RestoreTarget.STORE, self._engine.saved, selection)
        is_chosen = chosen_rows(self._engine, selection, tally.damage)
        check_room(self._engine, is_chosen)
        if selection.is_all:
            tally.total_bytes = self._engine.saved.root.size_bytes
        throttle = Throttle(self._clock, max_bytes_per_second=self._rate)
        yield from self._bury(throttle, tally)
        for stage, prefix in _STAGES:
            yield tally.progress(stage)
            yield from self._stage(stage, prefix, is_chosen, throttle, tally)
        yield tally.progress("proving")
        self._prove(is_chosen, tally)
        yield tally.report()

    def _bury(self, throttle: Throttle, tally: Tally) -> Iterator[RestoreProgress]:
        """Copy the tombstones of the newest backup: what is dead stays dead."""
        later = self._engine.later
        if later is None:
            return
        yield tally.progress("what was shredded")
        items = (
            CopyItem(row.key, row.version_id, row.size_bytes, row.known_as)
            for row in later.view.rows.after(layout.SHREDS)
            if self._engine.view.rows.find(row.key) is None
        )
        for copied in copy_objects(
            later.view,
            BlobTarget(self._target),
            items,
            executor=self._executor,
            throttle=throttle,
            check=_check_nothing,
        ):
            tally.copied_count += not copied.was_there
            tally.there_count += copied.was_there

    def _stage(
        self, stage: str, prefix: str, is_chosen: Rows, throttle: Throttle, tally: Tally
    ) -> Iterator[RestoreProgress]:
        blobs = RelocatedBlobs(self._target, self._clock)
        blobs.refresh()
        held: list[Relocation] = []
        copies = copy_objects(
            self._engine.view,
            BlobTarget(self._target),
            self._items(prefix, is_chosen),
            executor=self._executor,
            throttle=throttle,
            check=_check_nothing,
            mend=_LeftOut(self._engine, tally).mend,
        )
        for count, copied in enumerate(copies, start=1):
            if copied.was_there:
                tally.there_count += 1
                tally.there_bytes += copied.row.size_bytes
            else:
                tally.copied_count += 1
                tally.copied_bytes += copied.row.size_bytes
            row = relocation_of(copied.row)
            if row is not None and not _is_told(blobs, row):
                held.append(row)
            if len(held) == _HELD_ROWS:
                Relocations(self._target).add(held)
                held.clear()
            if not count % _TOLD_EVERY:
                yield tally.progress(stage)
        Relocations(self._target).add(held)

    def _items(self, prefix: str, is_chosen: Rows) -> Iterator[CopyItem]:
        for row in self._engine.view.rows.after(prefix):
            if (not prefix and row.key.startswith(_LAST)) or not is_chosen(row):
                continue
            known_as = row.known_as or (row.version_id,)
            yield CopyItem(row.key, row.version_id, row.size_bytes, known_as)

    def _prove(self, is_chosen: Rows, tally: Tally) -> None:
        """Open what was restored as a store, and hold its journals against the root."""
        blobs = RelocatedBlobs(self._target, self._clock)
        blobs.refresh()
        repository = self._opens(blobs)
        repository.shreds.refresh()
        for head in self._engine.saved.root.journals:
            first = layout.journal_key(head.project, head.artifact, 0)
            row = self._engine.view.rows.find(first)
            if row is None or not is_chosen(row):
                continue
            try:
                tally.version_count += _check_head(repository, head)
            except (IntegrityError, PreconditionError) as error:
                if error.reason is not Reason.KEY_SHREDDED:
                    tally.damage(
                        layout.journal_prefix(head.project, head.artifact), error
                    )


def check_store_target(engine: BackupEngine, selection: Selection) -> None:
    """Check that a selection can become a store: journals come whole.

    Raises:
        PreconditionError: A single version was asked for, or all of a backup that is
            of a part of the store only (STORE_UNSUITABLE).
    """
    if selection.is_all and not engine.saved.root.is_whole:
        raise PreconditionError(
            f"backup {engine.saved.number} is of a part of the store, and would not "
            "be all of it",
            reason=Reason.STORE_UNSUITABLE,
            hint="Take one of the whole store, name a project or an artifact of this "
            "one, or restore it with --to-folder.",
        )
    if selection.version:
        raise PreconditionError(
            "a single version cannot be a store: its artifact's journal names the "
            "others, too",
            reason=Reason.STORE_UNSUITABLE,
            hint="Leave the version out, restore it with --to-folder, or into the "
            "living store with `strongroom restore`.",
        )


def check_target(engine: BackupEngine, target: BlobStore) -> None:
    """Check that a bucket holds nothing of a store that the backup does not have.

    Records behind those of the backup, that were written since, would hang in the
    air: chains would have a hole, or go on from what nobody has.

    Raises:
        PreconditionError: It does, or it holds another store (STORE_UNSUITABLE).
    """
    _check_same_store(target, engine.saved.root.store)
    strangers = 0
    named: list[str] = []
    for prefix in _APPENDED:
        for item in target.first_versions(prefix):
            if _is_known(engine, item.key):
                continue
            strangers += 1
            if len(named) < _NAMED:
                named.append(item.key)
    if strangers:
        raise PreconditionError(
            f"the bucket to restore into holds {strangers} records that backup "
            f"{engine.saved.number} does not have, first {', '.join(named)}",
            reason=Reason.STORE_UNSUITABLE,
            hint="Stop all servers, then restore into an empty bucket or prefix, or "
            "remove them with the credential of the bucket's owner. To mend a store "
            "that has gone on since: strongroom restore.",
        )


def check_room(
    engine: BackupEngine, is_chosen: Rows, *, max_rows: int = MAX_ROWS
) -> None:
    """Check that a server will hold where everything came from that is restored.

    Raises:
        ExhaustedError: There are more places than that (TOO_LARGE).
        IntegrityError: The backup's inventory is damaged.
    """
    needed = sum(
        len(row.known_as) or 1
        for row in engine.view.rows.after("")
        if layout.is_named_by_digest(row.key) and is_chosen(row)
    )
    if needed > max_rows:
        raise ExhaustedError(
            f"packs and manifests are known by {needed} places, and a server holds "
            f"{max_rows}: no server would open what was restored",
            reason=Reason.TOO_LARGE,
            hint="Restore single projects with --project, each into a bucket of its "
            "own, or to a folder.",
        )


def _is_known(engine: BackupEngine, key: str) -> bool:
    if engine.view.rows.find(key) is not None:
        return True
    if engine.later is None or not key.startswith(layout.SHREDS):
        return False
    return engine.later.view.rows.find(key) is not None


def _check_same_store(target: BlobStore, store: bytes) -> None:
    first = first_version(target, layout.STORE)
    if first is None:
        return
    found = b""
    data = target.get(
        layout.STORE, version_id=first.version_id, max_bytes=_MAX_RECORD_BYTES
    )
    try:
        found = parse_store(data)
    except IntegrityError as error:
        raise _other_store("a damaged strongroom.json") from error
    if found != store:
        raise _other_store(f"the store {found.hex()}")


def _other_store(what: str) -> PreconditionError:
    return PreconditionError(
        f"the bucket to restore into holds {what}",
        reason=Reason.STORE_UNSUITABLE,
        hint="Name an empty bucket, or another prefix, in [store] of the settings.",
    )


def _check_head(repository: Repository, head: JournalHead) -> int:
    """Return how many versions a journal has, once it is as the root says."""
    history = repository.journals.load(JournalId(head.project, head.artifact))
    entries = history.entries[: head.entries]
    if len(entries) < head.entries or entries[-1].digest != head.digest:
        raise IntegrityError(
            f"the journal {format_id(head.project)}/{format_id(head.artifact)} is not "
            "the one of the backup",
            reason=Reason.JOURNAL_CORRUPT,
            hint="Somebody else writes to the bucket; restore into an empty one.",
        )
    return len(history.live_versions())


def _is_told(blobs: RelocatedBlobs, row: Relocation) -> bool:
    return set(row.known_as) <= set(blobs.known_as(row.key, row.version_id))


def _check_nothing(_key: str, _data: bytes) -> None:
    """Nothing: the view has held the bytes against the signed inventory."""
