# SPDX-License-Identifier: Apache-2.0
"""Verification: damage is a finding that says where, and which refs it hits."""

import pytest

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import VersionName
from strongroom_server.core.records import (
    VerifyFinding,
    VerifyProgress,
    VerifyReport,
)
from strongroom_server.ports import BlobVersion
from strongroom_server.services import verification
from tests.support.damage import one_bit_flipped
from tests.support.samples import filled
from tests.support.weights import safetensors_file
from tests.support.world import ARTIFACT, World

MIB = 1024 * 1024
OLD, NEW = filled("old", 5 * MIB), filled("new", 6 * MIB)


@pytest.fixture
def pushed(world: World) -> World:
    world.push({"a": b"1", "b": OLD})
    world.push({"a": b"1", "b": NEW})
    world.move("prod", "1")
    return world


def object_of(
    world: World, prefix: str, at_least: int = 0
) -> tuple[BlobVersion, bytes]:
    """The first object below a prefix of at least this size."""
    return next(
        (item, data)
        for item, data in world.bucket.objects()
        if item.key.startswith(prefix) and item.size_bytes >= at_least
    )


def test_what_is_whole_is_found_whole(pushed: World) -> None:
    findings, report = pushed.reopened().verify()

    assert [(item.version, item.path, item.ok) for item in findings] == [
        (1, "a", True), (1, "b", True), (2, "a", True), (2, "b", True),
    ]  # fmt: skip
    assert findings[0].refs == ("prod",)
    assert findings[3].refs == ("latest",)
    assert report == VerifyReport(2, 4, 11 * MIB + 2, 0)


def test_one_version_is_verified_alone(pushed: World) -> None:
    findings, report = pushed.verify(VersionName(ARTIFACT, "prod"))

    assert {item.version for item in findings} == {1}
    assert report == VerifyReport(1, 2, 5 * MIB + 1, 0)


def test_a_flipped_bit_is_found_in_its_file_with_its_refs(pushed: World) -> None:
    pack, data = object_of(pushed, "packs/", 6 * MIB)
    pushed.bucket.corrupt(pack.key, pack.version_id, one_bit_flipped(data, 8 * 3 * MIB))

    findings, report = pushed.verify()

    bad = [item for item in findings if not item.ok]
    assert [(item.version, item.path, item.refs) for item in bad] == [
        (2, "b", ("latest",))
    ]
    assert bad[0].reason == Reason.CHUNK_CORRUPT.value
    assert pack.key[-64:][:16] in bad[0].message
    assert report.damaged_count == 1
    assert report.file_count == 4


def test_a_pack_that_is_gone_is_found(pushed: World) -> None:
    pack, _ = object_of(pushed, "packs/", 6 * MIB)
    pushed.bucket.delete_version(pack.key, pack.version_id)

    findings, report = pushed.verify()

    assert [item.reason for item in findings if not item.ok] == ["CHUNK_MISSING"]
    assert report.damaged_count == 1


@pytest.mark.parametrize("gone", [True, False])
def test_a_manifest_that_is_gone_or_damaged_hides_its_version_only(
    pushed: World, gone: bool
) -> None:
    # Warm caches must not hide it either.
    assert pushed.pull("1") == {"a": b"1", "b": OLD}
    for manifest, data in list(pushed.bucket.objects()):
        if manifest.key.startswith("manifests/") and gone:
            pushed.bucket.delete_version(manifest.key, manifest.version_id)
        elif manifest.key.startswith("manifests/"):
            damaged = one_bit_flipped(data, 8 * 60)
            pushed.bucket.corrupt(manifest.key, manifest.version_id, damaged)

    findings, report = pushed.verify()

    expected = "MANIFEST_MISSING" if gone else "MANIFEST_CORRUPT"
    assert [(item.version, item.path, item.reason) for item in findings] == [
        (1, "", expected), (2, "", expected),
    ]  # fmt: skip
    assert (report.version_count, report.damaged_count) == (2, 2)
    assert findings[0].refs == ("prod",)


def test_a_file_table_that_is_damaged_is_found(pushed: World) -> None:
    # The tables are the small packs that no file's bytes are in.
    pushed.push({"a": b"1", "b": NEW, "c": b""})
    table, data = [
        item for item in pushed.bucket.objects() if item[0].key.startswith("packs/")
        and item[0].size_bytes < MIB
    ][-1]  # fmt: skip
    pushed.bucket.corrupt(table.key, table.version_id, one_bit_flipped(data, 8 * 100))

    _, report = pushed.reopened().verify()

    assert report.damaged_count >= 1


def test_a_journal_that_cannot_be_trusted_is_an_error(pushed: World) -> None:
    entry, data = object_of(pushed, "journals/")
    pushed.bucket.corrupt(entry.key, entry.version_id, one_bit_flipped(data, 8 * 500))

    with pytest.raises(IntegrityError):
        pushed.reopened().verify()


def test_nothing_can_be_verified_of_what_is_not_there(pushed: World) -> None:
    with pytest.raises(NotFoundError):
        pushed.verify(VersionName(ARTIFACT, "9"))


def test_every_stored_byte_that_matters_is_checked(world: World) -> None:
    world.push({"a": b"1" * 1000, "b": b"2" * 300}, executables=frozenset({"a"}))
    unnoticed: list[str] = []
    for item, data in list(world.bucket.objects()):
        for byte in range(0, len(data), max(1, len(data) // 12)):
            world.bucket.corrupt(
                item.key, item.version_id, one_bit_flipped(data, byte * 8)
            )
            if not is_noticed(world):
                unnoticed.append(f"{item.key.partition('/')[0]}:{byte}")
        world.bucket.corrupt(item.key, item.version_id, data)

    # An index segment is a cache, and readers use neither directory nor padding.
    assert {place.partition(":")[0] for place in unnoticed} <= {"index", "packs"}
    assert is_noticed(world) is False


def is_noticed(world: World) -> bool:
    try:
        _, report = world.reopened().verify()
    except StrongroomError:
        return True
    return report.damaged_count > 0


def test_progress_is_told_in_the_middle_of_a_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "_PROGRESS_BYTES", 2 * MIB)
    tensors = {str(number): filled(str(number), MIB) for number in range(6)}
    data = safetensors_file(tensors)
    world.push({"m.safetensors": data})

    items = list(world.verification.verify(ARTIFACT))

    assert [type(item) for item in items] == [
        *[VerifyProgress] * 3, VerifyFinding, VerifyReport,
    ]  # fmt: skip
    assert isinstance(items[0], VerifyProgress)
    assert items[0].total_bytes == len(data)
