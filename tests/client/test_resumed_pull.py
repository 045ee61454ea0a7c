# SPDX-License-Identifier: Apache-2.0
"""Pulls that go on from what one that was killed left, and trust none of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.errors import StrongroomError
from strongroom.values import Progress, PullResult
from tests.client.engine import Engine
from tests.client.trees import MIB, leftovers, read_tree, write_tree
from tests.support.samples import filled

FILES = {
    "a/small": b"small",
    "b": filled("b", 6 * MIB),
    "c/run.sh": b"#!/bin/sh\n",
    "d": filled("d", 2 * MIB),
    "empty": b"",
}
ALL_BYTES = sum(map(len, FILES.values()))
STOP_BYTES = 4 * MIB


class StopError(Exception):
    """What the progress callback of a test raises."""


def stop(progress: Progress) -> None:
    if progress.done_bytes > STOP_BYTES:
        raise StopError


@pytest.fixture
def pushed(client: Client, tmp_path: Path) -> Client:
    tree = write_tree(tmp_path / "in", FILES, frozenset({"c/run.sh"}))
    client.push(tree, "demo/resumed-pull")
    return client


@pytest.fixture
def broken_off(pushed: Client, tmp_path: Path) -> Path:
    """The hidden directory that a pull left."""
    with pytest.raises(StopError):
        pushed.pull(
            "demo/resumed-pull@1", tmp_path / "out", progress=stop, keep_partial=True
        )
    assert not (tmp_path / "out").exists()
    (name,) = leftovers(tmp_path)
    return tmp_path / name


def pull(client: Client, tmp_path: Path) -> PullResult:
    """Go on, and check that everything is right."""
    result = client.pull("demo/resumed-pull@1", tmp_path / "out")
    assert read_tree(tmp_path / "out") == FILES
    assert os.access(tmp_path / "out/c/run.sh", os.X_OK)
    assert not os.access(tmp_path / "out/b", os.X_OK)
    assert leftovers(tmp_path) == []
    assert result.file_count == len(FILES)
    assert result.resumed_bytes + result.received_bytes >= ALL_BYTES
    return result


def test_a_pull_goes_on_in_the_middle_of_a_file(
    pushed: Client, tmp_path: Path, broken_off: Path
) -> None:
    assert STOP_BYTES <= (broken_off / "b").stat().st_size < len(FILES["b"])

    result = pull(pushed, tmp_path)

    assert result.resumed_bytes > STOP_BYTES
    assert result.resumed_bytes + result.received_bytes == ALL_BYTES


def test_progress_begins_where_the_pull_goes_on(
    pushed: Client, tmp_path: Path, broken_off: Path
) -> None:
    seen: list[Progress] = []

    pushed.pull("demo/resumed-pull@1", tmp_path / "out", progress=seen.append)

    del broken_off
    done = [progress.done_bytes for progress in seen]
    assert done == sorted(done)
    assert done[1] > STOP_BYTES
    assert done[-1] == ALL_BYTES


def test_without_being_asked_a_pull_leaves_nothing(
    pushed: Client, tmp_path: Path
) -> None:
    with pytest.raises(StopError):
        pushed.pull("demo/resumed-pull", tmp_path / "out", progress=stop)

    assert leftovers(tmp_path) == []


def test_one_file_goes_on_in_its_middle(pushed: Client, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        pushed.pull(
            "demo/resumed-pull/b", tmp_path / "b", progress=stop, keep_partial=True
        )

    result = pushed.pull("demo/resumed-pull/b", tmp_path / "b")

    assert (tmp_path / "b").read_bytes() == FILES["b"]
    assert result.resumed_bytes > STOP_BYTES
    assert leftovers(tmp_path) == []


def test_what_is_left_of_another_version_is_not_used(
    pushed: Client, tmp_path: Path, broken_off: Path
) -> None:
    pushed.push(write_tree(tmp_path / "in2", {"b": b"2"}), "demo/resumed-pull")

    result = pushed.pull("demo/resumed-pull", tmp_path / "out")

    assert read_tree(tmp_path / "out") == {"b": b"2"}
    assert result.resumed_bytes == 0
    assert broken_off.exists()


def change_small(left: Path) -> None:
    (left / "a/small").write_bytes(b"SMALL")


def change_beginning(left: Path) -> None:
    with (left / "b").open("r+b") as file:
        file.write(b"other")


def lengthen(left: Path) -> None:
    with (left / "b").open("ab") as file:
        file.write(bytes(8 * MIB))


def empty(left: Path) -> None:
    (left / "b").write_bytes(b"")


def remove(left: Path) -> None:
    (left / "a/small").unlink()


def make_executable(left: Path) -> None:
    (left / "a/small").chmod(0o755)


def add_file(left: Path) -> None:
    (left / "not-of-it").write_bytes(b"x")


def add_later_file(left: Path) -> None:
    (left / "d").write_bytes(FILES["d"])


def add_link(left: Path) -> None:
    (left / "d").symlink_to("/etc/passwd")


def add_linked_folder(left: Path) -> None:
    (left / "c").symlink_to("/tmp")  # noqa: S108 - nothing is written there


def add_hard_link(left: Path) -> None:
    other = left.parent / "precious"
    other.write_bytes(b"#!/bin")
    os.link(other, left / "d")


def add_pipe(left: Path) -> None:
    os.mkfifo(left / "d")


def add_folder(left: Path) -> None:
    (left / "d/e").mkdir(parents=True)


@pytest.mark.parametrize(
    "spoil",
    [
        change_small,
        change_beginning,
        lengthen,
        empty,
        remove,
        make_executable,
        add_file,
        add_later_file,
        add_link,
        add_linked_folder,
        add_hard_link,
        add_pipe,
        add_folder,
    ],
)
def test_whatever_became_of_what_was_left_the_pull_is_right(
    pushed: Client,
    tmp_path: Path,
    broken_off: Path,
    spoil: Callable[[Path], None],
) -> None:
    spoil(broken_off)

    pull(pushed, tmp_path)

    precious = tmp_path / "precious"
    assert not precious.exists() or precious.read_bytes() == b"#!/bin"


def test_a_directory_that_others_may_write_to_is_not_used(
    pushed: Client, tmp_path: Path, broken_off: Path
) -> None:
    broken_off.chmod(0o777)

    result = pushed.pull("demo/resumed-pull@1", tmp_path / "out")

    assert result.resumed_bytes == 0
    assert read_tree(tmp_path / "out") == FILES
    assert broken_off.exists()


def test_two_pulls_at_once_do_not_share_what_is_left(
    engine: Engine, pushed: Client, tmp_path: Path, broken_off: Path
) -> None:
    results: list[PullResult] = []

    def pull_too(_: Progress) -> None:
        if not results:
            with Client(engine.settings(tmp_path / "other")) as other:
                results.append(other.pull("demo/resumed-pull@1", tmp_path / "out"))

    # The outer one holds the directory, the inner one is done first.
    with pytest.raises(StrongroomError):
        pushed.pull("demo/resumed-pull@1", tmp_path / "out", progress=pull_too)

    assert results[0].resumed_bytes == 0
    assert read_tree(tmp_path / "out") == FILES
    assert not broken_off.exists()
