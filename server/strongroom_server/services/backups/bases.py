# SPDX-License-Identifier: Apache-2.0
"""Earlier backups, as a new one builds on them: their objects, and what they knew.

Nothing of an earlier backup is believed but what its signed root binds: pages by their
digests, objects by those that pages tell.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom_server.core.backup_root import JournalHead
from strongroom_server.core.history import History
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.scope import format_id
from strongroom_server.core.stored_objects import max_bytes
from strongroom_server.ports import BlobNotFoundError, LockedBlobs
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
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
_UNUSABLE: Final = (IntegrityError, PreconditionError)


class Bases:
    """The earlier backups of a store. Safe to use from many threads once loaded.

    Attributes:
        rows: The objects of the newest usable ones, by key.
        newest: The newest usable one; None if there is none.
        notes: Which backups are of no use, and why.
    """

    def __init__(self, records: BackupRecords, bucket: LockedBlobs) -> None:
        self._records = records
        self._bucket = bucket
        self._backups: list[tuple[SavedBackup, PagedRows]] = []
        self.rows: dict[str, StoredObject] = {}
        self.newest: SavedBackup | None = None
        self.notes: list[str] = []

    def load(self) -> None:
        """Read the newest usable backups, up to one of the whole store.

        Raises:
            UnavailableError: The backup bucket cannot be reached.
            ExhaustedError: They have more objects than one backup may have.
        """
        is_covered = False
        for number in sorted(self._records.numbers(), reverse=True)[:MAX_BASES]:
            try:
                saved = self._records.load(number)
                rows = (
                    {} if is_covered else {row.key: row for row in self._rows_of(saved)}
                )
            except _UNUSABLE as error:
                self.notes.append(f"backup {number} is of no use: {error.message}")
                continue
            self._backups.append((saved, PagedRows(self._bucket, saved.root.pages)))
            self.newest = self.newest or saved
            self.rows = {**rows, **self.rows}
            check_count(len(self.rows))
            is_covered = is_covered or saved.root.is_whole

    def next_number(self) -> int:
        """Return the number behind every backup that there is, usable or not."""
        return max(self._records.numbers(), default=0) + 1

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
            head = head_of(saved.root.journals, journal)
            if head is not None and holds(head, version):
                yield InventoryView(self._bucket, rows)

    def check_grown(self, repository: Repository, heads: Heads) -> None:
        """Check that no journal has lost entries that an earlier backup holds.

        A server that has seen nothing of a journal takes one whose tail was destroyed
        for whole. A backup of that would look as good as the one before.

        Raises:
            IntegrityError: One has (JOURNAL_REWOUND).
        """
        if self.newest is None:
            return
        histories = {state.journal: state.history for state in heads.states}
        for head in self.newest.root.journals:
            journal = JournalId(head.project, head.artifact)
            is_meant = heads.is_whole or head.project in heads.scope
            if not is_meant and (head.project, head.artifact) not in heads.artifacts:
                continue
            history = histories.get(journal)
            if history is None:
                _check_dead(repository, journal, self.newest.root.number)
            elif not _has_head(history, head):
                raise _rewound(journal, self.newest.root.number)

    def _rows_of(self, saved: SavedBackup) -> Iterator[StoredObject]:
        check_count(saved.root.object_count)
        return self._records.rows(saved.root)


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


def head_of(heads: Sequence[JournalHead], journal: JournalId) -> JournalHead | None:
    """Return the head of a journal, if a backup has one."""
    for head in heads:
        if (head.project, head.artifact) == (journal.project, journal.artifact):
            return head
    return None


def holds(head: JournalHead, version: int) -> bool:
    """Return whether a backup with this head holds the content of a version."""
    return any(first <= version <= last for first, last in head.versions)


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
