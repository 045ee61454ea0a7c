# SPDX-License-Identifier: Apache-2.0
"""The short form of `make simulate`: some seeds, the old failures, the planted bugs."""

import gc
import os
import subprocess
import sys
from argparse import Namespace
from itertools import chain
from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from tests.simulation import __main__ as campaign
from tests.simulation.clients import ARTIFACTS
from tests.simulation.model import Model, Push, check_error
from tests.simulation.planted import PLANTED
from tests.simulation.pushing import version_digest
from tests.simulation.schedule import Call
from tests.simulation.seeds import simulate
from tests.simulation.timeline import ViolationError

REGRESSIONS = Path(__file__).with_name("regressions.txt")
BLOCK = 50
BLOCKS = 6
#: A seed that found each planted bug when this was written; others are tried if it
#: does so no more, since every change of the code changes what a seed does.
FOUND_BY = {
    "no sweep fence": 3402,
    "journal entry before manifest": 7,
    "no read-back after a timeout": 1,
}
#: More seeds than any of these bugs has needed.
TRIED = 10_000


def regressions() -> list[int]:
    lines = REGRESSIONS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and line[0] != "#"]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_shows_a_violation(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        outcome = simulate(seed)
        assert not outcome.violation, f"seed {seed}: {outcome.violation}"


@pytest.mark.parametrize("seed", regressions())
def test_a_seed_that_failed_once_shows_no_violation(seed: int) -> None:
    assert not simulate(seed).violation


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_planted_bug_is_found(name: str) -> None:
    seeds = chain([FOUND_BY[name]], range(TRIED))
    assert any(simulate(seed, plant=PLANTED[name]).violation for seed in seeds)


def test_a_seed_runs_the_same_twice() -> None:
    first, second = list[str](), list[str]()

    outcomes = [simulate(11, trace=first), simulate(11, trace=second)]

    assert first == second
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].digest != simulate(12).digest


@pytest.mark.parametrize("seed", [5, 42])
def test_a_seed_runs_the_same_in_every_process(seed: int) -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"]
    told = [
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert told[0] == told[1]
    assert f"trace {simulate(seed).digest:08x}" in told[0]


def test_seeds_meet_faults_of_every_place() -> None:
    met = {name for seed in range(100) for name in simulate(seed).faults}

    assert len(met) >= 18, sorted(met)


def test_an_error_that_no_fault_explains_is_a_violation() -> None:
    call = Call(0.0, {"CRASH"})
    outage = UnavailableError("away", reason=Reason.STORE_UNAVAILABLE)
    damage = IntegrityError("damaged", reason=Reason.CHUNK_CORRUPT)

    for error in (outage, damage):
        with pytest.raises(ViolationError):
            check_error(error, call, 0.0)
    check_error(outage, Call(0.0, {"TIMEOUT_BEFORE"}), 0.0)
    check_error(damage, Call(0.0, {"BIT_FLIP"}), 0.0)


def test_a_version_that_changes_is_a_violation(model: Model, push: Push) -> None:
    model.pushed(push, 1, unchanged=False, now=5)

    with pytest.raises(ViolationError):
        model.saw(push.artifact, 1, "sha256:" + "0" * 64)


def test_two_answers_to_one_request_are_a_violation(model: Model, push: Push) -> None:
    model.pushed(push, 1, unchanged=False, now=5)

    with pytest.raises(ViolationError):
        model.pushed(push, 2, unchanged=False, now=6)


@pytest.fixture
def push() -> Push:
    return Push(ARTIFACTS[0], "one", {"a": b"a"}, version_digest({"a": b"a"}), 1)


@pytest.fixture
def model(push: Push) -> Model:
    made = Model()
    made.pushing(push)
    return made


def test_a_process_that_dies_is_no_clean_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(campaign, "_job", lambda *_: os._exit(3))
    options = Namespace(start=0, seeds=4, minutes=1.0, jobs=2)

    try:
        with pytest.raises(SystemExit, match="ended with 3"):
            campaign._run(options)
    finally:
        gc.unfreeze()
