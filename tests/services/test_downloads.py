# SPDX-License-Identifier: Apache-2.0
"""Downloads: what paths and ranges select, and that damage is never handed out."""

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    Reason,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.selection import MAX_PATHS
from strongroom_server.core.suites import SUITES
from tests.support.damage import one_bit_flipped
from tests.support.properties import COSTLY
from tests.support.samples import filled
from tests.support.weights import safetensors_file
from tests.support.world import ARTIFACT, World, memory_world

MIB = 1024 * 1024
TREE = {path: path.encode() for path in ["a", "b-", "b/1", "b/2/x", "b0", "c/d", "ü/é"]}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("a",), ["a"]),
        (("b/",), ["b/1", "b/2/x"]),
        (("b/2/",), ["b/2/x"]),
        (("b/2/x", "a", "b/"), ["a", "b/1", "b/2/x"]),
        (("b0", "b/", "b-"), ["b-", "b/1", "b/2/x", "b0"]),
        (("c/d", "c/", "c/d"), ["c/d"]),
        (("ü/",), ["ü/é"]),
        ((), list(TREE)),
    ],
)
def test_paths_select_files_and_folders_once_and_in_order(
    world: World, paths: tuple[str, ...], expected: list[str]
) -> None:
    world.push(TREE)

    assert list(world.pull(paths=paths)) == expected


@pytest.mark.parametrize("path", ["b", "b/2", "a/", "b/1/", "d", "c", "B/", "b/3"])
def test_a_path_that_is_not_there_is_not_found(world: World, path: str) -> None:
    world.push(TREE)

    with pytest.raises(NotFoundError) as caught:
        world.pull(paths=("a", path))

    assert caught.value.reason is Reason.PATH_NOT_FOUND


@pytest.mark.parametrize("path", ["", "/", "/a", "a//", "../a"])
def test_a_malformed_path_is_refused(world: World, path: str) -> None:
    world.push(TREE)

    with pytest.raises(InvalidArgumentError) as caught:
        world.pull(paths=(path,))

    assert caught.value.reason is Reason.PATH_MALFORMED


TENSORS = [MIB, MIB + 5, 300_000, 900_000, 7]
WEIGHTS = safetensors_file(
    {str(number): filled(str(number), size) for number, size in enumerate(TENSORS)}
)


def borders() -> list[int]:
    """Offsets at and beside every border of tensors, chunks and segments."""
    start = len(WEIGHTS) - sum(TENSORS)
    ends = [0, *itertools.accumulate([start, *TENSORS])]
    segments = [start + 16_384, start + MIB + 16_384 * 3, start + MIB - 16_384]
    near = {edge + step for edge in [*ends, *segments] for step in (-1, 0, 1)}
    return sorted(edge for edge in near if 0 <= edge <= len(WEIGHTS))


@pytest.mark.parametrize("suite", [1, 4])
def test_a_range_between_any_two_borders_is_exact(suite: int) -> None:
    with memory_world(suite=SUITES[suite]) as world:
        world.push({"m.safetensors": WEIGHTS})
        for start, end in itertools.combinations(borders(), 2):
            found = world.pull(
                paths=("m.safetensors",), offset_bytes=start, length_bytes=end - start
            )
            assert found["m.safetensors"] == WEIGHTS[start:end], (start, end)


@settings(COSTLY, max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, len(WEIGHTS)), st.integers(0, 2 * MIB)), max_size=8
    )
)
def test_any_range_is_exact(ranges: list[tuple[int, int]]) -> None:
    with memory_world(suite=SUITES[1]) as world:
        world.push({"m.safetensors": WEIGHTS})
        for start, length in ranges:
            found = world.pull(
                paths=("m.safetensors",), offset_bytes=start, length_bytes=length
            )
            end = start + length if length else len(WEIGHTS)
            assert found["m.safetensors"] == WEIGHTS[start:end]


def test_a_range_that_ends_past_the_end_ends_there(world: World) -> None:
    world.push({"a": b"0123456789"})

    assert world.pull(paths=("a",), offset_bytes=7, length_bytes=2**62) == {"a": b"789"}
    assert world.pull(paths=("a",), offset_bytes=10) == {"a": b""}


def test_a_range_that_starts_past_the_end_is_refused(world: World) -> None:
    world.push({"a": b"0123456789"})

    with pytest.raises(OutOfRangeError) as caught:
        world.pull(paths=("a",), offset_bytes=11)

    assert caught.value.reason is Reason.OFFSET_PAST_END


@pytest.mark.parametrize(
    ("paths", "offset", "length"),
    [
        ((), 1, 0),
        ((), 0, 1),
        (("a", "b-"), 0, 1),
        (("b/",), 1, 1),
        (("a",), -1, 0),
        (("a",), 0, -1),
    ],
)
def test_a_range_needs_one_file_and_counts_from_zero(
    world: World, paths: tuple[str, ...], offset: int, length: int
) -> None:
    world.push(TREE)

    with pytest.raises(InvalidArgumentError):
        world.pull(paths=paths, offset_bytes=offset, length_bytes=length)


def test_too_many_paths_are_refused(world: World) -> None:
    world.push(TREE)
    paths = tuple(f"p{number}" for number in range(MAX_PATHS + 1))

    with pytest.raises(InvalidArgumentError):
        world.pull(paths=paths)


def test_what_does_not_exist_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError) as no_project:
        world.pull()
    world.push({"a": b""})
    with pytest.raises(NotFoundError) as no_artifact:
        world.pull(artifact=ArtifactName("demo", "nothing"))
    with pytest.raises(NotFoundError) as no_version:
        world.pull("2")

    assert no_project.value.reason is Reason.PROJECT_NOT_FOUND
    assert no_artifact.value.reason is Reason.ARTIFACT_NOT_FOUND
    assert no_version.value.reason is Reason.VERSION_NOT_FOUND


def test_a_damaged_file_is_named_and_none_of_its_bad_bytes_come_out(
    world: World,
) -> None:
    good, bad = filled("good", 100), filled("bad", 5 * MIB)
    world.push({"a": good, "b": bad})
    pack = next(item for item in world.bucket.objects() if item[0].size_bytes > 5 * MIB)
    damaged = one_bit_flipped(pack[1], 8 * 4 * MIB)
    world.bucket.corrupt(pack[0].key, pack[0].version_id, damaged)

    assert world.pull(paths=("a",)) == {"a": good}
    with pytest.raises(IntegrityError) as caught:
        world.pull()

    assert caught.value.reason is Reason.CHUNK_CORRUPT
    assert caught.value.metadata["path"] == "b"
    assert caught.value.metadata["version"] == "demo/minilm@1"
    assert "verify" in caught.value.hint


def test_a_range_beside_the_damage_can_be_read() -> None:
    with memory_world(suite=SUITES[1]) as world:
        data = filled("data", 4 * MIB)
        world.push({"a": data})
        pack = next(
            item for item in world.bucket.objects() if item[0].size_bytes > 4 * MIB
        )
        damaged = one_bit_flipped(pack[1], 8 * 3 * MIB)
        world.bucket.corrupt(pack[0].key, pack[0].version_id, damaged)

        found = world.pull(paths=("a",), offset_bytes=MIB, length_bytes=MIB)

        assert found["a"] == data[MIB : 2 * MIB]
        with pytest.raises(IntegrityError):
            world.pull(paths=("a",), offset_bytes=3 * MIB - 100, length_bytes=200)


def test_a_pack_that_is_gone_is_told(world: World) -> None:
    world.push({"a": filled("data", 5 * MIB)})
    pack = next(item for item, _ in world.bucket.objects() if item.size_bytes > 5 * MIB)
    world.bucket.delete_version(pack.key, pack.version_id)

    with pytest.raises(IntegrityError) as caught:
        world.pull()

    assert caught.value.reason is Reason.CHUNK_MISSING


def test_overwrites_and_delete_markers_change_nothing(world: World) -> None:
    world.push({"a": b"1"})
    world.move("prod", "1")
    for key in set(world.keys()):
        world.bucket.overwrite(key, b"rubbish")
        world.bucket.add_delete_marker(key)

    assert world.pull("prod") == {"a": b"1"}
    assert world.reopened().pull("prod") == {"a": b"1"}
    assert world.reopened().push({"a": b"2"}).version.number == 2
    assert world.pull() == {"a": b"2"}


def test_a_download_that_is_left_early_leaves_nothing_behind(world: World) -> None:
    world.push({f"f{number}": filled(str(number), MIB) for number in range(10)})

    with world.downloads.open(VersionName(ARTIFACT, "latest"), paths=()) as download:
        next(download.items)

    assert world.pull(paths=("f9",)) == {"f9": filled("9", MIB)}


@pytest.mark.parametrize("free_bytes", [0, 1, 5 * MIB, 20 * MIB])
def test_a_download_goes_on_when_others_hold_the_budget(free_bytes: int) -> None:
    files = {f"f{number}": filled(str(number), 9 * MIB) for number in range(3)}
    files["small"] = b"1"
    with memory_world() as world:
        world.push(files)
        budget = world.repository.read_budget
        budget.take(budget.free_bytes - free_bytes)

        assert world.pull() == files
        assert world.pull(
            paths=("f1",), offset_bytes=MIB + 1, length_bytes=7 * MIB
        ) == {"f1": files["f1"][MIB + 1 : 8 * MIB + 1]}
        assert budget.free_bytes == free_bytes


def test_downloads_together_hold_no_more_than_the_budget(world: World) -> None:
    world.push({f"f{number}": filled(str(number), 9 * MIB) for number in range(4)})
    budget = world.repository.read_budget
    whole = budget.free_bytes
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            name = VersionName(ARTIFACT, "latest")
            download = stack.enter_context(world.downloads.open(name, paths=()))
            next(download.items)
            assert budget.free_bytes >= 0

        assert budget.free_bytes < 9 * MIB
        assert len(world.pull()) == 4

    assert budget.free_bytes == whole


def test_a_download_that_fails_gives_back_what_it_took(world: World) -> None:
    world.push({"a": filled("a", 5 * MIB), "b": filled("b", 5 * MIB)})
    for item, data in world.bucket.objects():
        if item.size_bytes > 5 * MIB:
            damaged = one_bit_flipped(data, 8 * MIB)
            world.bucket.corrupt(item.key, item.version_id, damaged)
    before = world.repository.read_budget.free_bytes

    with pytest.raises(IntegrityError):
        world.pull()

    assert world.repository.read_budget.free_bytes == before


def test_paths_and_tokens_find_the_same_over_many_pages(world: World) -> None:
    tree = {f"{n % 7}/{n % 3}/{n}": b"%d" % n for n in range(1500)}
    world.push(tree | {"00": b"", "1.": b"", "60": b"", "7": b""})
    everything = list(world.pull())

    assert everything == sorted([*tree, "00", "1.", "60", "7"])
    for folder in ["0/", "1/", "3/2/", "6/", "6/0/"]:
        below = [path for path in everything if path.startswith(folder)]
        assert list(world.pull(paths=(folder,))) == below
    for path in everything[::97]:
        assert list(world.pull(paths=(path,))) == [path]
    for after in ["", "00", "1.", "3/2", "3/2/", *everything[::131], "9"]:
        for path in ["", "3/", "3/2/", everything[700]]:
            _, page = world.artifacts.list_files(
                VersionName(ARTIFACT, "1"), path=path, page_size=0, page_token=after
            )
            expected = [
                item
                for item in everything
                if item > after
                and (
                    item == path
                    or not path.rstrip("/")
                    or (path.endswith("/") and item.startswith(path))
                )
            ]
            assert [file.path for file in page.items] == expected[:1000]
