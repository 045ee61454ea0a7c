# SPDX-License-Identifier: Apache-2.0
"""How many calls reads cost, which ranges are joined, and whom nobody trusts."""

import hashlib
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Self

import pytest

from strongroom.errors import ExhaustedError, IntegrityError, Reason
from strongroom.format.names import ArtifactName
from strongroom.integrations.patience import patiently
from strongroom.integrations.ranges import Wanted, clip, join
from strongroom.integrations.reading import ReadFile
from strongroom.values import File, Version

SIZE: Final = 20 << 20
VERSION: Final = Version(
    artifact=ArtifactName("demo", "a"),
    number=1,
    digest="sha256:" + "0" * 64,
    create_time=datetime(2026, 11, 23, tzinfo=UTC),
    creator="",
    file_count=1,
    size_bytes=SIZE,
    stored_bytes=SIZE,
    message="",
    metadata={},
    trace_id="",
    refs=(),
)


@dataclass
class Strongroom:
    """Stands for a file system and its client; notes what it is asked for."""

    data: bytes
    calls: list[tuple[int, int]] = field(default_factory=list)

    @property
    def client(self) -> Self:
        return self

    def open_file(self, version: Version, file: File) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read_range(self, start: int, end: int) -> bytes:
        self.calls.append((start, end))
        return self.data[start:end]

    def opened(self, digest_of: bytes | None = None) -> ReadFile:
        digest = hashlib.sha256(self.data if digest_of is None else digest_of)
        file = File(
            "x", len(self.data), f"sha256:{digest.hexdigest()}", executable=False
        )
        return ReadFile(self, "demo/a/x", (VERSION, file))


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(SIZE)


def test_sequential_reading_asks_for_more_and_more(data: bytes) -> None:
    room = Strongroom(data)

    with room.opened() as file:
        parts = [file.read(10_000) for _ in range(SIZE // 10_000 + 1)]

    assert b"".join(parts) == data
    assert len(room.calls) == 5
    assert sum(end - start for start, end in room.calls) == SIZE


def test_jumps_ask_for_little(data: bytes) -> None:
    room = Strongroom(data)

    with room.opened() as file:
        for place in range(10):
            file.seek(SIZE - (place + 1) * 1_500_000)
            file.read(100)

    assert all(end - start <= 1 << 18 for start, end in room.calls)


def test_a_large_read_is_one_call_and_no_more_than_it(data: bytes) -> None:
    room = Strongroom(data)

    with room.opened() as file:
        file.seek(1000)
        assert file.read(15 << 20) == data[1000 : 1000 + (15 << 20)]

    assert room.calls == [(1000, 1000 + (15 << 20))]


def test_a_small_file_is_one_call_in_whatever_order_it_is_read(data: bytes) -> None:
    room = Strongroom(data[:500_000])

    with room.opened() as file:
        file.seek(400_000)
        file.read(10)
        file.seek(0)
        assert file.read() == data[:500_000]

    assert room.calls == [(0, 500_000)]


def test_a_whole_file_that_is_not_what_its_digest_says_is_refused(data: bytes) -> None:
    room = Strongroom(data)
    file = room.opened(digest_of=b"something else")

    with pytest.raises(IntegrityError, match="its digest is"):
        list(iter(partial(file.read, 1 << 20), b""))
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_a_version_that_comes_in_parts_is_hashed_once(data: bytes) -> None:
    file = Strongroom(data).opened()

    file.read(100)
    file.seek(0)
    first = file.read(1 << 20)
    file.seek(0)
    again = file.read()

    assert again[: 1 << 20] == first
    assert again == data


def wanted(index: int, start: int, end: int, path: str = "x") -> Wanted:
    file = File(path, SIZE, "sha256:" + "0" * 64, executable=False)
    return Wanted(index, (VERSION, file), start, end)


def test_near_ranges_of_a_file_are_one_call() -> None:
    parts = [
        wanted(0, 200_000, 200_100),
        wanted(1, 0, 100),
        wanted(2, 1000, 2000),
        wanted(3, 0, 100, path="y"),
        wanted(4, 50, 50),
        wanted(5, 1500, 1600),
    ]

    joined = join(parts)

    assert [
        (call.found[1].path, call.start, call.end, [part.index for part in call.parts])
        for call in joined
    ] == [("x", 0, 2000, [1, 2, 5]), ("x", 200_000, 200_100, [0]), ("y", 0, 100, [3])]


def test_files_of_two_versions_are_not_joined() -> None:
    other = Wanted(1, (replace(VERSION, number=2), wanted(0, 0, 1).found[1]), 1, 2)

    assert len(join([wanted(0, 0, 1), other])) == 2


def test_what_is_joined_stays_within_bounds() -> None:
    parts = [wanted(index, index << 20, (index + 1) << 20) for index in range(20)]

    joined = join(parts)

    assert len(joined) == 3
    assert [part.index for call in joined for part in call.parts] == list(range(20))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (0, 100)),
        (-10, None, (90, 100)),
        (-10, -5, (90, 95)),
        (50, 500, (50, 100)),
        (70, 60, (70, 70)),
        (500, None, (100, 100)),
    ],
)
def test_ranges_count_as_slices_do(
    start: int | None, end: int | None, expected: tuple[int, int]
) -> None:
    assert clip(start, end, 100) == expected


def test_patience_is_for_a_busy_server_only() -> None:
    answers = [
        ExhaustedError("busy", reason=Reason.TOO_MANY_OWN_CALLS),
        ExhaustedError("full", reason=Reason.DISK_FULL),
    ]

    def call() -> None:
        raise answers.pop(0)

    with pytest.raises(ExhaustedError, match="full"):
        patiently(call)
    assert answers == []
