# SPDX-License-Identifier: Apache-2.0
"""Re-wrapping: each slot's key wrapped again by the newest version of its KEK.

Nothing is kept of how far a run has come: a slot that is on the newest version is
left alone, so a run that was killed anywhere goes on when it is started again. What
Vault returns is opened before it is stored, for it is to outlive the old slot.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from strongroom.errors import IntegrityError, PreconditionError
from strongroom_server.core.slots import KeySlot
from strongroom_server.ports import MAX_REWRAP, KekState, KeyService, WrappedKey
from strongroom_server.repository.key_slots import PASSED_OVER, StoredSlot
from strongroom_server.services.keys.inventory import Inventory, epochs_of


class Outcome(Enum):
    """What became of a domain's slot at an epoch."""

    REWRAPPED = "rewrapped"
    CURRENT = "current"
    #: Another run was first; the proof looks at what it stored.
    CONTESTED = "contested"
    #: No slot opens.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class _Candidate:
    epoch: int
    stored: StoredSlot
    slot: KeySlot


class DomainRewrap:
    """Wraps the slots of one domain again; used by one thread."""

    def __init__(
        self,
        inventory: Inventory,
        key_service: KeyService,
        found: Sequence[StoredSlot],
    ) -> None:
        self._inventory = inventory
        self._slots = inventory.slots
        self._keys = key_service
        self._found = found
        self._states: dict[str, KekState | None] = {}

    def run(self) -> dict[int, Outcome]:
        """Return what became of each epoch.

        Raises:
            UnavailableError: S3 or Vault cannot be reached; what is done stays.
        """
        waiting = {
            epoch: self._slots.candidates(self._found, epoch)
            for epoch in epochs_of(self._found)
        }
        outcomes: dict[int, Outcome] = {}
        while waiting:
            # One candidate an epoch; where it is none, the next one has its turn.
            tried = list(self._next_of(waiting, outcomes))
            old = [item for item in tried if self._is_old(item.slot)]
            for item in tried:
                if item not in old and self._opens(item.slot):
                    outcomes[item.epoch] = Outcome.CURRENT
            for kek in {item.slot.kek for item in old}:
                same = [item for item in old if item.slot.kek == kek]
                for start in range(0, len(same), MAX_REWRAP):
                    outcomes |= self._rewrap(kek, same[start : start + MAX_REWRAP])
            waiting = {
                epoch: rest for epoch, rest in waiting.items() if epoch not in outcomes
            }
        return outcomes

    def _next_of(
        self,
        waiting: dict[int, Iterator[tuple[StoredSlot, KeySlot]]],
        outcomes: dict[int, Outcome],
    ) -> Iterator[_Candidate]:
        for epoch, candidates in waiting.items():
            found = next(candidates, None)
            if found is None:
                outcomes[epoch] = Outcome.FAILED
            else:
                yield _Candidate(epoch, *found)

    def _is_old(self, slot: KeySlot) -> bool:
        state = self._inventory.state_of(slot.kek, self._states)
        return state is not None and slot.kek_version < state.newest

    def _rewrap(self, kek: str, items: Sequence[_Candidate]) -> dict[int, Outcome]:
        wrapped = self._keys.rewrap(
            kek,
            [
                WrappedKey(item.slot.scope.kek_context, item.slot.wrapped_master)
                for item in items
            ],
        )
        outcomes = {}
        for item, text in zip(items, wrapped, strict=True):
            if text is None:
                continue
            slot = replace(item.slot, wrapped_master=text)
            if not self._opens(slot):
                continue
            key = self._slots.add(slot, self._found, after=item.stored.number)
            outcomes[item.epoch] = Outcome.REWRAPPED if key else Outcome.CONTESTED
        return outcomes

    def _opens(self, slot: KeySlot) -> bool:
        try:
            self._slots.open_parsed(slot)
        except (IntegrityError, PreconditionError) as error:
            if error.reason not in PASSED_OVER:
                raise
            return False
        return True
