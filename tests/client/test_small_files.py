# SPDX-License-Identifier: Apache-2.0
"""Small files written by threads: all of them, or an error that is told."""

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from strongroom._files.folder import Folder
from strongroom._files.placement import Placement, place
from strongroom._files.small_files import SmallFiles
from strongroom.errors import ExhaustedError, IntegrityError, InvalidArgumentError
from tests.support.waiting import wait_until


def put(placement: Placement, path: str, content: bytes = b"x") -> None:
    placement.put(path, executable=False, content=content)


def put_many(files: SmallFiles, numbers: Iterable[int]) -> None:
    for number in numbers:
        files.put(str(number), executable=False, content=b"")


def put_and_fail(target: Path, *, kept: bool = False) -> None:
    with place(target, single=False) as placement:
        placement.staging.kept = kept
        put(placement, "a")
        raise ZeroDivisionError


def test_what_was_put_is_there_after_a_flush(tmp_path: Path) -> None:
    with place(tmp_path / "target", single=False) as placement:
        for number in range(500):
            put(placement, f"{number % 7}/{number}", b"%d" % number)
        placement.put("run.sh", executable=True, content=b"#!/bin/sh\n")
        placement.flush()
        placement.finish()

    for number in range(500):
        path = tmp_path / f"target/{number % 7}/{number}"
        assert path.read_bytes() == b"%d" % number
    assert (tmp_path / "target/run.sh").stat().st_mode & 0o100
    assert not (tmp_path / "target/1/1").stat().st_mode & 0o111


def test_what_waits_is_written_where_the_place_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        put_and_fail(tmp_path / "target", kept=True)

    (left,) = tmp_path.iterdir()
    assert (left / "a").read_bytes() == b"x"


def test_more_can_be_put_after_a_flush(tmp_path: Path) -> None:
    with place(tmp_path / "target", single=False) as placement:
        put(placement, "a")
        placement.flush()
        put(placement, "b")
        placement.flush()
        placement.finish()

    assert {path.name for path in (tmp_path / "target").iterdir()} == {"a", "b"}


def test_the_one_file_of_a_single_target_has_its_name(tmp_path: Path) -> None:
    with place(tmp_path / "target", single=True) as placement:
        put(placement, "whatever/name", b"content")
        placement.flush()
        placement.finish()

    assert (tmp_path / "target").read_bytes() == b"content"


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", ""])
def test_a_path_that_would_escape_is_refused_at_once(tmp_path: Path, path: str) -> None:
    with place(tmp_path / "target", single=False) as placement:
        with pytest.raises(InvalidArgumentError):
            put(placement, path)
        placement.flush()


def test_two_paths_that_meet_are_told(tmp_path: Path) -> None:
    with place(tmp_path / "target", single=False) as placement:
        put(placement, "a")
        put(placement, "a/b")
        with pytest.raises(IntegrityError, match="meet"):
            placement.flush()


def test_an_error_is_told_and_ends_the_writing(tmp_path: Path) -> None:
    written: list[str] = []
    failed = threading.Event()

    def write(_folder: Folder, path: str, _executable: bool, _content: bytes) -> None:
        if path == "3":
            failed.set()
            raise ExhaustedError("the disk is full")
        written.append(path)

    files = SmallFiles(lambda: Folder(tmp_path), write)
    put_many(files, range(16))
    assert failed.wait(10)
    wait_until(lambda: files._error is not None)
    with pytest.raises(ExhaustedError):
        put_many(files, range(16, 1000))
    with pytest.raises(ExhaustedError):
        files.flush()
    assert written == ["0", "1", "2"]


def test_an_error_of_any_kind_is_told_and_nobody_waits_for_ever(
    tmp_path: Path,
) -> None:
    def write(_folder: Folder, _path: str, _executable: bool, _content: bytes) -> None:
        raise MemoryError

    files = SmallFiles(lambda: Folder(tmp_path), write)
    with pytest.raises(MemoryError):
        put_many(files, range(1000))
    with pytest.raises(MemoryError):
        files.flush()
    files.close()


def test_two_files_are_made_at_a_time(tmp_path: Path) -> None:
    # Neither ends before the other one has begun.
    both = threading.Barrier(2)

    def write(_folder: Folder, _path: str, _executable: bool, _content: bytes) -> None:
        both.wait(10)

    files = SmallFiles(lambda: Folder(tmp_path), write)
    put_many(files, range(32))
    files.flush()


def test_few_files_wait_to_be_written(tmp_path: Path) -> None:
    go_on = threading.Event()
    put_count = 0

    def write(_folder: Folder, _path: str, _executable: bool, _content: bytes) -> None:
        assert go_on.wait(10)

    def put_all() -> None:
        nonlocal put_count
        for number in range(1000):
            put_many(files, [number])
            put_count += 1

    files = SmallFiles(lambda: Folder(tmp_path), write)
    putting = threading.Thread(target=put_all)
    putting.start()
    wait_until(files._queue.full)
    assert put_count < 160
    go_on.set()
    putting.join(10)
    files.flush()
    assert put_count == 1000


def test_what_is_given_up_is_not_written(tmp_path: Path) -> None:
    written: list[str] = []
    begun, go_on = threading.Barrier(3), threading.Event()

    def write(_folder: Folder, path: str, _executable: bool, _content: bytes) -> None:
        if not go_on.is_set():
            begun.wait(10)
        assert go_on.wait(10)
        written.append(path)

    files = SmallFiles(lambda: Folder(tmp_path), write)
    put_many(files, range(50))
    begun.wait(10)
    closing = threading.Thread(target=files.close)
    closing.start()
    wait_until(lambda: files._is_given_up)
    go_on.set()
    closing.join(10)
    assert sorted(written) == ["0", "16"]

    put_many(files, range(50, 53))
    files.flush()
    assert written[2:] == ["50", "51", "52"]


def test_who_leaves_by_an_error_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        put_and_fail(tmp_path / "target")

    names = {thread.name for thread in threading.enumerate()}
    assert "strongroom-files" not in names
    assert not list(tmp_path.iterdir())
