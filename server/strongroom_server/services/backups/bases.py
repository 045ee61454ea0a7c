# SPDX-License-Identifier: Apache-2.0
"""Earlier backups, as a new one builds on them: their objects, and what they knew.

Nothing of an earlier backup is believed but what its signed root binds: pages by their
digests, objects by those that pages tell.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from strongroom.errors import (
    ConflictError,
    ExhaustedError,
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom_server.core.backup_root import BackupRoot, JournalHead, head_of
from strongroom_server.core.history import History
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.scope import format_id
from strongroom_server.core.stored_objects import max_bytes
from strongroom_server.ports import BlobNotFoundError, LockedBlobs
from strongroom_server.repository.backup_records import (
    BackupRecords,
    SavedBackup,
    check_is_of_record,
)
from strongroom_server.repository.inventory_view import (
    InventoryView,
    PagedRows,
    read_object,
)
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.repository import Repository
from strongroom_server.services.backups.heads import Heads

#: Objects of one backup; each takes about 600 bytes of memory while it is taken.
MAX_OBJECTS: Final = 2_000_000
#: Earlier backups that are looked into for what the store has lost.
MAX_BASES: Final = 16
#: What makes an earlier backup one that nothing can be built on.
_UNUSABLE: Final = (IntegrityError, NotFoundError, PreconditionError)


class Bases:
    """The earlier backups of a store. Safe to use from many threads once loaded.

    Attributes:
        rows: The objects of the newest usable ones, by key.
        newest: The number of the newest that can be trusted; 0 if there is none.
        notes: Which backups are of no use, and why.
    """

    def __init__(self, records: BackupRecords, bucket: LockedBlobs) -> None:
        self._records = records
        self._bucket = bucket
        self._backups: list[tuple[SavedBackup, PagedRows]] = []
        # By which number of a backup a journal is known, and how far it was then.
        self._heads: dict[JournalId, tuple[int, JournalHead]] = {}
        self.rows: dict[str, StoredObject] = {}
        self.newest = 0
        self.notes: list[str] = []

    def load(
        self, *, may_be_none: bool = False, check: Callable[[], None] = lambda: None
    ) -> None:
        """Read the newest usable backups, and on to the newest of the whole store.

        Args:
            may_be_none: Whether it may be that something lies there and none of it
                can be trusted.
            check: Called before each; what it raises ends it.

        Raises:
            IntegrityError: None can be trusted (RECORD_CORRUPT).
            UnavailableError: The backup bucket cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
            ExhaustedError: They have more objects than one backup may have.
        """
        roots: list[BackupRoot] = []
        is_covered = False
        numbers = sorted(self._records.numbers(), reverse=True)
        for number in numbers:
            # What is of no use is not counted: it is free to plant.
            if is_covered and len(self._backups) >= MAX_BASES:
                break
            check()
            try:
                saved = self._records.load(number)
                roots.append(saved.root)
                if saved.root.is_whole or len(self._backups) < MAX_BASES:
                    self._add(saved, with_rows=not is_covered)
                    is_covered = is_covered or saved.root.is_whole
            except _UNUSABLE as error:
                check_is_of_record(error)
                self.notes.append(f"backup {number} is of no use: {error.message}")
        if numbers and not roots and not may_be_none:
            raise _none_usable(numbers[0])
        self.newest = roots[0].number if roots else 0
        self._heads = _newest_heads(roots)

    def _add(self, saved: SavedBackup, *, with_rows: bool) -> None:
        rows = {row.key: row for row in self._rows_of(saved)} if with_rows else {}
        self._backups.append((saved, PagedRows(self._bucket, saved.root.pages)))
        self.rows = {**rows, **self.rows}
        check_count(len(self.rows))

    def find(self, key: str) -> bytes | None:
        """Return the bytes that an earlier backup has at a key, whole, if one has.

        Raises:
            UnavailableError: The backup bucket cannot be reached.
        """
        for _, rows in self._backups:
            try:
                row = rows.find(key)
                if row is not None:
                    return read_object(self._bucket, row, max_bytes(key))
            except (BlobNotFoundError, *_UNUSABLE):
                continue  # Damaged there, too; an older one may be better.
        return None

    def views(self, journal: JournalId, version: int) -> Iterator[InventoryView]:
        """Yield the backups that hold a version, as stores, the newest first."""
        for saved, rows in self._backups:
            head = head_of(saved.root.journals, journal.project, journal.artifact)
            if head is not None and head.holds(version):
                yield InventoryView(self._bucket, rows)

    def check_grown(self, repository: Repository, heads: Heads) -> None:
        """Check that no journal has lost entries that an earlier backup holds.

        A server that has seen nothing of a journal takes one whose tail was destroyed
        for whole. A backup of that would look as good as the one before.

        Raises:
            IntegrityError: One has (JOURNAL_REWOUND).
        """
        histories = {state.journal: state.history for state in heads.states}
        for journal, (number, head) in self._heads.items():
            if not _is_meant(heads, journal):
                continue
            history = histories.get(journal)
            if history is None:
                _check_dead(repository, journal, number)
            elif not _has_head(history, head):
                raise _rewound(journal, number)

    def _rows_of(self, saved: SavedBackup) -> Iterator[StoredObject]:
        check_count(saved.root.object_count)
        return self._records.rows(saved.root)


def check_not_overtaken(
    repository: Repository, heads: Heads, begin_time: datetime, saved: SavedBackup
) -> None:
    """Check that a backup that came while these heads were copied has no more.

    Else the one that is about to be written would be the newest, and older. One of a
    part does not keep one of the whole store from being written.

    Args:
        repository: The store.
        heads: What is about to be written.
        begin_time: When these heads were read.
        saved: The one that came.

    Raises:
        ConflictError: It has, or lacks what was shredded since (JOURNAL_CONTENDED).
    """
    root, graves = saved.root, repository.keyring.graves
    if heads.is_whole and not root.is_whole:
        return
    lengths = {state.journal: len(state.history.entries) for state in heads.states}
    known = set()
    for head in root.journals:
        journal = JournalId(head.project, head.artifact)
        known.add(journal)
        is_dead = graves.of_project(head.project) or graves.of_artifact(
            head.project, head.artifact
        )
        length = lengths.get(journal, head.entries if is_dead else 0)
        if _is_meant(heads, journal) and length < head.entries:
            raise _overtaken(root.number)
    if root.is_whole and root.create_time > begin_time and not known >= lengths.keys():
        raise _overtaken(root.number)


def check_count(count: int) -> None:
    """Check that one backup may have so many objects.

    Raises:
        ExhaustedError: It may not (TOO_LARGE).
    """
    if count > MAX_OBJECTS:
        raise ExhaustedError(
            f"a backup may have {MAX_OBJECTS} objects, and this one has {count}",
            reason=Reason.TOO_LARGE,
            hint="Back up projects one by one: `strongroom backup create --project`.",
            count=count,
        )


def _newest_heads(
    roots: Sequence[BackupRoot],
) -> dict[JournalId, tuple[int, JournalHead]]:
    """Return what the newest backup that a journal was meant for knows of it.

    Newest by when it was begun: one that took longer has a greater number. One of the
    whole store is meant for all, so that nothing older counts.
    """
    found: dict[JournalId, tuple[int, JournalHead]] = {}
    projects: set[bytes] = set()
    artifacts: set[tuple[bytes, bytes]] = set()
    for root in sorted(roots, key=_begun, reverse=True):
        for head in root.journals:
            place = (head.project, head.artifact)
            if head.project not in projects and place not in artifacts:
                found[JournalId(*place)] = (root.number, head)
        if root.is_whole:
            break
        projects.update(root.scope)
        artifacts.update(root.artifacts)
    return found


def _begun(root: BackupRoot) -> tuple[datetime, int]:
    return root.create_time, root.number


def _is_meant(heads: Heads, journal: JournalId) -> bool:
    place = (journal.project, journal.artifact)
    return heads.is_whole or journal.project in heads.scope or place in heads.artifacts


def _has_head(history: History, head: JournalHead) -> bool:
    entries = history.entries
    return len(entries) >= head.entries and (
        entries[head.entries - 1].digest == head.digest
    )


def _check_dead(repository: Repository, journal: JournalId, number: int) -> None:
    """Check that a journal that is not there any more was shredded."""
    graves = repository.keyring.graves
    if graves.of_project(journal.project) is not None:
        return
    if graves.of_artifact(journal.project, journal.artifact) is not None:
        return
    raise _rewound(journal, number)


def _none_usable(number: int) -> IntegrityError:
    return IntegrityError(
        "there are objects where backups lie, and none of them is one of this store: "
        "it cannot be told whether journals have lost entries",
        reason=Reason.RECORD_CORRUPT,
        hint="Find out who else writes to the bucket. If there never was a backup: "
        "`strongroom backup create --allow-rewound`.",
        backup=number,
    )


def _overtaken(number: int) -> ConflictError:
    return ConflictError(
        f"backup {number} came meanwhile and holds a later state than this one would",
        reason=Reason.JOURNAL_CONTENDED,
        hint="If you need another one, take it again: what was copied is found.",
        backup=number,
    )


def _rewound(journal: JournalId, number: int) -> IntegrityError:
    artifact = format_id(journal.artifact)
    return IntegrityError(
        f"the journal of artifact {artifact} has lost entries that backup {number} "
        "holds: what is there now is not backed up",
        reason=Reason.JOURNAL_REWOUND,
        hint="See docs/operations.md, `Restore after an attack`.",
        artifact_id=artifact,
        backup=number,
    )
