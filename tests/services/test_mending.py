# SPDX-License-Identifier: Apache-2.0
"""Mending from copies: beside the damage, never over it, and never believed."""

from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.folder_copy import FolderCopy
from strongroom_server.core.repair import RepairRecord
from strongroom_server.repository.copies import BucketCopy
from strongroom_server.services.store_verification import StoreVerification
from tests.support.copies import (
    copy_to,
    entries_of,
    flip,
    hits,
    stored,
    verify_store,
)
from tests.support.samples import filled
from tests.support.world import ARTIFACT, World, memory_world

MIB = 1024 * 1024
OLD, NEW = filled("old", 5 * MIB), filled("new", 6 * MIB)


@pytest.fixture
def pushed(world: World) -> World:
    world.push({"a": b"1", "b": OLD})
    world.push({"a": b"1", "b": OLD, "c": NEW})
    world.push({"x": OLD}, ArtifactName("demo", "other"))
    world.push({"x": b"small"}, ArtifactName("second", "thing"))
    return world


def test_damage_is_mended_from_a_copy_and_reads_as_before(
    pushed: World, tmp_path: Path
) -> None:
    copy = copy_to(pushed, tmp_path)
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)
    gone, _ = list(stored(pushed, "packs/"))[1]
    pushed.bucket.delete_version(gone.key, gone.version_id)
    before = set(pushed.keys())

    findings, report = verify_store(pushed, copies=[copy], repair=True)

    assert {(item.object, item.repaired) for item in findings} == {
        (pack.key, True), (gone.key, True),
    }  # fmt: skip
    assert (report.damaged_count, report.repaired_count) == (0, 2)
    # Additive: two copies, and a record that the packs are damaged.
    assert {key.split("/")[0] for key in set(pushed.keys()) - before} == {"repairs"}
    fresh = pushed.reopened()
    assert fresh.pull("2") == {"a": b"1", "b": OLD, "c": NEW}
    part = fresh.pull("2", paths=("c",), offset_bytes=3 * MIB + 7, length_bytes=9)
    assert part == {"c": NEW[3 * MIB + 7 : 3 * MIB + 16]}
    assert verify_store(fresh)[0] == []
    assert verify_store(fresh, without_keys=True)[0] == []
    # Mending again finds nothing to do.
    assert verify_store(fresh, copies=[copy], repair=True)[1].repaired_count == 0


def test_packs_are_mended_without_keys_too(pushed: World, tmp_path: Path) -> None:
    copy = copy_to(pushed, tmp_path)
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)

    findings, _ = verify_store(pushed, copies=[copy], without_keys=True, repair=True)

    assert [(item.object, item.repaired) for item in findings] == [(pack.key, True)]
    assert pushed.reopened().pull("2")["c"] == NEW


def test_a_gap_in_a_journal_is_filled_from_a_copy(
    pushed: World, tmp_path: Path
) -> None:
    copy = copy_to(pushed, tmp_path)
    gone, _ = entries_of(pushed)[1]
    pushed.bucket.delete_version(gone.key, gone.version_id)

    findings, _ = verify_store(pushed.reopened(), copies=[copy], repair=True)

    assert [(item.object, item.repaired) for item in findings] == [(gone.key, True)]
    assert pushed.reopened().versions() == [2, 1]


def test_a_copy_that_is_damaged_too_mends_nothing(
    pushed: World, tmp_path: Path
) -> None:
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)
    copy = copy_to(pushed, tmp_path)

    findings, report = verify_store(pushed, copies=[copy], repair=True)

    assert [item.repaired for item in findings] == [False]
    assert report.damaged_count == 1


def test_the_second_copy_is_asked_when_the_first_has_not(
    pushed: World, tmp_path: Path
) -> None:
    whole = copy_to(pushed, tmp_path)
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)
    damaged = BucketCopy("the bucket itself", pushed.blobs)

    findings, _ = verify_store(pushed, copies=[damaged, whole], repair=True)

    assert [item.repaired for item in findings] == [True]


def test_mending_needs_a_copy_of_this_store(pushed: World, tmp_path: Path) -> None:
    with memory_world() as other:
        other.push({"a": b"1"})
        strange = copy_to(other, tmp_path / "other")
    for copies in ([], [strange], [FolderCopy("nothing", tmp_path / "none")]):
        with pytest.raises(PreconditionError) as caught:
            verify_store(pushed, copies=copies, repair=True)
        assert caught.value.reason is Reason.COPY_UNSUITABLE


def test_a_new_version_shares_nothing_with_a_pack_that_was_found_damaged(
    pushed: World,
) -> None:
    pack, data = list(stored(pushed, "packs/"))[1]
    flip(pushed, pack, data, 8 * 3 * MIB)
    # A push looks whether the pack is there, and it is.
    other = ArtifactName("demo", "before")
    pushed.push({"b": OLD}, other)
    assert verify_store(pushed)[1].damaged_count == 1

    fresh = pushed.reopened()
    fresh.push({"b": OLD}, ArtifactName("demo", "after"))

    assert fresh.pull(artifact=ArtifactName("demo", "after")) == {"b": OLD}
    (finding,) = verify_store(fresh)[0]
    assert "demo/before@1" in hits(finding)
    assert "demo/after@1" not in hits(finding)


def test_two_servers_that_mend_at_once_do_no_harm(
    pushed: World, tmp_path: Path
) -> None:
    copy = copy_to(pushed, tmp_path)
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)
    first, second = pushed.reopened(), pushed.reopened()
    runs = [
        StoreVerification(world.repository, [copy]).verify(None, repair=True)
        for world in (first, second)
    ]

    while runs:
        for run in list(runs):
            if next(run, None) is None:
                runs.remove(run)

    assert verify_store(pushed.reopened())[0] == []
    assert pushed.reopened().pull("2")["c"] == NEW


def test_a_repair_record_that_looks_newer_ends_no_run(world: World) -> None:
    world.push({"a": b"1"})
    scope = world.repository.artifact(ARTIFACT).scope
    keys = world.repository.keyring.open(scope)
    world.repository.repairs.add(keys, RepairRecord((), ("ab" * 32,)))
    ((record, data),) = stored(world, "repairs/")
    flip(world, record, data, 8 * 5 + 1)

    for without_keys in (True, False):
        findings, report = verify_store(world.reopened(), without_keys=without_keys)
        assert [finding.object for finding in findings] == [record.key]
        assert findings[0].reason == Reason.FORMAT_UNSUPPORTED.value
        assert report.damaged_count == 1
