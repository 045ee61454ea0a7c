# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, how often in this seed, and how often it did."""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from random import Random
from typing import Final

from strongroom.errors import PreconditionError, Reason, UnavailableError


class Fault(StrEnum):
    """A kind of fault, in words that are printed."""

    TIMEOUT_BEFORE = "S3 timeout, not applied"
    TIMEOUT_AFTER = "S3 timeout, applied"
    BUSY = "S3 503, not applied"
    FAILED_AFTER = "S3 500, applied"
    CONFLICT = "S3 409, not applied"
    SHORT = "S3 answer cut short"
    BIT_FLIP = "S3 bit flipped on read"
    REMOVAL_REFUSED = "S3 lock refuses a removal"
    RACE_LOST = "S3 412, lost race"
    DELETE_MARKER = "adversary's delete marker"
    OVERWRITE = "adversary's overwrite"
    VAULT_DOWN = "Vault down"
    VAULT_SLOW = "Vault slow"
    VAULT_TOKEN = "Vault token expired"
    INDEX_FULL = "index disk full"
    INDEX_DELETED = "index deleted"
    INDEX_ROT = "index value rotten"
    CLOCK_JUMP = "clock jump up to 15 min"
    CRASH = "server crash at a port call"
    CLIENT_GONE = "client gone in mid-call"


#: Where each kind strikes.
WRITES: Final = (
    Fault.TIMEOUT_BEFORE,
    Fault.TIMEOUT_AFTER,
    Fault.BUSY,
    Fault.FAILED_AFTER,
    Fault.CONFLICT,
    Fault.CRASH,
)
REMOVALS: Final = (*WRITES, Fault.REMOVAL_REFUSED)
READS: Final = (
    Fault.TIMEOUT_BEFORE,
    Fault.BUSY,
    Fault.SHORT,
    Fault.BIT_FLIP,
    Fault.CRASH,
)
LISTS: Final = (Fault.TIMEOUT_BEFORE, Fault.BUSY, Fault.SHORT, Fault.CRASH)
#: Between what a change did and its answer; lost answers are drawn before it.
ANSWERS: Final = (Fault.CRASH,)
VAULT: Final = (Fault.VAULT_DOWN, Fault.VAULT_SLOW, Fault.VAULT_TOKEN, Fault.CRASH)
INDEX_WRITES: Final = (Fault.INDEX_FULL, Fault.CRASH)
INDEX_READS: Final = (Fault.INDEX_ROT,)
#: What the adversary and the operators do meanwhile, at any step.
MEANWHILE: Final = (
    Fault.DELETE_MARKER,
    Fault.OVERWRITE,
    Fault.INDEX_DELETED,
    Fault.CLOCK_JUMP,
)
_PLACES: Final = {
    "write": WRITES,
    "remove": REMOVALS,
    "answer": ANSWERS,
    "read": READS,
    "list": LISTS,
    "vault": VAULT,
    "index write": INDEX_WRITES,
    "index read": INDEX_READS,
    "meanwhile": MEANWHILE,
}
_RATES: Final = (0.0, 0.01, 0.03, 0.08)
#: Reads and lists are many, writes few, and what strikes a write matters most.
_WEIGHTS: Final = {
    "write": 4.0, "remove": 4.0, "answer": 1.0, "read": 0.7, "list": 0.4,
    "vault": 0.7, "index write": 1.0, "index read": 0.7, "meanwhile": 3.0,
}  # fmt: skip


class Faults:
    """Draws faults for one seed: some kinds only, as often as the seed says.

    A seed that has every fault shows little of each; so each has a few.
    """

    def __init__(self, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        self._rate = _RATES[int(random.random() * len(_RATES))]
        enabled = {fault for fault in Fault if random.random() < 0.5}
        self._kinds: Mapping[str, Sequence[Fault]] = {
            place: [fault for fault in faults if fault in enabled]
            for place, faults in _PLACES.items()
        }
        self.enabled = enabled
        self.rate = self._rate

    def stop(self) -> None:
        """Let everything work from now on."""
        self._rate = 0.0

    def draw(self, place: str) -> Fault | None:
        """Return what goes wrong now; nothing, mostly."""
        if self._random.random() >= self._rate * _WEIGHTS[place]:
            return None
        kinds = self._kinds[place]
        if not kinds:
            return None
        return kinds[int(self._random.random() * len(kinds))]

    def chance(self, fault: Fault, probability: float) -> bool:
        """Tell whether a fault that has a probability of its own strikes now."""
        return (
            self._rate > 0
            and fault in self.enabled
            and self._random.random() < probability
        )

    def count(self, fault: Fault) -> None:
        """Count one that struck."""
        self._counts[fault.value] += 1


def store_error(fault: Fault) -> UnavailableError:
    """Return what the S3 adapter makes of a fault."""
    return UnavailableError(fault.value, reason=Reason.STORE_UNAVAILABLE)


def removal_refused() -> PreconditionError:
    """Return what the S3 adapter makes of a version that is locked."""
    return PreconditionError(
        Fault.REMOVAL_REFUSED.value, reason=Reason.STORE_ACCESS_DENIED
    )


def vault_down() -> UnavailableError:
    """Return what the Vault adapter makes of a Vault that does not answer."""
    return UnavailableError(
        Fault.VAULT_DOWN.value, reason=Reason.KEY_SERVICE_UNAVAILABLE
    )


def vault_denied() -> PreconditionError:
    """Return what the Vault adapter makes of a token that cannot be renewed."""
    return PreconditionError(Fault.VAULT_TOKEN.value, reason=Reason.KEK_ACCESS_DENIED)


def index_full() -> UnavailableError:
    """Return what the LMDB adapter makes of a full disk."""
    return UnavailableError(Fault.INDEX_FULL.value, reason=Reason.INDEX_UNAVAILABLE)
