# SPDX-License-Identifier: Apache-2.0
"""Stages of reading are measured on what is stored, each for itself."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor

import pytest

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import VersionName
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.core.records import Kind
from strongroom_server.services.stage_timing import (
    MIN_BYTES,
    StageTime,
    StageTiming,
    slowest,
)
from tests.support.sidecars import MIB, Sidecar, sidecar_world
from tests.support.world import ARTIFACT

ONE = VersionName(ARTIFACT, "1")
TWO = VersionName(ARTIFACT, "2")
BIG = hashlib.shake_256(b"weights").digest(40 * MIB)


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with sidecar_world() as made:
        made.world.push({"big.bin": BIG, "small/a": b"one", "empty": b""})
        yield made


def timing(sidecar: Sidecar) -> StageTiming:
    # The world's own clock stands still.
    executor: Executor = sidecar.executor
    return StageTiming(
        sidecar.book, fetcher=sidecar.packs, executor=executor, clock=SystemClock()
    )


def stages(
    sidecar: Sidecar, *paths: str, max_bytes: int = 256 * MIB
) -> dict[str, StageTime]:
    found = timing(sidecar).measure(ONE, paths, max_bytes=max_bytes)
    return {stage.stage: stage for stage in found}


def test_each_stage_is_measured_with_all_bytes(sidecar: Sidecar) -> None:
    found = stages(sidecar)

    plain = len(BIG) + len(b"one")
    assert list(found) == ["s3", "decrypt", "verify"]
    assert {stage.size_bytes for stage in found.values()} == {plain}
    stored = packs(sidecar)
    mib = sum(map(len, stored.values())) / MIB
    assert found["s3"].detail == f"{len(stored)} packs, {mib:.1f} MiB as stored"
    for stage in found.values():
        assert stage.seconds > 0
        expected = stage.size_bytes / (1 << 30) / stage.seconds
        assert stage.gib_per_s == pytest.approx(expected)


def packs(sidecar: Sidecar, version: VersionName = ONE) -> dict[str, bytes]:
    """Return what the store has of packs with bytes of a version."""
    needed = {
        pack
        for entry in sidecar.book.open(version, paths=()).entries
        for ref in entry.chunks
        for pack in ref.packs
    }
    return {
        stored.key: data
        for stored, data in sidecar.world.bucket.objects()
        if stored.key.rpartition("/")[2] in needed
    }


def test_every_pack_is_fetched_once_and_in_the_first_stage_only(
    sidecar: Sidecar,
) -> None:
    found = timing(sidecar).measure(ONE, (), max_bytes=256 * MIB)

    next(found)
    fetched = list(sidecar.packs.requests)
    list(found)

    assert len(set(fetched)) == len(fetched) > 2
    assert sidecar.packs.requests == fetched


def test_no_more_is_held_than_was_asked_for(sidecar: Sidecar) -> None:
    found = stages(sidecar, max_bytes=32 * MIB)

    stored = packs(sidecar)
    fetched = sum(len(stored[key]) for key, _ in sidecar.packs.requests)
    assert 0 < fetched <= 32 * MIB
    assert 0 < found["decrypt"].size_bytes < len(BIG)


def test_one_file_or_directory_can_be_measured(sidecar: Sidecar) -> None:
    large = hashlib.shake_256(b"more").digest(MIN_BYTES)
    sidecar.world.push({"big.bin": BIG, "dir/a": large, "b": b"x"})
    for path in ("dir/a", "dir/"):
        found = list(timing(sidecar).measure(TWO, [path], max_bytes=256 * MIB))

        assert [stage.size_bytes for stage in found] == [MIN_BYTES] * 3


def test_a_delta_is_decrypted_with_its_base() -> None:
    with sidecar_world() as made:
        changed = bytearray(BIG)
        changed[MIB] ^= 1
        made.world.push({"a": BIG}, kind=Kind.CHECKPOINT)
        made.world.push({"a": bytes(changed)}, kind=Kind.CHECKPOINT)
        found = timing(made).measure(TWO, (), max_bytes=256 * MIB)

        assert [stage.size_bytes for stage in found][1:] == [len(BIG), len(BIG)]
        # All are known from the first stage: the base was fetched there.
        assert len(made.packs.requests) == len(packs(made, TWO))


@pytest.mark.parametrize("size_bytes", [0, 15, MIN_BYTES - 1])
def test_what_is_too_small_to_have_a_rate_is_refused(size_bytes: int) -> None:
    with sidecar_world() as made:
        made.world.push({"weights.bin": BIG[:size_bytes]})
        with pytest.raises(PreconditionError, match=f"has {size_bytes} bytes to meas"):
            list(timing(made).measure(ONE, (), max_bytes=256 * MIB))
        assert made.packs.requests == []


def test_the_slowest_is_one_of_those_that_can_be_compared() -> None:
    def took(stage: str, seconds: float) -> StageTime:
        return StageTime(stage, 100 * MIB if seconds else 0, seconds, "")

    s3, decrypt, verify = took("s3", 2), took("decrypt", 1), took("verify", 3)
    beside = [took("hand-over", 9), took("pin", 0)]

    assert slowest([s3, decrypt, verify, *beside]) == verify
    assert slowest([s3, decrypt, *beside]) == s3
    assert slowest(beside) is None


def test_who_may_not_read_may_not_measure(sidecar: Sidecar) -> None:
    refusal = NotFoundError("nothing for you", reason=Reason.VERSION_NOT_FOUND)
    sidecar.grants.refusal = refusal

    with pytest.raises(StrongroomError, match="nothing for you"):
        stages(sidecar)
    assert sidecar.packs.requests == []


def test_damaged_bytes_are_not_measured(sidecar: Sidecar) -> None:
    for version, data in sidecar.world.bucket.objects():
        if version.key.startswith("packs/"):
            rotten = data[:99] + bytes([data[99] ^ 1]) + data[100:]
            sidecar.world.bucket.corrupt(version.key, version.version_id, rotten)

    with pytest.raises(IntegrityError):
        stages(sidecar)
