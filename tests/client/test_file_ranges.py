# SPDX-License-Identifier: Apache-2.0
"""Single files and single ranges of them: found in one call, read in one."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.errors import IntegrityError, NotFoundError, Reason

SIZE = 3 << 20


@pytest.fixture
def data(client: Client, tmp_path: Path) -> bytes:
    content = os.urandom(SIZE)
    (tmp_path / "model").write_bytes(content)
    client.push(tmp_path / "model", "demo/ranges")
    return content


def test_a_range_comes_without_moving_the_position(client: Client, data: bytes) -> None:
    with client.open("demo/ranges/model") as file:
        assert file.read(10) == data[:10]
        assert file.read_range(SIZE - 5, SIZE) == data[-5:]
        assert file.read_range(7, 7) == b""
        assert file.read_range(0, SIZE) == data
        assert file.read(10) == data[10:20]


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 4), (0, SIZE + 1)])
def test_a_range_that_the_file_has_not_is_refused(
    client: Client, data: bytes, start: int, end: int
) -> None:
    with (
        client.open("demo/ranges/model") as file,
        pytest.raises(ValueError, match="no"),
    ):
        file.read_range(start, end)


def test_a_whole_file_is_compared_with_its_digest(client: Client, data: bytes) -> None:
    version, file = client.find_file("demo/ranges/model")
    other = replace(file, digest="sha256:" + "0" * 64)

    with (
        client.open_file(version, other) as opened,
        pytest.raises(IntegrityError) as caught,
    ):
        opened.read_range(0, SIZE)

    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_a_file_is_found_with_its_version(client: Client, data: bytes) -> None:
    version, file = client.find_file("demo/ranges/model")

    assert (version.artifact.short, file.path) == ("demo/ranges", "model")
    assert file.size_bytes == SIZE
    with pytest.raises(NotFoundError, match="no file 'mode'"):
        client.find_file("demo/ranges/mode")


def test_pages_of_a_listing_may_be_small(client: Client, tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / "tree" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(b"")
    client.push(tmp_path / "tree", "demo/pages")

    found = client.list_files("demo/pages", page_size=2)

    assert [file.path for file in found] == list("abcde")
