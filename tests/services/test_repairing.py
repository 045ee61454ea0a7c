# SPDX-License-Identifier: Apache-2.0
"""Mending a version from files: what fits by its chunk ids, and nothing else."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import filetable, layout, page_list
from strongroom_server.core.records import Kind
from strongroom_server.core.suites import FIPS_SUITE
from strongroom_server.core.verify_records import RepairReport
from strongroom_server.ports import BlobVersion
from strongroom_server.repository import contents
from strongroom_server.services import repairing
from tests.support.copies import copy_to, flip, stored, verify_store
from tests.support.numbers import weights, weights_file
from tests.support.samples import filled
from tests.support.sweeps import Sweeper
from tests.support.world import ARTIFACT, World, memory_world

MIB = 1024 * 1024
BIG = filled("big", 20 * MIB)
SMALL = {f"s/{number:02}": filled(str(number), 3000) for number in range(20)}
FILES = {"big": BIG, **SMALL, "x": b"untouched, in a pack of its own" * 200_000}
FIRST = VersionName(ARTIFACT, "1")


@pytest.fixture
def damaged(world: World) -> World:
    """Version 1 with a big chunk gone and a pack of small files damaged."""
    world.push(FILES)
    world.push({**FILES, "new": b"new"})
    packs = list(stored(world, "packs/"))
    world.bucket.delete_version(packs[0][0].key, packs[0][0].version_id)
    small = next((item, data) for item, data in packs if 60_000 < item.size_bytes < MIB)
    flip(world, *small, 8 * 7000)
    return world.reopened()


def mend(
    world: World, files: Mapping[str, bytes], name: VersionName = FIRST
) -> tuple[list[str], RepairReport]:
    """Send the wanted files that are there; return what was wanted, and the report."""
    with world.repairing.begin(name) as repair:
        wanted = [path for batch in repair.look() for path in batch]
        for path in wanted:
            if path in files:
                send(repair, path, files[path])
        return wanted, repair.finish()


def send(repair: repairing.Repair, path: str, data: bytes) -> None:
    repair.start_file(path, size_bytes=len(data), executable=False)
    for offset in range(0, len(data), MIB):
        repair.write(data[offset : offset + MIB], offset_bytes=offset)
    repair.end_file("sha256:" + hashlib.sha256(data).hexdigest())


def test_damaged_chunks_are_stored_anew_and_read_as_before(damaged: World) -> None:
    before = set(damaged.keys())

    wanted, report = mend(damaged, FILES)

    assert "big" in wanted
    assert 1 <= len(wanted) < 5
    assert report.damaged_count == report.repaired_count == len(wanted)
    assert report.stored_bytes > 16 * MIB
    assert report.damaged_paths == ()
    assert before < set(damaged.keys())
    for world in (damaged, damaged.reopened()):
        assert world.pull("1") == FILES
        assert world.pull("2") == {**FILES, "new": b"new"}
        part = world.pull("1", paths=("big",), offset_bytes=MIB - 3, length_bytes=9)
        assert part["big"] == BIG[MIB - 3 : MIB + 6]
        assert all(finding.ok for finding in world.verify()[0])
        assert verify_store(world)[0] == []


def test_nothing_is_wanted_of_a_whole_version(world: World) -> None:
    world.push(FILES)

    assert mend(world, {}) == ([], RepairReport(0, 0, 0, ()))


def test_files_that_do_not_come_stay_damaged(damaged: World) -> None:
    wanted, report = mend(damaged, {"big": BIG})

    assert report.repaired_count == 1
    assert set(report.damaged_paths) == set(wanted) - {"big"}
    (finding,) = verify_store(damaged)[0]
    assert {path for risk in finding.at_risk for path in risk.paths} == set(wanted) - {
        "big"
    }
    # And a second time brings the rest.
    again, rest = mend(damaged.reopened(), FILES)
    assert again == [path for path in wanted if path != "big"]
    assert rest.damaged_paths == ()
    assert verify_store(damaged.reopened())[0] == []


def test_other_bytes_are_refused_and_change_nothing(damaged: World) -> None:
    before = damaged.keys()

    with pytest.raises(PreconditionError) as caught:
        mend(damaged, {"big": filled("wrong", 20 * MIB)})

    assert caught.value.reason is Reason.COPY_UNSUITABLE
    assert damaged.keys() == before


def test_a_file_that_is_half_right_mends_that_half(damaged: World) -> None:
    # The first chunk has 16 MiB, and it is the one that is gone.
    half = BIG[: 16 * MIB] + bytes(4 * MIB)

    _, report = mend(damaged, {"big": half})

    assert report.repaired_count == 1
    assert damaged.pull("1", paths=("big",))["big"] == BIG


def test_a_file_of_another_size_is_refused(damaged: World) -> None:
    with pytest.raises(PreconditionError):
        mend(damaged, {"big": BIG[:-1]})


def test_a_file_that_was_not_asked_for_is_refused(damaged: World) -> None:
    with damaged.repairing.begin(FIRST) as repair:
        list(repair.look())
        with pytest.raises(InvalidArgumentError):
            repair.start_file("x", size_bytes=1, executable=False)


def test_the_protocol_is_kept(damaged: World) -> None:
    with damaged.repairing.begin(FIRST) as repair:
        list(repair.look())
        with pytest.raises(InvalidArgumentError):
            repair.write(b"1", offset_bytes=0)
        with pytest.raises(InvalidArgumentError):
            repair.end_file("sha256:" + "0" * 64)
        repair.start_file("big", size_bytes=len(BIG), executable=False)
        with pytest.raises(InvalidArgumentError):
            repair.write(b"1", offset_bytes=1)
        with pytest.raises(InvalidArgumentError):
            repair.write(bytes(2 * MIB), offset_bytes=0)
        with pytest.raises(InvalidArgumentError):
            repair.finish()
        repair.write(BIG[:MIB], offset_bytes=0)
        with pytest.raises(InvalidArgumentError):
            repair.end_file("sha256:" + "0" * 64)


def test_a_file_that_is_damaged_on_the_way_is_told(damaged: World) -> None:
    with damaged.repairing.begin(FIRST) as repair:
        list(repair.look())
        repair.start_file("big", size_bytes=len(BIG), executable=False)
        for offset in range(0, len(BIG), MIB):
            repair.write(BIG[offset : offset + MIB], offset_bytes=offset)
        with pytest.raises(IntegrityError):
            repair.end_file("sha256:" + "0" * 64)


def test_a_damaged_table_cannot_be_mended_from_files(world: World) -> None:
    world.push({"a": filled("a", 5 * MIB)})
    table, data = list(stored(world, "packs/"))[-1]
    flip(world, table, data, 8 * 100)
    fresh = world.reopened()

    wanted, report = mend(fresh, {"a": filled("a", 5 * MIB)})

    assert wanted == []
    assert (report.damaged_count, report.repaired_count) == (1, 0)
    assert report.lost_table_count == 1
    assert report.damaged_paths == ("a",)


def test_a_damaged_list_of_pages_loses_its_own_files_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_list, "MAX_FLAT_PAGES", 0)
    monkeypatch.setattr(page_list, "LIST_PAGES", 2)
    monkeypatch.setattr(filetable, "PAGE_FILES", 4)
    files = {f"{number:03}": filled(str(number), 300) for number in range(60)}
    world.push(files)
    artifact, version = world.repository.version(FIRST)
    manifest = contents.load_manifest(world.repository, artifact, version)
    assert len(manifest.lists) > 1
    (ref,) = manifest.lists[0].chunks
    pack, data = only_pack(world, ref.pack)
    flip(world, pack, data, 8 * (ref.offset_bytes + 60))
    fresh = world.reopened()

    wanted, report = mend(fresh, files)

    assert wanted == []
    assert (report.damaged_count, report.lost_table_count) == (1, 1)
    assert report.damaged_paths == (
        manifest.lists[0].first_path,
        manifest.lists[0].last_path,
    )


def only_pack(world: World, name: str) -> tuple[BlobVersion, bytes]:
    (found,) = stored(world, layout.pack_key(name))
    return found


def test_a_version_that_does_not_exist_is_not_mended(world: World) -> None:
    world.push({"a": b"1"})

    with pytest.raises(NotFoundError):
        world.repairing.begin(VersionName(ARTIFACT, "2"))
    with pytest.raises(NotFoundError):
        world.repairing.begin(VersionName(ArtifactName("demo", "no"), "1"))


def test_a_chunk_of_another_suite_is_mended_in_its_own(damaged: World) -> None:
    fips = damaged.reopened(suite=FIPS_SUITE)

    _, report = mend(fips, FILES)

    assert report.damaged_paths == ()
    assert verify_store(damaged.reopened())[0] == []


def test_new_versions_share_what_was_mended(damaged: World) -> None:
    mend(damaged, FILES)
    other = ArtifactName("demo", "other")

    pushed = damaged.push({"big": BIG}, other)

    assert pushed.version.stored_bytes < MIB
    assert damaged.pull(artifact=other) == {"big": BIG}
    packs = {path.partition("packs/")[2] for path in damaged.keys("packs/")}
    assert packs


def test_a_repair_that_is_damaged_itself_is_mended_again(damaged: World) -> None:
    mend(damaged, FILES)
    newest, data = next(stored(damaged, "packs/"))
    flip(damaged, newest, data, 8 * MIB)
    # Both are told: the pack that was mended first, and the one that mended it.
    assert verify_store(damaged.reopened())[1].damaged_count == 2

    _, report = mend(damaged.reopened(), FILES)

    assert report.repaired_count == 1
    assert damaged.reopened().pull("1") == FILES
    assert verify_store(damaged.reopened())[0] == []


def test_two_repairs_at_once_do_no_harm(damaged: World) -> None:
    others = damaged.reopened()
    with damaged.repairing.begin(FIRST) as one, others.repairing.begin(FIRST) as two:
        wanted = [path for batch in one.look() for path in batch]
        assert wanted == [path for batch in two.look() for path in batch]
        for path in wanted:
            send(one, path, FILES[path])
            send(two, path, FILES[path])
        assert one.finish().repaired_count == two.finish().repaired_count > 0

    assert damaged.reopened().pull("1") == FILES
    assert verify_store(damaged.reopened())[0] == []


def test_a_sign_of_life_is_given_while_looking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "_SIGN_BYTES", 4 * MIB)
    world.push({str(number): filled(str(number), 2 * MIB) for number in range(6)})

    with world.repairing.begin(FIRST) as repair:
        assert list(repair.look()) == [(), (), (), ()]


def checkpoints(world: World) -> list[dict[str, bytes]]:
    """Push three checkpoints; the second and third are deltas to the first."""
    files = [
        {"m.safetensors": weights_file({"a": weights(2 * MIB, steps=steps)})}
        for steps in range(3)
    ]
    for version in files:
        world.push(version, kind=Kind.CHECKPOINT)
    return files


def test_a_damaged_base_puts_its_deltas_at_risk_and_is_mended(world: World) -> None:
    files = checkpoints(world)
    base, data = next(stored(world, "packs/"))
    flip(world, base, data, 8 * MIB)
    fresh = world.reopened()

    (finding,) = verify_store(fresh)[0]
    assert finding.object == base.key
    assert [risk.name.selector for risk in finding.at_risk] == ["1", "2", "3"]

    # The file of version 2 is whole again by itself, though it was a delta; only
    # the first one has what the others need, too.
    _, report = mend(fresh, files[1], VersionName(ARTIFACT, "2"))
    assert report.damaged_paths == ()
    assert fresh.pull("2") == files[1]
    assert [risk.name.selector for risk in verify_store(fresh)[0][0].at_risk] != []
    mend(fresh, files[0], FIRST)
    for number, expected in enumerate(files, start=1):
        assert world.reopened().pull(str(number)) == expected
    assert verify_store(world.reopened())[0] == []


def test_a_damaged_delta_is_mended_as_a_whole_chunk(world: World) -> None:
    files = checkpoints(world)
    ordered = sorted(stored(world, "packs/"), key=lambda item: -item[0].size_bytes)
    delta, data = ordered[1]
    flip(world, delta, data, 8 * (len(data) // 2))
    (finding,) = verify_store(world.reopened())[0]
    (risk,) = finding.at_risk

    fresh = world.reopened()
    number = int(risk.name.selector)
    _, report = mend(fresh, files[number - 1], risk.name)

    assert report.repaired_count == 1
    assert fresh.pull(str(number)) == files[number - 1]
    assert verify_store(world.reopened())[0] == []


@pytest.mark.parametrize("from_copy", [True, False])
def test_a_sweep_keeps_what_mends(
    damaged: World, tmp_path: Path, from_copy: bool
) -> None:
    if from_copy:
        with memory_world() as world:
            world.push(FILES)
            copy = copy_to(world, tmp_path)
            pack, data = next(stored(world, "packs/"))
            flip(world, pack, data, 8 * MIB)
            assert verify_store(world, copies=[copy], repair=True)[1].repaired_count
            check_that_sweeps_keep(world)
    else:
        mend(damaged, FILES)
        check_that_sweeps_keep(damaged)


def check_that_sweeps_keep(world: World) -> None:
    sweeper = Sweeper(world)
    for _ in range(3):
        sweeper.sweep()
    assert world.reopened().pull("1") == FILES
    assert verify_store(world.reopened())[0] == []


@pytest.mark.parametrize("sweep_count", [1, 2])
def test_a_repair_that_a_sweep_overtook_is_not_acknowledged(
    damaged: World, sweep_count: int
) -> None:
    with damaged.repairing.begin(FIRST) as repair:
        for path in [path for batch in repair.look() for path in batch]:
            send(repair, path, FILES[path])
        for writer in repair._writers.values():
            writer.finish()  # is in S3, and a day or two go by
        for _ in range(sweep_count):
            Sweeper(damaged.reopened()).sweep()
        with pytest.raises(ConflictError) as caught:
            repair.finish()

    assert caught.value.reason is Reason.SWEEP_OVERTOOK
    fresh = damaged.reopened()
    assert mend(fresh, FILES)[1].damaged_paths == ()
    assert fresh.pull("1") == FILES
