# SPDX-License-Identifier: Apache-2.0
"""A stored file behaves like a local one."""

import gzip
import io
import os
import random
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._transfer import remote_file
from strongroom._transfer.ranges import RangeReader
from strongroom.client import Client, StrongroomFile
from strongroom.errors import NotFoundError, Reason
from tests.client.trees import MIB, write_tree

CONTENT = random.Random(1).randbytes(5 * MIB + 12_345)
URI = "demo/files/data.bin"


@pytest.fixture(scope="module")
def pushed_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = b"".join(b"line %d\n" % number for number in range(1000))
    return write_tree(
        tmp_path_factory.mktemp("files"),
        {"data.bin": CONTENT, "empty": b"", "lines.txt": lines},
    )


@pytest.fixture
def remote(client: Client, pushed_tree: Path) -> Iterator[StrongroomFile]:
    client.push(pushed_tree, "demo/files")
    with client.open(URI) as file:
        yield file


def test_it_says_what_it_is(remote: StrongroomFile) -> None:
    assert remote.size == len(CONTENT)
    assert remote.name == "strongroom://demo/files@1/data.bin"
    assert remote.readable()
    assert remote.seekable()
    assert not remote.writable()
    assert remote.tell() == 0


def test_reading_to_the_end_gives_everything_once(remote: StrongroomFile) -> None:
    assert remote.read() == CONTENT
    assert remote.read() == b""
    assert remote.read(10) == b""
    assert remote.tell() == len(CONTENT)


@pytest.mark.parametrize("size", [1, 7, 4096, MIB - 1, MIB, 3 * MIB])
def test_reads_are_never_short_before_the_end(
    remote: StrongroomFile, size: int
) -> None:
    end = min(len(CONTENT), 40 * size)
    read = b"".join(remote.read(size) for _ in range(-(-end // size)))

    assert read == CONTENT[: len(read)]
    assert len(read) >= end


def test_any_seek_and_read_equals_a_local_file(remote: StrongroomFile) -> None:
    local = io.BytesIO(CONTENT)
    dice = random.Random(2)
    for _ in range(60):
        whence = dice.choice([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END])
        size = dice.choice([0, 1, 100, 70_000, 2 * MIB])
        target = dice.randrange(len(CONTENT) + 1000)
        base = {0: 0, 1: local.tell(), 2: len(CONTENT)}[whence]
        offset = target - base
        assert remote.seek(offset, whence) == local.seek(offset, whence)
        assert remote.read(size) == local.read(size)
        assert remote.tell() == local.tell()


def test_readinto_fills_buffers_of_any_type(remote: StrongroomFile) -> None:
    buffer = memoryview(bytearray(2 * MIB)).cast("I")

    count = remote.readinto(buffer)

    assert count == 2 * MIB
    assert buffer.tobytes() == CONTENT[: 2 * MIB]
    remote.seek(-10, os.SEEK_END)
    short = bytearray(20)
    assert remote.readinto(short) == 10
    assert short[:10] == CONTENT[-10:]


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the ranges start that are asked for, each by a call of its own."""
    starts: list[int] = []

    class Counted(RangeReader):
        def _open(self) -> None:
            starts.append(self._position_bytes)
            super()._open()

    monkeypatch.setattr(remote_file, "RangeReader", Counted)
    return starts


def test_small_reads_between_large_ones_begin_no_range(
    remote: StrongroomFile, ranges: list[int]
) -> None:
    # As the tensors of a model are read: matrices, and vectors between them.
    sizes = [2 * MIB, 4096, 2 * MIB, 100]
    read = bytearray(sum(sizes))
    remote.seek(10)
    remote.expect(10 + len(read))
    position = 0
    for size in sizes:
        with memoryview(read)[position : position + size] as part:
            assert remote.readinto(part) == size
        position += size

    assert read == CONTENT[10 : 10 + len(read)]
    assert ranges == [10]


def test_what_is_expected_may_not_come(
    remote: StrongroomFile, ranges: list[int]
) -> None:
    remote.expect(len(CONTENT) + MIB)
    assert remote.read(100) == CONTENT[:100]
    remote.seek(3 * MIB)
    assert remote.read(100) == CONTENT[3 * MIB : 3 * MIB + 100]
    assert remote.read() == CONTENT[3 * MIB + 100 :]
    assert ranges == [0, 3 * MIB]


def test_read1_and_peek_do_not_wait_for_more(remote: StrongroomFile) -> None:
    assert remote.peek(10)[:10] == CONTENT[:10]
    assert remote.tell() == 0
    first = remote.read1(100)
    assert first == CONTENT[: len(first)]
    rest = bytearray(50)
    count = remote.readinto1(rest)
    assert rest[:count] == CONTENT[len(first) : len(first) + count]


def test_lines_are_read_as_of_a_local_file(client: Client, pushed_tree: Path) -> None:
    client.push(pushed_tree, "demo/lines")
    local = (pushed_tree / "lines.txt").read_bytes().splitlines(keepends=True)

    with client.open("demo/lines/lines.txt") as file:
        assert list(file) == local


def test_an_empty_file_is_empty(client: Client, pushed_tree: Path) -> None:
    client.push(pushed_tree, "demo/files")

    with client.open("demo/files/empty") as file:
        assert file.read() == b""
        assert file.read(1) == b""


@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-1, 1), (0, 9)])
def test_a_seek_before_the_start_is_a_bug_of_the_caller(
    remote: StrongroomFile, offset: int, whence: int
) -> None:
    with pytest.raises(ValueError, match=r"seek|whence"):
        remote.seek(offset, whence)


def test_a_closed_file_says_so(remote: StrongroomFile) -> None:
    remote.read(10)
    remote.close()

    with pytest.raises(ValueError, match="closed"):
        remote.read(1)


@pytest.mark.parametrize("path", ["nope", "data.bin/", ""])
def test_what_is_no_file_is_not_found(remote: StrongroomFile, path: str) -> None:
    client = Client(remote._caller.settings)

    with client, pytest.raises(NotFoundError) as caught:
        client.open(f"demo/files/{path}")

    assert caught.value.reason is Reason.PATH_NOT_FOUND


def test_archives_open_from_it(client: Client, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", {"inside": CONTENT})
    with zipfile.ZipFile(tree / "a.zip", "w") as made:
        made.write(tree / "inside", "inside")
    with tarfile.open(tree / "a.tar", "w") as tar:
        tar.add(tree / "inside", "inside")
    (tree / "a.gz").write_bytes(gzip.compress(CONTENT))
    client.push(tree, "demo/archives")

    with client.open("demo/archives/a.zip") as file, zipfile.ZipFile(file) as opened:
        assert opened.read("inside") == CONTENT
    with client.open("demo/archives/a.tar") as file, tarfile.open(fileobj=file) as tar:
        member = tar.extractfile("inside")
        assert member is not None
        assert member.read() == CONTENT
    with client.open("demo/archives/a.gz") as file, gzip.open(file) as unpacked:
        assert unpacked.read() == CONTENT


def test_read_into_fills_from_an_offset(remote: StrongroomFile) -> None:
    buffer = bytearray(1000)

    with Client(remote._caller.settings) as client:
        count = client.read_into(URI, buffer, 2 * MIB - 500)

    assert count == 1000
    assert buffer == CONTENT[2 * MIB - 500 : 2 * MIB + 500]


def test_a_listed_file_opens_without_a_question(
    client: Client, pushed_tree: Path
) -> None:
    client.push(pushed_tree, "demo/files")
    version = client.show("demo/files")
    listed = {file.path: file for file in client.list_files("demo/files")}

    with client.open_file(version, listed["data.bin"]) as file:
        assert file.read(100) == CONTENT[:100]
