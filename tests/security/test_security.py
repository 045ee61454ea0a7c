# SPDX-License-Identifier: Apache-2.0
"""Every attack in its short form, and a report that would tell if one got through."""

import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from strongroom.errors import IntegrityError, Reason
from tests.security import __main__ as program
from tests.security import salamanders
from tests.security.attacks import (
    ACCEPTED,
    Attack,
    Family,
    Result,
    attack_all,
    carry_out,
    reasons,
)
from tests.security.families import FAMILIES


def told(results: Sequence[Result]) -> list[tuple[str, str, dict[str, int]]]:
    return [
        (result.attack.name, result.honest, dict(result.outcomes))
        for result in results
        if not result.refused
    ]


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=[pytest.mark.e2e] if family.real else [])
        for family in FAMILIES
    ],
    ids=lambda family: family.name,
)
def test_every_attack_is_refused_by_name(family: Family) -> None:
    results = attack_all(family, thorough=False)

    assert results
    assert told(results) == []


def test_families_and_their_attacks_have_names_of_their_own() -> None:
    names = [family.name for family in FAMILIES]

    assert len(set(names)) == len(names)


def corrupt() -> None:
    message = "damaged"
    raise IntegrityError(message, reason=Reason.CHUNK_CORRUPT)


def nothing() -> None:
    return


def crash() -> None:
    raise ZeroDivisionError


BY = reasons(Reason.CHUNK_CORRUPT)


@pytest.mark.parametrize(
    "attack",
    [
        Attack("accepted", BY, nothing, [corrupt, nothing]),
        Attack("refused by something else", reasons("OTHER"), nothing, [corrupt]),
        Attack("never tried", BY, nothing, []),
        Attack("crashed", BY, nothing, [crash]),
        Attack("refuses everybody", BY, corrupt, [corrupt]),
    ],
    ids=lambda attack: attack.name,
)
def test_an_attack_that_got_through_or_proves_nothing_is_told(attack: Attack) -> None:
    result = carry_out("family", attack)

    assert not result.refused


def test_an_attack_that_is_refused_is_told_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = Attack("refused", BY, nothing, [corrupt, corrupt])
    accepted = Attack("accepted", BY, nothing, [nothing])

    def family(*attacks: Attack) -> Family:
        @contextmanager
        def opened(thorough: bool) -> Iterator[Sequence[Attack]]:
            yield attacks

        return Family("a family", opened)

    ended = []
    for attacks in ([refused], [refused, accepted], []):
        monkeypatch.setattr(program, "FAMILIES", [family(*attacks)])
        monkeypatch.setattr("sys.argv", ["security", "--family", "a family"])
        ended.append((program.main(), capsys.readouterr().out.splitlines()))

    assert [code for code, _ in ended] == [0, 1, 1]
    assert ended[0][1][-1] == "1 attacks, 1 refused"
    assert ended[1][1][-1] == "2 attacks, 1 refused"
    assert "  refused   refused: 2 by CHUNK_CORRUPT" in ended[1][1]
    assert f"  NOT REFUSED accepted: 1 by {ACCEPTED}" in ended[1][1]


def test_without_commitments_the_salamanders_get_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: True)

    results = attack_all(salamanders.FAMILY, thorough=False)

    assert {ACCEPTED} == {outcome for item in results for outcome in item.outcomes}
