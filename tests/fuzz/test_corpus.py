# SPDX-License-Identifier: Apache-2.0
"""Replays the corpus: seeds, what fuzzing found, and every prefix of some of them."""

from pathlib import Path

import pytest

from tests.fuzz.corpus import CORPUS
from tests.fuzz.targets import TARGETS, run

INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def test_every_target_has_seeds() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_a_seed_or_a_piece_of_one_is_read_or_refused(target: str) -> None:
    for path in (path for path in INPUTS if path.parent.name == target):
        data = path.read_bytes()
        run(target, data)
        for size in range(0, len(data), max(1, len(data) // 50)):
            run(target, data[:size])
            run(target, data[size:] + data[:size])
            run(target, data[:size] + b"\xff" + data[size + 1 :])


def test_a_target_that_breaks_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(data: bytes) -> None:
        raise KeyError(data)

    monkeypatch.setitem(TARGETS, "key_slot", broken)
    with pytest.raises(KeyError):
        run("key_slot", b"")
