# SPDX-License-Identifier: Apache-2.0
"""What key slots there are, and which version of its KEK wraps each.

A slot is believed once it has opened: anybody who may write to the bucket can plant
one that claims the newest version. Whoever retired a version on its word would lock
out the slot that counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format.names import ProjectName
from strongroom_server.core.scope import STORE_PROJECT, Scope, format_id
from strongroom_server.ports import KekState, KeyService
from strongroom_server.repository.domains import known_scopes
from strongroom_server.repository.key_slots import (
    PASSED_OVER,
    KeySlots,
    StoredSlot,
)
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.repository import Repository
from strongroom_server.services.keys.reports import Proof, VersionCount


class SlotState(StrEnum):
    """What is to be thought of a domain's slot at an epoch."""

    #: It opens, and the newest version of its KEK wraps it.
    CURRENT = "current"
    #: It opens, and an old version wraps it.
    OLD = "old"
    #: None opens; what the domain holds of this epoch cannot be read.
    UNOPENED = "unopened"
    #: The KEK is gone: shredded, or lost with Vault's storage.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """The slot that counts, of one domain and epoch.

    Attributes:
        project: 18 bytes; b"" if no slot says whose it is.
        domain: 18 bytes.
        epoch: Of the domain.
        slot: The number of the slot that counts; -1 if none opens.
        kek: The KEK's name; "" if no slot names one.
        version: Which version of the KEK wraps the slot; 0 if none opens.
        versions: What the KEK has; None if it is gone, or no slot names it.
        slot_time: When the slot was written, by the store's clock.
        state: What is to be thought of it.
        passed_over: Keys of newer slots that do not open.
    """

    project: bytes
    domain: bytes
    epoch: int
    slot: int
    kek: str
    version: int
    versions: KekState | None
    slot_time: datetime | None
    state: SlotState
    passed_over: tuple[str, ...] = ()


class SlotLook:
    """Looks at the slots of one domain. Safe to use from many threads."""

    def __init__(self, keyring: Keyring, key_service: KeyService) -> None:
        self._keyring = keyring
        self._keys = key_service

    @property
    def slots(self) -> KeySlots:
        """The slots as stored."""
        return self._keyring.slots

    def look(self, found: Sequence[StoredSlot]) -> list[KeyEntry]:
        """Open the slots of a domain; return what counts, by epoch.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        states: dict[str, KekState | None] = {}
        entries = [self._look_at(found, epoch, states) for epoch in epochs_of(found)]
        return entries + self._gone(entries)

    def state_of(self, kek: str, states: dict[str, KekState | None]) -> KekState | None:
        """Return a KEK's versions, asked for once; None if there is no such KEK."""
        if kek not in states:
            try:
                states[kek] = self._keys.kek_state(kek)
            except PreconditionError as error:
                if error.reason is not Reason.KEK_MISSING:
                    raise
                states[kek] = None
        return states[kek]

    def _gone(self, entries: Sequence[KeyEntry]) -> list[KeyEntry]:
        """Return the newest epoch of a domain, if it was begun and nothing is left."""
        opened = [item for item in entries if item.slot >= 0]
        if not opened or opened[-1].project == STORE_PROJECT:
            return []
        keyring, last = self._keyring, opened[-1]
        scope = Scope(keyring.store, last.project, last.domain, last.epoch)
        newest = keyring.marks.newest(scope)
        if newest in {0, *(item.epoch for item in entries)}:
            return []
        gone = KeyEntry(
            last.project,
            last.domain,
            newest,
            -1,
            last.kek,
            0,
            last.versions,
            None,
            SlotState.UNOPENED,
        )
        return [gone]

    def _look_at(
        self,
        found: Sequence[StoredSlot],
        epoch: int,
        states: dict[str, KekState | None],
    ) -> KeyEntry:
        passed: list[str] = []
        project, kek, is_lost = b"", "", False
        for stored, slot in self.slots.candidates(found, epoch):
            versions = self.state_of(slot.kek, states)
            project, kek = slot.scope.project, slot.kek
            is_lost = is_lost or versions is None
            try:
                if versions is not None:
                    self.slots.open_parsed(slot)
                    is_newest = slot.kek_version >= versions.newest
                    return KeyEntry(
                        project,
                        stored.domain,
                        epoch,
                        stored.number,
                        kek,
                        slot.kek_version,
                        versions,
                        datetime.fromtimestamp(stored.item.modified_s, UTC),
                        SlotState.CURRENT if is_newest else SlotState.OLD,
                        tuple(passed),
                    )
            except (IntegrityError, PreconditionError) as error:
                if error.reason not in PASSED_OVER:
                    raise
            passed.append(stored.item.key)
        all_lost = is_lost and not any(states.values())
        return KeyEntry(
            project,
            found[0].domain,
            epoch,
            -1,
            kek,
            0,
            states.get(kek),
            None,
            SlotState.LOST if all_lost else SlotState.UNOPENED,
            tuple(passed),
        )


class Inventory(SlotLook):
    """Looks at the slots of one domain after another. Safe for many threads."""

    def __init__(self, repository: Repository, key_service: KeyService) -> None:
        super().__init__(repository.keyring, key_service)
        self._repository = repository

    def domains(self, project: ProjectName | None) -> Iterator[tuple[StoredSlot, ...]]:
        """Yield the slots of each domain: of the store, or of one project.

        Of a project, those of artifacts that have a domain to themselves as well.
        """
        if project is None:
            yield from self.slots.domains()
            return
        owner = self._repository.projects.get(project)
        for scope in known_scopes(self._repository, owner):
            found = self.slots.of_domain(scope.domain)
            if found:
                yield found


def epochs_of(found: Iterable[StoredSlot]) -> list[int]:
    """Return the epochs that slots are of, in order."""
    return sorted({stored.epoch for stored in found})


def prove(entries: Iterable[KeyEntry]) -> Proof:
    """Count slots by state and version."""
    counts = dict.fromkeys(SlotState, 0)
    by_version: dict[int, list[int]] = {}
    keks: set[str] = set()
    passed = total = 0
    for entry in entries:
        total += 1
        counts[entry.state] += 1
        passed += len(entry.passed_over) if entry.slot >= 0 else 0
        keks |= {entry.kek} - {""}
        if entry.version:
            count = by_version.setdefault(entry.version, [0, 0])
            count[0] += 1
            count[1] += entry.state is SlotState.OLD
    return Proof(
        slot_count=total,
        kek_count=len(keks),
        old_count=counts[SlotState.OLD],
        unopened_count=counts[SlotState.UNOPENED],
        lost_count=counts[SlotState.LOST],
        passed_over_count=passed,
        versions=tuple(
            VersionCount(version, *by_version[version])
            for version in sorted(by_version)
        ),
    )


def told_domain(entry: KeyEntry) -> str:
    """Return how messages name a domain at an epoch."""
    of = "the store's own domain" if entry.project == STORE_PROJECT else "domain"
    return f"{of} {format_id(entry.domain)}, epoch {entry.epoch}"
