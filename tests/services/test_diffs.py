# SPDX-License-Identifier: Apache-2.0
"""Diffs: files by digest and mode, tensors by their bytes."""

import pytest

from strongroom.errors import InvalidArgumentError, NotFoundError
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.records import (
    Change,
    DiffSummary,
    FileChange,
    TensorChange,
)
from tests.support.faulty import FaultyBlobStore
from tests.support.samples import filled
from tests.support.weights import safetensors_file
from tests.support.world import ARTIFACT, World

MIB = 1024 * 1024


def diff(
    world: World, base: str, target: str, *, everything: bool = False
) -> tuple[list[FileChange], DiffSummary]:
    items = list(
        world.diffs.diff(
            VersionName(ARTIFACT, base),
            VersionName(ARTIFACT, target),
            include_unchanged=everything,
        )
    )
    summary = items.pop()
    assert isinstance(summary, DiffSummary)
    return [item for item in items if isinstance(item, FileChange)], summary


def tensors_of(change: FileChange) -> dict[str, Change]:
    return {item.tensor: item.change for item in change.tensors}


def test_files_are_added_removed_modified_or_left(world: World) -> None:
    world.push({"gone": b"1", "kept": b"2", "mode": b"3", "new": b"4"})
    world.push(
        {"added": b"0", "kept": b"2", "mode": b"3", "new": b"5"},
        executables=frozenset({"mode"}),
    )

    changes, summary = diff(world, "1", "2")

    assert [(item.path, item.change) for item in changes] == [
        ("added", Change.ADDED),
        ("gone", Change.REMOVED),
        ("mode", Change.MODIFIED),
        ("new", Change.MODIFIED),
    ]
    assert (changes[0].base, changes[1].target) == (None, None)
    assert (summary.added_count, summary.removed_count) == (1, 1)
    assert (summary.modified_count, summary.unchanged_count) == (2, 1)
    assert (summary.base.number, summary.target.number) == (1, 2)
    assert summary.shared_bytes == 2


def test_a_diff_turned_round_is_the_opposite(world: World) -> None:
    world.push({"a": b"1", "b": b"2"})
    world.push({"b": b"3", "c": b"4"})

    there, _ = diff(world, "1", "2")
    back, _ = diff(world, "2", "1")

    opposite = {Change.ADDED: Change.REMOVED, Change.REMOVED: Change.ADDED}
    assert [(item.path, item.change) for item in back] == [
        (item.path, opposite.get(item.change, item.change)) for item in there
    ]


def test_a_version_does_not_differ_from_itself(world: World) -> None:
    world.push({"a": b"1", "b": b"2"})

    changes, summary = diff(world, "1", "latest", everything=True)

    assert [item.change for item in changes] == [Change.UNCHANGED] * 2
    assert (summary.unchanged_count, summary.shared_bytes) == (2, 2)
    assert diff(world, "1", "1")[0] == []


def test_an_empty_version_differs_by_every_file(world: World) -> None:
    world.push({})
    world.push({"a": b"1"})

    assert [item.change for item in diff(world, "1", "2")[0]] == [Change.ADDED]
    assert [item.change for item in diff(world, "2", "1")[0]] == [Change.REMOVED]


BIG, SMALL = filled("big", 2 * MIB), filled("small", 100)


def test_tensors_are_compared_by_name_and_bytes(world: World) -> None:
    old = {"big": BIG, "gone": b"1", "same": SMALL, "changed": b"123", "grown": b"1"}
    new = {"same": SMALL, "changed": b"124", "grown": b"12", "added": b"", "big": BIG}
    world.push({"m.safetensors": safetensors_file(old)})
    world.push({"m.safetensors": safetensors_file(new)})

    (change,), summary = diff(world, "1", "2", everything=True)

    assert tensors_of(change) == {
        "added": Change.ADDED,
        "big": Change.UNCHANGED,
        "changed": Change.MODIFIED,
        "gone": Change.REMOVED,
        "grown": Change.MODIFIED,
        "same": Change.UNCHANGED,
    }
    assert summary.shared_bytes >= len(BIG)
    (shown,), _ = diff(world, "1", "2")
    assert Change.UNCHANGED not in tensors_of(shown).values()
    assert TensorChange("grown", Change.MODIFIED, "U8", (2,), 2) in shown.tensors


@pytest.mark.parametrize("place", [0, MIB, 2 * MIB - 1, 5 * MIB - 1])
def test_one_changed_byte_of_a_tensor_is_found(world: World, place: int) -> None:
    data = bytearray(filled("tensor", 5 * MIB))
    world.push({"m.safetensors": safetensors_file({"a": bytes(data), "b": SMALL})})
    data[place] ^= 1
    world.push({"m.safetensors": safetensors_file({"a": bytes(data), "b": SMALL})})

    (change,), _ = diff(world, "1", "2", everything=True)

    assert tensors_of(change) == {"a": Change.MODIFIED, "b": Change.UNCHANGED}


def test_only_what_changed_is_read(world: World) -> None:
    huge = filled("huge", 5 * MIB)
    world.push({"m.safetensors": safetensors_file({"a": huge, "b": SMALL})})
    world.push({"m.safetensors": safetensors_file({"a": huge, "b": SMALL[::-1]})})
    pack = next(item for item, _ in world.bucket.objects() if item.size_bytes > MIB)
    world.bucket.delete_version(pack.key, pack.version_id)

    (change,), _ = diff(world, "1", "2", everything=True)

    assert tensors_of(change) == {"a": Change.UNCHANGED, "b": Change.MODIFIED}


def test_small_neighbours_are_read_together() -> None:
    store = FaultyBlobStore(MemoryBlobStore())
    world = World(blobs=store)
    old = {f"t{number:04}": b"%4d" % number for number in range(1000)}
    new = {name: data[::-1] for name, data in old.items()}
    world.push({"m.safetensors": safetensors_file(old)})
    world.push({"m.safetensors": safetensors_file(new)})
    store.calls.clear()

    (change,), _ = diff(world, "1", "2", everything=True)

    assert len(change.tensors) == 1000
    assert Change.MODIFIED in tensors_of(change).values()
    assert len(store.calls) < 50
    world.executor.shutdown()


def test_a_comparison_that_nobody_waits_for_ends_inside_a_file(world: World) -> None:
    class GaveUpError(Exception):
        pass

    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks > 10:
            raise GaveUpError

    old = {f"t{number}": b"1" for number in range(100)}
    world.push({"m.safetensors": safetensors_file(old)})
    world.push({"m.safetensors": safetensors_file({**old, "t0": b"2"})})
    changes = world.diffs.diff(
        VersionName(ARTIFACT, "1"),
        VersionName(ARTIFACT, "2"),
        include_unchanged=False,
        check=check,
    )

    with pytest.raises(GaveUpError):
        next(changes)


@pytest.mark.parametrize("other", [b"", b"no header", b"\xff" * 100])
def test_a_file_that_is_none_of_safetensors_has_no_tensors(
    world: World, other: bytes
) -> None:
    world.push({"m.safetensors": other})
    world.push({"m.safetensors": safetensors_file({"a": SMALL})})

    for base, target in (("1", "2"), ("2", "1")):
        (change,), _ = diff(world, base, target)
        assert (change.change, change.tensors) == (Change.MODIFIED, ())


def test_versions_of_two_artifacts_cannot_be_compared(world: World) -> None:
    world.push({"a": b"1"})

    with pytest.raises(InvalidArgumentError):
        list(
            world.diffs.diff(
                VersionName(ARTIFACT, "1"),
                VersionName(ArtifactName("demo", "other"), "1"),
                include_unchanged=False,
            )
        )


def test_a_version_that_is_not_there_cannot_be_compared(world: World) -> None:
    world.push({"a": b"1"})

    with pytest.raises(NotFoundError):
        diff(world, "1", "2")


def test_pages_that_both_versions_have_are_counted_and_not_read(world: World) -> None:
    files = {f"{number:05}": b"%d" % number for number in range(5000)}
    world.push(files)
    changed = {**files, "02500": b"other", "02501x": b"added"}
    del changed["00007"]
    world.push(changed)
    blobs = FaultyBlobStore(world.blobs)
    fresh = world.reopened(blobs=blobs)
    opened = len(blobs.calls)

    changes, summary = diff(fresh, "1", "2")
    reads = blobs.calls[opened:].count("read_into")
    _, told = diff(world, "1", "2", everything=True)

    assert [item.path for item in changes] == ["00007", "02500", "02501x"]
    assert summary == told
    assert summary.unchanged_count == 4998
    # The pages of what changed, in both versions; there are about forty in all.
    assert 2 <= reads <= 10
