# SPDX-License-Identifier: Apache-2.0
"""What is written to `strongroom://` becomes versions: whole ones, or none."""

# ruff: noqa: ANN401, PT012
import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import fsspec
import pytest

from strongroom.client import Client
from strongroom.errors import (
    AlreadyExistsError,
    CancelledError,
    InvalidArgumentError,
    NotFoundError,
)
from strongroom.integrations.filesystem import StrongroomFileSystem
from strongroom.values import File
from tests.client.engine import PACK_BYTES

LARGE: Final = 3 << 20


class StopHereError(Exception):
    """What a test raises where others have bugs."""


@pytest.fixture
def fs(_configured: None) -> Any:
    return StrongroomFileSystem()


def versions(room: Client, artifact: str) -> list[int]:
    try:
        return [version.number for version in room.list_versions(artifact)]
    except NotFoundError:
        return []


def contents(room: Client, artifact: str) -> dict[str, bytes]:
    paths = [item.path for item in room.ls(artifact) if isinstance(item, File)]
    return {path: room.read_bytes(f"{artifact}/{path}") for path in paths}


def test_each_file_that_is_closed_makes_a_version_with_it(
    fs: Any, room: Client, artifact: str
) -> None:
    with fs.open(f"strongroom://{artifact}/a.txt", "wb") as file:
        file.write(b"one")
        assert versions(room, artifact) == []
    with fs.open(f"{artifact}/sub/b.txt", "w", encoding="utf-16-le") as file:
        file.write("two")
    with fs.open(f"{artifact}/a.txt", "wb") as file:
        file.write(b"three")

    assert file.result.version.number == 3
    assert versions(room, artifact) == [3, 2, 1]
    assert contents(room, artifact) == {
        "a.txt": b"three",
        "sub/b.txt": "two".encode("utf-16-le"),
    }
    assert fs.cat_file(f"{artifact}@1/a.txt") == b"one"


def test_a_transaction_makes_one_version_and_shows_nothing_before(
    fs: Any, room: Client, artifact: str, tmp_path: Path
) -> None:
    fs.pipe({f"{artifact}/old": b"1", f"{artifact}/gone": b"2"})
    local = tmp_path / "local"
    local.write_bytes(b"as it was")

    with fs.transaction as transaction:
        fs.pipe_file(f"{artifact}/small", b"3")
        with fs.open(f"{artifact}/large", "wb") as file:
            for _ in range(LARGE // 65536):
                file.write(os.urandom(65536))
        fs.put_file(local, f"{artifact}/local")
        local.write_bytes(b"as it became")
        fs.cp_file(f"{artifact}/old", f"{artifact}/copy")
        fs.rm(f"{artifact}/gone")
        assert versions(room, artifact) == [1]
        assert fs.ls(artifact, detail=False) == [f"{artifact}/gone", f"{artifact}/old"]

    (result,) = transaction.results
    assert result.version.number == 2
    found = contents(room, artifact)
    assert len(found.pop("large")) == LARGE
    assert found == {"old": b"1", "copy": b"1", "small": b"3", "local": b"as it was"}


def test_a_transaction_that_fails_stores_nothing(
    fs: Any, room: Client, artifact: str
) -> None:
    with pytest.raises(StopHereError), fs.transaction:
        fs.pipe_file(f"{artifact}/a", b"1")
        raise StopHereError

    assert versions(room, artifact) == []
    fs.pipe_file(f"{artifact}/b", b"2")
    assert contents(room, artifact) == {"b": b"2"}


def test_a_file_that_is_open_when_its_transaction_ends_is_not_stored(
    fs: Any, room: Client, artifact: str
) -> None:
    with pytest.raises(InvalidArgumentError, match="was open when"), fs.transaction:
        file = fs.open(f"{artifact}/a", "wb")

    file.discard()
    assert versions(room, artifact) == []


@pytest.mark.parametrize("options", [{"mode": "wb"}, {"mode": "w"}], ids=str)
@pytest.mark.parametrize("size", [10, LARGE])
def test_with_that_is_left_by_an_exception_stores_nothing(
    fs: Any, room: Client, artifact: str, options: dict[str, str], size: int
) -> None:
    data = b"x" * size if options["mode"] == "wb" else "x" * size

    with pytest.raises(StopHereError), fs.open(f"{artifact}/a", **options) as file:
        file.write(data)
        raise StopHereError

    assert file.closed
    assert versions(room, artifact) == []


def test_compressed_files_are_whole_or_not_there(
    fs: Any, room: Client, artifact: str
) -> None:
    with fs.open(f"{artifact}/a.gz", "w", compression="infer") as file:
        file.write("text")
    with (
        pytest.raises(StopHereError),
        fs.open(f"{artifact}/b.gz", "wb", compression="gzip") as file,
    ):
        file.write(b"some")
        raise StopHereError

    assert gzip.decompress(contents(room, artifact)["a.gz"]) == b"text"
    assert versions(room, artifact) == [1]


def test_libraries_that_close_their_files_on_errors_store_nothing(
    fs: Any, room: Client, artifact: str
) -> None:
    """`fsspec.open` closes without saying why; so do pandas and pyarrow."""
    with (
        pytest.raises(CancelledError, match="StopHereError was handled") as caught,
        fsspec.open(f"strongroom://{artifact}/a", "wb") as file,
    ):
        file.write(b"half of it")
        raise StopHereError

    assert isinstance(caught.value.__cause__, StopHereError)
    assert versions(room, artifact) == []


def test_what_is_saved_while_an_error_is_handled_is_stored(
    fs: Any, room: Client, artifact: str
) -> None:
    try:
        fs.cat_file(f"{artifact}/a")
    except NotFoundError:
        with fsspec.open(f"strongroom://{artifact}/last-words", "wb") as file:
            file.write(b"whole")

    assert contents(room, artifact) == {"last-words": b"whole"}


def test_a_file_that_was_never_closed_is_not_stored(
    fs: Any, room: Client, artifact: str
) -> None:
    file = fs.open(f"{artifact}/a", "wb")
    file.write(b"half of it")

    with pytest.warns(ResourceWarning, match="never closed"):
        file.__del__()

    assert versions(room, artifact) == []


def test_several_files_may_be_open_at_once(
    fs: Any, room: Client, artifact: str
) -> None:
    with fs.transaction:
        files = [fs.open(f"{artifact}/{name}", "wb") for name in "abc"]
        for _ in range(3):
            for file in files:
                file.write(b"z" * (1 << 19))
        for file in files:
            file.close()

    assert {name: len(data) for name, data in contents(room, artifact).items()} == {
        "a": 3 << 19,
        "b": 3 << 19,
        "c": 3 << 19,
    }


def test_threads_may_write_the_files_of_one_transaction(
    fs: Any, room: Client, artifact: str
) -> None:
    sizes = {f"{number}": number * 40_000 for number in range(24)}

    def write(item: tuple[str, int]) -> None:
        with fs.open(f"{artifact}/{item[0]}", "wb") as file:
            file.write(b"z" * item[1])

    with fs.transaction, ThreadPoolExecutor(3) as pool:
        list(pool.map(write, sizes.items()))

    assert versions(room, artifact) == [1]
    found = {path: len(data) for path, data in contents(room, artifact).items()}
    assert found == sizes


def test_writers_of_one_artifact_at_once_lose_nothing(
    fs: Any, room: Client, artifact: str
) -> None:
    def write(number: int) -> None:
        own = StrongroomFileSystem()
        own.pipe_file(f"{artifact}/{number}", str(number).encode())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(6)))

    assert sorted(contents(room, artifact)) == [str(number) for number in range(6)]


def test_a_file_may_be_committed_by_hand(fs: Any, room: Client, artifact: str) -> None:
    for name, ending in (("a", "commit"), ("b", "discard")):
        file = fs.open(f"{artifact}/{name}", "wb", autocommit=False)
        file.write(b"1")
        file.close()
        assert not fs.exists(f"{artifact}/{name}")
        getattr(file, ending)()

    assert contents(room, artifact) == {"a": b"1"}


def test_exclusive_modes_refuse_what_exists(fs: Any, artifact: str) -> None:
    fs.pipe_file(f"{artifact}/a", b"1")

    with pytest.raises(AlreadyExistsError):
        fs.open(f"{artifact}/a", "xb")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{artifact}/a", b"2", mode="create")
    with fs.open(f"{artifact}/b", "xb") as file:
        file.write(b"2")
    assert fs.cat_file(f"{artifact}/b") == b"2"


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("{}@1/a", "versions never change"),
        ("{}@prod/a", "versions never change"),
        ("{}", "names no file"),
        ("demo", "names no file"),
        ("{}/../b", "escapes"),
    ],
)
def test_what_cannot_be_written_to_is_refused_at_once(
    fs: Any, artifact: str, place: str, problem: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        fs.open(place.format(artifact), "wb")


def test_appending_is_refused(fs: Any, artifact: str) -> None:
    fs.pipe_file(f"{artifact}/a", b"1")

    with pytest.raises(InvalidArgumentError, match="with the mode 'ab'"):
        fs.open(f"{artifact}/a", "ab")


# Copies, moves, removals.


def test_a_move_is_one_version_and_moves_no_bytes(
    fs: Any, room: Client, artifact: str
) -> None:
    fs.pipe({f"{artifact}/d/a": os.urandom(LARGE), f"{artifact}/d/b": b"2"})

    fs.mv(f"{artifact}/d/", f"{artifact}/e", recursive=True)

    assert versions(room, artifact) == [2, 1]
    assert fs.find(artifact) == [f"{artifact}/e/a", f"{artifact}/e/b"]
    assert room.show(artifact).stored_bytes < PACK_BYTES
    assert fs.cat_file(f"{artifact}/e/a") == fs.cat_file(f"{artifact}@1/d/a")


def test_a_file_of_an_older_version_is_brought_back_by_a_copy(
    fs: Any, room: Client, artifact: str
) -> None:
    fs.pipe_file(f"{artifact}/a", b"1")
    fs.pipe_file(f"{artifact}/a", b"2")

    fs.cp(f"{artifact}@1/a", f"{artifact}/a")

    assert versions(room, artifact) == [3, 2, 1]
    assert contents(room, artifact) == {"a": b"1"}


def test_a_copy_into_another_artifact_keeps_bytes_and_mode(
    fs: Any, room: Client, artifact: str, tmp_path: Path
) -> None:
    script = tmp_path / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o755)
    fs.put(str(script), f"{artifact}/run.sh")

    fs.cp(f"{artifact}/run.sh", f"{artifact}-other/run.sh")

    assert contents(room, f"{artifact}-other") == {"run.sh": b"#!/bin/sh\n"}
    assert fs.info(f"{artifact}-other/run.sh")["executable"]


def test_removals_make_versions_and_what_was_stays(
    fs: Any, room: Client, artifact: str
) -> None:
    fs.pipe({f"{artifact}/{name}": b"1" for name in ("a", "d/b", "d/c/e", "da")})

    fs.rm(f"{artifact}/d", recursive=True)
    assert sorted(contents(room, artifact)) == ["a", "da"]
    fs.rm_file(f"{artifact}/a")
    fs.rm(artifact, recursive=True)

    assert versions(room, artifact) == [4, 3, 2, 1]
    assert fs.ls(artifact) == []
    assert len(fs.find(f"{artifact}@1")) == 4


def test_a_removal_of_a_directory_or_of_nothing_is_refused(
    fs: Any, room: Client, artifact: str
) -> None:
    fs.pipe_file(f"{artifact}/d/a", b"1")

    with pytest.raises(InvalidArgumentError, match="is a directory"):
        fs.rm(f"{artifact}/d")
    with pytest.raises(FileNotFoundError):
        fs.rm(f"{artifact}/x")
    with pytest.raises(InvalidArgumentError, match="versions never change"):
        fs.rm(f"{artifact}@1/d/a")
    with pytest.raises(InvalidArgumentError, match="is a directory"):
        fs.rm("demo", recursive=True)
    assert versions(room, artifact) == [1]


def test_a_name_that_looks_like_a_pattern_is_one_file(fs: Any, artifact: str) -> None:
    fs.pipe({f"{artifact}/a[1].txt": b"1", f"{artifact}/a1.txt": b"2"})

    fs.rm_file(f"{artifact}/a[1].txt")

    assert fs.find(artifact) == [f"{artifact}/a1.txt"]


def test_a_folder_is_put_as_one_version(
    fs: Any, room: Client, artifact: str, tmp_path: Path
) -> None:
    for number in range(20):
        path = tmp_path / "tree" / f"{number % 3}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 1000))

    fs.put(f"{tmp_path}/tree/", artifact, recursive=True)

    assert versions(room, artifact) == [1]
    assert len(contents(room, artifact)) == 20
