# SPDX-License-Identifier: Apache-2.0
"""The store of the sweep model: packs, sweep records, journals, and what they say."""

from dataclasses import dataclass
from typing import Final

Packs = frozenset[str]


@dataclass(frozen=True, slots=True)
class Condemn:
    """A sweep record: these packs go, unless a decision keeps them."""

    packs: Packs


@dataclass(frozen=True, slots=True)
class Decide:
    """A sweep record: of what record `of` condemned, these stay."""

    of: int
    rescued: Packs


@dataclass(frozen=True, slots=True)
class Removed:
    """A sweep record: the rest of record `of` is gone."""

    of: int


@dataclass(frozen=True, slots=True)
class Create:
    """The first entry of a journal."""

    journal: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A version, the packs that it needs, and the epoch of its writer."""

    packs: Packs
    epoch: int


@dataclass(frozen=True, slots=True)
class Delete:
    """A version goes to the trash."""

    version: int


@dataclass(frozen=True, slots=True)
class Undelete:
    """A version comes back."""

    undeleted: int


@dataclass(frozen=True, slots=True)
class Fence:
    """Who commits behind it must know `needed` records; versions are purged."""

    needed: int
    purged: frozenset[int]


Record = Condemn | Decide | Removed
Entry = Create | Commit | Delete | Undelete | Fence

#: Where each content lay at first, for writers to share. `x` is garbage; `y` belongs
#: to version 1 of journal A, which lies in the trash.
INDEX: Final = {"x": "p0", "y": "p1"}
JOURNALS: Final = ("A", "B")


@dataclass(frozen=True, slots=True)
class Store:
    """The bucket: packs, sweep records, journals in the order of `JOURNALS`."""

    packs: Packs
    records: tuple[Record, ...]
    journals: tuple[tuple[Entry, ...], ...]

    def journal(self, name: str) -> tuple[Entry, ...]:
        return self.journals[JOURNALS.index(name)]

    def with_entry(self, name: str, entry: Entry) -> "Store":
        at = JOURNALS.index(name)
        journal = (*self.journals[at], entry)
        journals = (*self.journals[:at], journal, *self.journals[at + 1 :])
        return Store(self.packs, self.records, journals)

    def with_record(self, record: Record) -> "Store":
        return Store(self.packs, (*self.records, record), self.journals)

    def with_packs(self, packs: Packs) -> "Store":
        return Store(packs, self.records, self.journals)


def versions(journal: tuple[Entry, ...]) -> dict[int, Packs]:
    """Return what is not purged: by version, the packs that it needs."""
    found: dict[int, Packs] = {}
    count = 0
    for entry in journal:
        if isinstance(entry, Commit):
            count += 1
            found[count] = entry.packs
        elif isinstance(entry, Fence):
            for version in entry.purged:
                found.pop(version, None)
    return found


def trash(journal: tuple[Entry, ...]) -> frozenset[int]:
    """Return the versions in the trash."""
    found: set[int] = set()
    for entry in journal:
        match entry:
            case Delete(version):
                found.add(version)
            case Undelete(version):
                found.discard(version)
            case Fence(purged=purged):
                found -= purged
            case _:
                pass
    return frozenset(found)


def fence(journal: tuple[Entry, ...]) -> int:
    """Return the epoch that a commit needs."""
    return max(
        (entry.needed for entry in journal if isinstance(entry, Fence)), default=0
    )


def decisions(records: tuple[Record, ...]) -> dict[int, Packs]:
    """Return, by CONDEMN record, what was rescued."""
    return {item.of: item.rescued for item in records if isinstance(item, Decide)}


def removed(records: tuple[Record, ...]) -> set[int]:
    """Return the CONDEMN records that are done with."""
    return {item.of for item in records if isinstance(item, Removed)}


def open_sweeps(records: tuple[Record, ...]) -> list[int]:
    """Return the CONDEMN records that are not done with."""
    done = removed(records)
    return [
        number
        for number, item in enumerate(records)
        if isinstance(item, Condemn) and number not in done
    ]


def condemned_by(records: tuple[Record, ...], number: int) -> Packs:
    """Return what a record condemned; nothing if it is no CONDEMN record."""
    record = records[number]
    return record.packs if isinstance(record, Condemn) else frozenset()


def doomed(records: tuple[Record, ...], number: int) -> Packs:
    """Return what a CONDEMN record condemned and nobody rescued."""
    kept = decisions(records).get(number, frozenset())
    return condemned_by(records, number) - kept


def view(records: tuple[Record, ...], since: int | None = None) -> Packs:
    """Return what is condemned; with `since`, also what is gone since that epoch."""
    numbers = set(open_sweeps(records))
    if since is not None:
        numbers |= set(range(since, len(records)))
    return frozenset().union(*(doomed(records, number) for number in numbers))


def start() -> Store:
    """Return a store with garbage, and one version in the trash of journal A."""
    journal = (Create("A"), Commit(frozenset({INDEX["y"]}), 0), Delete(1))
    return Store(frozenset(INDEX.values()), (), (journal, ()))


def is_safe(store: Store) -> bool:
    """Return whether all that is not purged can be read, and fences hold."""
    for journal in store.journals:
        for packs in versions(journal).values():
            if not packs <= store.packs:
                return False
        needed = 0
        for entry in journal:
            if isinstance(entry, Fence):
                needed = entry.needed
            elif isinstance(entry, Commit) and entry.epoch < needed:
                return False
    return True
