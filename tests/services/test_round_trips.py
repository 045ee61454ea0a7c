# SPDX-License-Identifier: Apache-2.0
"""What was pushed comes back, whatever its shape, and is stored once."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.filetable import MAX_PAGE_FILES, ends_page
from strongroom_server.core.records import FileBlock, FileEnded, FileStarted
from strongroom_server.core.suites import SUITES, Suite
from tests.support.properties import COSTLY
from tests.support.samples import filled
from tests.support.weights import safetensors_file
from tests.support.world import ARTIFACT, World, memory_world

MIB = 1024 * 1024
CHUNK = 16 * MIB

SHAPES: dict[str, dict[str, bytes]] = {
    "no file at all": {},
    "an empty file": {"empty": b""},
    "one byte": {"a": b"\0"},
    "empty beside full": {"a": b"", "b": b"1", "c": b""},
    "folders": {"a-b": b"1", "a/b": b"2", "a/b.c": b"3", "a0": b"4"},
    "many alphabets": {
        "ü": b"1",
        "日本/語.bin": b"2",
        "\uffff": b"3",
        "\U00010000": b"4",
    },
    "spaces and quotes": {" a": b"1", "q\"'": b"2", "~": b"3", "@": b"4", "{}": b"5"},
    "a long path": {"/".join(["p" * 255] * 16): b"deep"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_files_of_any_shape_come_back(world: World, shape: str) -> None:
    files = SHAPES[shape]

    result = world.push(files)

    assert (result.version.number, result.unchanged) == (1, False)
    assert result.version.file_count == len(files)
    assert result.version.size_bytes == sum(map(len, files.values()))
    assert world.pull() == files
    assert world.reopened().pull() == files


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_files_around_a_border_come_back(world: World, size: int) -> None:
    data = filled("weights", size)

    world.push({"a": data, "b": b"x"})

    assert world.pull() == {"a": data, "b": b"x"}


#: In the others writers name the chunks, which no engine does by itself.
OWN_SUITES = [suite for suite in SUITES.values() if not suite.by_writer]


@pytest.mark.parametrize("suite", OWN_SUITES, ids=lambda suite: suite.number)
def test_every_suite_writes_what_every_engine_reads(suite: Suite) -> None:
    files = {"a": filled("a", 40_000), "b": filled("b", 16_384), "c": b""}
    with memory_world(suite=suite) as world:
        world.push(files)

        assert world.pull() == files
        for other in OWN_SUITES:
            reader = world.reopened(suite=other)
            assert reader.pull("1") == files
            changed = reader.push({**files, "d": other.number.to_bytes(2, "big")})
            assert world.pull(str(changed.version.number)).keys() == {*files, "d"}


def test_a_download_streams_files_in_order_and_blocks_in_order(world: World) -> None:
    data = filled("data", 3 * MIB + 5)
    world.push({"b": data, "a": b"1"}, executables=frozenset({"a"}))

    with world.downloads.open(VersionName(ARTIFACT, "1"), paths=()) as download:
        items = list(download.items)

    starts = [item for item in items if isinstance(item, FileStarted)]
    assert [(item.path, item.executable) for item in starts] == [
        ("a", True),
        ("b", False),
    ]
    blocks = [item for item in items if isinstance(item, FileBlock)][1:]
    assert [item.offset_bytes for item in blocks] == [0, MIB, 2 * MIB, 3 * MIB]
    assert max(len(item.data) for item in blocks) == MIB
    ends = [item for item in items if isinstance(item, FileEnded)]
    assert [item.digest for item in ends] == [item.digest for item in starts]


def test_many_files_come_back_over_page_borders(world: World) -> None:
    files = {f"{n % 70:02d}/{n:05d}": str(n).encode() for n in range(5000)}
    result = world.push(files)

    assert result.version.file_count == 5000
    assert world.reopened().pull() == files


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_page_that_no_path_ends_is_ended_by_its_size(
    world: World, extra: int
) -> None:
    names = (f"{number:06d}" for number in itertools.count())
    quiet = itertools.islice(
        (name for name in names if not ends_page(name)), MAX_PAGE_FILES + extra
    )
    files = dict.fromkeys(quiet, b"")

    world.push(files)

    assert world.reopened().pull() == files


@COSTLY
@given(
    st.dictionaries(
        st.text("ab/", min_size=1, max_size=4).filter(
            lambda path: all(path.split("/"))
        ),
        st.binary(max_size=300),
        max_size=6,
    ).filter(
        lambda files: (
            not any(path.startswith(f"{file}/") for path in files for file in files)
        )
    ),
    st.integers(1, 50),
)
def test_it_does_not_matter_how_files_are_sliced(
    files: dict[str, bytes], block_bytes: int
) -> None:
    with memory_world() as world:
        first = world.push(files, block_bytes=block_bytes)
        again = world.push(files, ArtifactName("demo", "again"))

        assert first.version.digest == again.version.digest
        assert world.pull() == files


def test_slices_do_not_change_the_cuts_of_a_safetensors_file(world: World) -> None:
    data = safetensors_file(
        {"a": filled("a", MIB), "b": filled("b", 2 * MIB), "c": filled("c", 99)}
    )
    world.push({"m.safetensors": data}, block_bytes=777)
    packs = len(world.keys("packs/"))

    world.push({"m.safetensors": data, "n": b""}, block_bytes=MIB)

    assert len(world.keys("packs/")) == packs + 1  # the file table, nothing else
    assert world.pull()["m.safetensors"] == data


def test_equal_files_are_stored_once_within_a_version(world: World) -> None:
    data = filled("big", 5 * MIB)

    result = world.push({f"copy-{number}": data for number in range(4)})

    assert result.version.size_bytes == 20 * MIB
    assert result.version.stored_bytes < 5.2 * MIB
    assert set(world.pull().values()) == {data}


def test_equal_files_are_stored_once_between_versions_and_artifacts(
    world: World,
) -> None:
    data = filled("big", 5 * MIB)
    world.push({"a": data})

    second = world.push({"a": data, "b": b"new"})
    other = world.push({"x": data}, ArtifactName("demo", "other"))
    elsewhere = world.push({"x": data}, ArtifactName("other-project", "other"))

    assert second.version.stored_bytes < 10_000
    assert other.version.stored_bytes < 10_000
    assert elsewhere.version.stored_bytes > 5 * MIB
    assert world.reopened().pull() == {"a": data, "b": b"new"}


def test_another_engine_shares_chunks_too(world: World) -> None:
    data = filled("big", 5 * MIB)
    world.push({"a": data})

    result = world.reopened().push({"a": data, "b": b"new"})

    assert result.version.stored_bytes < 10_000


def test_a_tensor_is_stored_once_wherever_it_moves(world: World) -> None:
    first, second = filled("first", MIB), filled("second", 2 * MIB)
    world.push({"m.safetensors": safetensors_file({"a": first, "b": second})})

    moved = safetensors_file({"new": b"x" * 100, "b": second, "a": first})
    result = world.push({"renamed.safetensors": moved})

    assert result.version.stored_bytes < 10_000
    assert world.pull() == {"renamed.safetensors": moved}


def test_a_chunk_whose_pack_is_gone_is_stored_again(world: World) -> None:
    data = filled("big", 5 * MIB)
    world.push({"a": data})
    for item, _ in world.bucket.objects():
        if item.key.startswith("packs/") and item.size_bytes > 5 * MIB:
            world.bucket.delete_version(item.key, item.version_id)

    result = world.push({"a": data, "b": b""})

    assert result.version.stored_bytes > 5 * MIB
    assert world.pull() == {"a": data, "b": b""}


def test_names_and_contents_do_not_show_in_the_store(world: World) -> None:
    files = {"secret-path.bin": b"secret content " * 100}
    world.push(files, ArtifactName("secret-project", "secret-artifact"))
    world.move("secret-ref", "1", ArtifactName("secret-project", "secret-artifact"))

    stored = [(item.key.encode(), data) for item, data in world.bucket.objects()]

    assert all(b"secret" not in part for pair in stored for part in pair)
