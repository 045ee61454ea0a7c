# SPDX-License-Identifier: Apache-2.0
"""Whose settings `strongroom audit` takes where none are named: nobody else's."""

import os
from pathlib import Path

import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.reconcile_commands import DEV_SETTINGS, settings_file


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = tmp_path / DEV_SETTINGS
    settings.parent.mkdir(parents=True)
    settings.touch(mode=0o600)
    below = tmp_path / "work" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return settings


def test_the_nearest_stack_above_is_found(stack: Path) -> None:
    assert settings_file(None) == stack


def test_what_is_named_is_taken_whatever_it_is(stack: Path) -> None:
    stack.chmod(0o666)

    assert settings_file(stack) == stack


def test_without_a_stack_settings_have_to_be_named(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stack.parents[2].parent)

    with pytest.raises(InvalidArgumentError, match="no server's settings") as caught:
        settings_file(None)

    assert "--config" in caught.value.hint


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("bit", [0o020, 0o002])
def test_what_others_may_write_is_not_read(stack: Path, part: int, bit: int) -> None:
    path = (stack, *stack.parents)[part]
    path.chmod(path.stat().st_mode | bit)

    with pytest.raises(InvalidArgumentError, match="others may write it") as caught:
        settings_file(None)

    assert caught.value.reason is Reason.SETTING_INVALID


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_is_somebody_elses_is_not_read(stack: Path, part: int) -> None:
    os.chown((stack, *stack.parents)[part], 12345, -1)

    with pytest.raises(InvalidArgumentError, match="it is theirs"):
        settings_file(None)


def test_a_link_to_what_others_may_write_is_not_read(stack: Path) -> None:
    other = stack.parents[2] / "other.toml"
    other.touch()
    other.chmod(0o666)
    stack.unlink()
    stack.symlink_to(other)

    with pytest.raises(InvalidArgumentError, match="others may write it"):
        settings_file(None)
