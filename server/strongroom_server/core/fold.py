# SPDX-License-Identifier: Apache-2.0
"""The fold of a journal: takes entries in one by one, and refuses what may not follow.

Each entry costs constant time, but for a few that are rare; a `History` is what it
has come to, and never changes.
"""

from strongroom.format import names
from strongroom_server.core.history import (
    Committed,
    Created,
    Deleted,
    Entry,
    Fenced,
    History,
    HoldSet,
    NumberedEntry,
    PolicySet,
    RefMoved,
    Undeleted,
    broken_entry,
    moved_ref,
)
from strongroom_server.core.journal import GENESIS


class Fold:
    """A history in the making. Used by one thread."""

    def __init__(self, history: History) -> None:
        self._entries = list(history.entries)
        self._versions = list(history.versions)
        self._refs = {ref: list(moves) for ref, moves in history.refs.items()}
        self._requests = dict(history.requests)
        self._deleted = dict(history.deleted)
        self._purged = set(history.purged)
        self._held = set(history.held)
        self._policy = history.policy
        self._fence = history.fence
        self._promised_days = dict(history.promised_days)
        self._policy_number = history.policy_number

    @property
    def next_number(self) -> int:
        """The number of the entry that comes next."""
        return len(self._entries)

    @property
    def head(self) -> bytes:
        """What the next entry names as the entry before it."""
        return self._entries[-1].digest if self._entries else GENESIS

    @property
    def created(self) -> Created | None:
        """Entry 0, if it is there."""
        entry = self._entries[0].entry if self._entries else None
        return entry if isinstance(entry, Created) else None

    def add(self, item: NumberedEntry) -> None:
        """Take in the next entry, if it may come next; else nothing changes.

        Raises:
            IntegrityError: It may not; no honest server writes such an entry
                (JOURNAL_CORRUPT).
        """
        entry = item.entry
        first = isinstance(entry, Created)
        if item.number != self.next_number or first != (item.number == 0):
            raise broken_entry(item.number)
        if not self._may_follow(entry):
            raise broken_entry(item.number)
        self._take_in(item)
        ref = entry.ref if isinstance(entry, RefMoved) else ""
        self._requests[entry.info.action, ref, entry.info.request_id] = item
        self._entries.append(item)

    def history(self) -> History:
        """Return what the entries so far add up to."""
        latest = len(self._versions)
        while latest and not self._is_live(latest):
            latest -= 1
        return History(
            tuple(self._entries),
            tuple(self._versions),
            {ref: tuple(moves) for ref, moves in self._refs.items()},
            dict(self._requests),
            dict(self._deleted),
            frozenset(self._purged),
            frozenset(self._held),
            self._policy,
            self._fence,
            latest,
            dict(self._promised_days),
            self._policy_number,
        )

    def _may_follow(self, entry: Entry) -> bool:
        match entry:
            case Committed(info=info, version=version):
                # A writer that did not know what is condemned may name it.
                knows = info.sweep_epoch >= self._fence
                return knows and version == len(self._versions) + 1
            case RefMoved(ref=ref, version=version, previous_version=previous):
                moves = self._refs.get(ref, ())
                before = moved_ref(moves[-1]).version if moves else 0
                reserved = ref == names.LATEST
                return self._is_live(version) and previous == before and not reserved
            case Created() | PolicySet():
                return True
            case _:
                return self._may_retain(entry)

    def _may_retain(self, entry: Deleted | Undeleted | HoldSet | Fenced) -> bool:
        match entry:
            case Deleted(version=version):
                return self._is_live(version) and not self._is_needed(version)
            case Undeleted(version=version):
                return version in self._deleted
            case HoldSet(version=version, hold=hold):
                known = 0 <= version <= len(self._versions)
                stored = known and version not in self._purged
                return stored and hold != (version in self._held)
            case Fenced(info=info, purged=purged):
                ordered = list(purged) == sorted(set(purged))
                unneeded = all(
                    version in self._deleted and not self._is_needed(version)
                    for version in purged
                )
                return info.sweep_epoch > self._fence and ordered and unneeded

    def _take_in(self, item: NumberedEntry) -> None:
        match item.entry:
            case Committed():
                self._versions.append(item.entry)
            case RefMoved(ref=ref):
                self._refs.setdefault(ref, []).append(item)
            case PolicySet(policy=policy):
                self._policy, self._policy_number = policy, item.number
            case Deleted() | Undeleted():
                self._move_to_trash(item, item.entry)
            case HoldSet(version=version):
                self._held ^= {version}
            case Fenced(info=info, purged=purged):
                self._fence = info.sweep_epoch
                self._purge(purged)
            case Created():
                pass

    def _move_to_trash(self, item: NumberedEntry, entry: Deleted | Undeleted) -> None:
        if isinstance(entry, Deleted):
            self._deleted[entry.version] = item
            self._promised_days[entry.version] = self._policy.trash_days
        else:
            del self._deleted[entry.version]
            del self._promised_days[entry.version]

    def _purge(self, versions: tuple[int, ...]) -> None:
        self._purged.update(versions)
        for version in versions:
            del self._deleted[version]
            del self._promised_days[version]

    def _is_live(self, version: int) -> bool:
        known = 1 <= version <= len(self._versions)
        return known and version not in self._deleted and version not in self._purged

    def _is_needed(self, version: int) -> bool:
        """Return whether a hold or a ref keeps a version."""
        held = 0 in self._held or version in self._held
        moves = (moved_ref(moves[-1]) for moves in self._refs.values())
        return held or any(move.version == version for move in moves)
