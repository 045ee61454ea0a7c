# SPDX-License-Identifier: Apache-2.0
"""Saves that fail or take long: who is told of it, and how long anybody waits."""

import errno
import threading
from pathlib import Path

import pytest

from strongroom import _system
from strongroom._transfer.sender import Push
from strongroom.client import Client
from strongroom.client import checkpoints as saving
from strongroom.client.checkpoints import Checkpoints
from strongroom.client.saves import StagedSave
from strongroom.errors import DeadlineExceededError, UnavailableError
from strongroom.values import PushResult


def test_whatever_fails_late_is_a_note_on_the_error_of_the_training(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_checkpoints: Checkpoints, _staged: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Checkpoints, "_push", fail)

    def train() -> None:
        with client.checkpoints("demo/late") as checkpoints:
            checkpoints.save({"w": b"1"}, step=1).wait(60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        train()
    assert any("Too many open files" in note for note in caught.value.__notes__)


def test_all_that_nobody_was_told_is_told_at_the_end(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_checkpoints: Checkpoints, staged: StagedSave) -> None:
        raise UnavailableError(str(staged.save.step))

    monkeypatch.setattr(Checkpoints, "_push", fail)
    several = [client.checkpoints(f"demo/unheard-{number}") for number in range(2)]
    for number, checkpoints in enumerate(several):
        checkpoints.save({"w": b"1"}, step=number).wait(60)

    lines = [
        f"strongroom: step {number} of demo/unheard-{number} was not stored: {number}"
        for number in range(2)
    ]
    saving._tell_unheard()
    assert sorted(capsys.readouterr().err.splitlines()) == lines
    with pytest.raises(UnavailableError) as caught:
        several[0].close()
    assert caught.value.__notes__ == ["step 0 of demo/unheard-0 was not stored"]
    saving._tell_unheard()
    assert capsys.readouterr().err.splitlines() == lines[1:]
    with pytest.raises(UnavailableError):
        several[1].close()
    saving._tell_unheard()
    assert not capsys.readouterr().err


def test_closing_waits_no_longer_than_it_is_told_and_goes_on_later(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    push = Checkpoints._push

    def slow(self: Checkpoints, staged: StagedSave) -> PushResult:
        go_on.wait(60)
        return push(self, staged)

    monkeypatch.setattr(Checkpoints, "_push", slow)
    checkpoints = client.checkpoints("demo/slow")
    save = checkpoints.save({"w": b"1"}, step=1)
    with pytest.raises(DeadlineExceededError, match="on their way"):
        checkpoints.close(0.01)
    go_on.set()
    checkpoints.close(60)
    assert save.result(0).version.number == 1
    assert not checkpoints._free


def test_the_time_for_trying_again_begins_with_the_save(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def away(_caller: object, push: Push) -> None:
        both_are_saved.wait(60)
        tried.append(push.metadata["step"])
        # The first save takes all the time that the second one has.
        now_s[0] += 100.0
        message = "the server is away"
        raise UnavailableError(message)

    now_s, both_are_saved = [0.0], threading.Event()
    monkeypatch.setattr(saving, "push_version", away)
    monkeypatch.setattr(_system, "monotonic_s", lambda: now_s[0])
    monkeypatch.setattr(saving, "_FIRST_WAIT_S", 0.001)
    checkpoints = client.checkpoints("demo/away", retry_s=150.0)
    for step in (1, 2):
        checkpoints.save({"w": b"1"}, step=step)
    both_are_saved.set()
    with pytest.raises(UnavailableError):
        checkpoints.close(60)
    assert tried == ["1", "1", "2"]


def test_who_only_looks_leaves_nothing_open(client: Client) -> None:
    def descriptors() -> int:
        # The listing's own is gone by the time that it is looked at.
        return sum(
            "strongroom-staging" in str(path.readlink())
            for path in list(Path("/proc/self/fd").iterdir())
            if path.is_symlink()
        )

    before = (descriptors(), len(saving._OPEN))
    checkpoints = client.checkpoints("demo/looked-at")
    assert checkpoints.latest() is None
    assert (descriptors(), len(saving._OPEN)) == before
