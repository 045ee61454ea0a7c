# SPDX-License-Identifier: Apache-2.0
"""Attacks: what somebody tries, what must refuse it, and whether it did.

A family opens what its attacks need and yields them. Each attack has an honest twin,
which must succeed first: what never worked refuses everything.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import Reason, StrongroomError
from strongroom_server.core.cobblestone import DecryptError

#: What a try comes to that nothing refused.
ACCEPTED: Final = "ACCEPTED"
#: What `cobblestone` refuses with: it tells nobody more.
UNDECRYPTABLE: Final = "UNDECRYPTABLE"
#: What a parser of the product refuses with before it knows which error it is.
MALFORMED: Final = "MALFORMED"

Try = Callable[[], object]


class RefusedError(Exception):
    """Something that raises no error of ours refused, by this name."""

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by


@dataclass(frozen=True)
class Attack:
    """One thing that somebody tries, perhaps in many places.

    Attributes:
        name: What they do, as a phrase.
        by: What may refuse it: reasons of ours, or names of other refusals.
        honest: The same thing as its owner does it; must raise nothing.
        tries: Each must be refused by one of `by`.
    """

    name: str
    by: frozenset[str]
    honest: Try
    tries: Iterable[Try]


@dataclass(frozen=True)
class Family:
    """Attacks that have something in common.

    Attributes:
        name: As the report calls it.
        opened: Yields the attacks; `thorough` tries more places.
        real: Whether it starts real servers, which takes seconds.
    """

    name: str
    opened: Callable[[bool], AbstractContextManager[Sequence[Attack]]]
    real: bool = False


@dataclass(frozen=True)
class Result:
    """How an attack went.

    Attributes:
        honest: What the honest twin came to; `ACCEPTED` if all is well.
        outcomes: How often each thing refused it, or nothing did.
    """

    family: str
    attack: Attack
    honest: str
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether each try was refused by what should, and honesty was not."""
        tried = bool(self.outcomes) and self.honest == ACCEPTED
        return tried and set(self.outcomes) <= self.attack.by


def attack_all(family: Family, *, thorough: bool) -> list[Result]:
    """Try everything that a family has."""
    with family.opened(thorough) as attacks:
        return [carry_out(family.name, attack) for attack in attacks]


def carry_out(family: str, attack: Attack) -> Result:
    """Try one attack; errors are outcomes."""
    honest = outcome_of(attack.honest)
    if honest != ACCEPTED:
        return Result(family, attack, honest)
    return Result(family, attack, honest, Counter(map(outcome_of, attack.tries)))


def outcome_of(attempt: Try) -> str:
    """Say what a try came to: `ACCEPTED`, or what refused it."""
    try:
        attempt()
    except StrongroomError as error:
        return error.reason.value
    except DecryptError:
        return UNDECRYPTABLE
    except RefusedError as refused:
        return refused.by
    except Exception as error:  # noqa: BLE001 -- a crash is an outcome, and a bad one
        return f"CRASHED: {error!r}"
    return ACCEPTED


def reasons(*by: Reason | str) -> frozenset[str]:
    """Return the names of what may refuse an attack."""
    return frozenset(str(item) for item in by)
