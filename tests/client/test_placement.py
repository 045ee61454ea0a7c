# SPDX-License-Identifier: Apache-2.0
"""Where a pull writes: whole or not at all, and never anywhere else."""

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from strongroom._files.failures import writing
from strongroom._files.placement import place
from strongroom.errors import (
    AlreadyExistsError,
    ExhaustedError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
)
from tests.client.trees import MIB, leftovers, read_tree


def put(
    target: Path,
    files: Mapping[str, bytes],
    *,
    single: bool = False,
    first: Callable[[], object] = lambda: None,
    last: Callable[[], object] = lambda: None,
) -> None:
    """Write files to a place; `first` and `last` run around the writing."""
    with place(target, single=single) as placement:
        first()
        for path, content in files.items():
            with placement.file(path, executable=False) as file:
                file.write(content)
        last()
        placement.finish()


def test_a_tree_appears_under_its_name_with_its_parents(tmp_path: Path) -> None:
    put(tmp_path / "x/y/out", {"a": b"1", "b/c/d": b"2", "e": b"3"})

    assert read_tree(tmp_path / "x/y/out") == {"a": b"1", "b/c/d": b"2", "e": b"3"}
    assert leftovers(tmp_path) == []


def test_nothing_is_seen_under_the_name_before_the_end(tmp_path: Path) -> None:
    with place(tmp_path / "out", single=False) as placement:
        with placement.file("a", executable=False) as file:
            file.write(b"1")
        assert not (tmp_path / "out").exists()
        placement.finish()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("single", [False, True])
def test_leaving_early_leaves_nothing(
    tmp_path: Path, error: type[BaseException], single: bool
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(error):
        put(tmp_path / "x/y/out", {"a/b": b"1"}, single=single, last=fail)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", "", ".", "a\x00b", "a/./b", "a\\b"]
)
def test_a_path_that_would_escape_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        put(tmp_path / "out", {path: b"1"})

    assert caught.value.reason is Reason.PATH_MALFORMED
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_paths_that_meet_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(IntegrityError):
        put(tmp_path / "out", dict.fromkeys(names, b"1"))

    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_hidden_sibling_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()

    def put_link() -> None:
        (hidden,) = tmp_path.glob(".out.strongroom-*")
        (hidden / "sub").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(IntegrityError):
        put(tmp_path / "out", {"sub/file": b"1"}, first=put_link)

    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", ["file", "full directory", "link", "dangling link"])
def test_whatever_exists_is_refused(tmp_path: Path, single: bool, kind: str) -> None:
    target = tmp_path / "out"
    (tmp_path / "full/x").mkdir(parents=True)
    match kind:
        case "file":
            target.write_bytes(b"kept")
        case "full directory":
            (target / "x").mkdir(parents=True)
        case "link":
            target.symlink_to(tmp_path / "full")
        case _:
            target.symlink_to("nowhere")

    with pytest.raises(AlreadyExistsError) as caught:
        put(target, {"a": b"1"}, single=single)

    assert caught.value.reason is Reason.TARGET_EXISTS
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("single", [False, True])
def test_a_target_made_meanwhile_is_not_replaced(tmp_path: Path, single: bool) -> None:
    target = tmp_path / "out"

    def occupy() -> None:
        if single:
            target.write_bytes(b"mine")
        else:
            (target / "mine").mkdir(parents=True)

    with pytest.raises(AlreadyExistsError):
        put(target, {"a": b"1"}, single=single, last=occupy)

    assert target.read_bytes() == b"mine" if single else (target / "mine").is_dir()
    assert leftovers(tmp_path) == []


def test_the_working_directory_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(AlreadyExistsError):
        put(Path(), {"a": b"1"})


def test_a_long_name_gets_its_hidden_sibling(tmp_path: Path) -> None:
    put(tmp_path / ("é" * 127), {"a": b"1"})

    assert (tmp_path / ("é" * 127) / "a").read_bytes() == b"1"


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(ExhaustedError) as caught,
        place(tmp_path / "out", single=False, size_bytes=1 << 60),
    ):
        pass

    assert caught.value.reason is Reason.DISK_FULL
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 1 MiB, as a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_limit_that_is_met_while_writing_leaves_nothing(
    tmp_path: Path, small_files: None
) -> None:
    with pytest.raises(ExhaustedError) as caught:
        put(tmp_path / "out", {"a": bytes(2 * MIB)})

    assert caught.value.reason is Reason.DISK_FULL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "cls"),
    [
        (errno.ENOSPC, ExhaustedError),
        (errno.EDQUOT, ExhaustedError),
        (errno.EACCES, InvalidArgumentError),
        (errno.EROFS, InvalidArgumentError),
    ],
)
def test_what_the_system_says_becomes_an_error_of_ours(
    number: int, cls: type[StrongroomError]
) -> None:
    with pytest.raises(cls, match="target"), writing("target"):
        raise OSError(number, os.strerror(number))


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(InvalidArgumentError):
        put(tmp_path / "file/out", {"a": b"1"})
