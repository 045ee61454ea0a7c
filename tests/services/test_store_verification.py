# SPDX-License-Identifier: Apache-2.0
"""Verifying a store: every damage is a finding with what it hits, and a run goes on."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import (
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.core.verify_records import StoreFinding, StoreProgress
from strongroom_server.ports import BlobStore
from strongroom_server.services.store_verification import (
    StoreVerification,
    pace,
    pack_reads,
)
from tests.support.clock import ManualClock
from tests.support.copies import entries_of, flip, hits, stored, verify_store
from tests.support.samples import filled
from tests.support.sweeps import Sweeper, delete, set_policy
from tests.support.tampering import TamperingBlobStore
from tests.support.world import ARTIFACT, CALLER, World, memory_world

MIB = 1024 * 1024
OLD, NEW = filled("old", 5 * MIB), filled("new", 6 * MIB)
OTHER = ArtifactName("demo", "other")
ELSEWHERE = ArtifactName("second", "thing")


@pytest.fixture
def pushed(world: World) -> World:
    world.push({"a": b"1", "b": OLD})
    world.push({"a": b"1", "b": OLD, "c": NEW})
    world.push({"x": OLD}, OTHER)
    world.push({"x": b"small"}, ELSEWHERE)
    world.move("prod", "1")
    return world


@pytest.mark.parametrize("without_keys", [True, False])
def test_a_whole_store_has_no_findings(pushed: World, without_keys: bool) -> None:
    findings, report = verify_store(pushed.reopened(), without_keys=without_keys)

    assert findings == []
    assert report.object_count == len(pushed.keys())
    assert report.verified_bytes == sum(
        item.size_bytes for item, _ in pushed.bucket.objects()
    )
    assert (report.artifact_count, report.version_count) == (3, 4)
    assert (report.damaged_count, report.repaired_count) == (0, 0)


def test_a_damaged_pack_is_told_once_with_all_that_it_hits(pushed: World) -> None:
    pack, data = list(stored(pushed, "packs/"))[1]
    flip(pushed, pack, data, 8 * 3 * MIB)

    findings, report = verify_store(pushed.reopened())

    assert [finding.object for finding in findings] == [pack.key]
    assert findings[0].reason == Reason.CHUNK_CORRUPT.value
    assert hits(findings[0]) == {
        "demo/minilm@1": (("b",), ("prod",)),
        "demo/minilm@2": (("b",), ("latest",)),
        "demo/other@1": (("x",), ("latest",)),
    }
    assert (report.damaged_count, report.repaired_count) == (1, 0)


def test_a_pack_that_is_gone_is_told_with_what_it_hits(pushed: World) -> None:
    pack, _ = next(stored(pushed, "packs/"))
    pushed.bucket.delete_version(pack.key, pack.version_id)

    findings, _ = verify_store(pushed.reopened())

    assert [(item.object, item.reason) for item in findings] == [
        (pack.key, "CHUNK_MISSING")
    ]
    assert hits(findings[0]) == {"demo/minilm@2": (("c",), ("latest",))}


def test_damage_in_padding_hits_nobody_but_is_told(world: World) -> None:
    world.push({"b": filled("b", 5 * MIB)})
    pack, data = next(stored(world, "packs/"))
    flip(world, pack, data, 8 * (len(data) - 300))

    findings, report = verify_store(world)

    assert [(item.object, item.at_risk) for item in findings] == [(pack.key, ())]
    assert report.damaged_count == 1
    assert world.pull()["b"] == filled("b", 5 * MIB)


def test_a_damaged_page_puts_all_of_its_files_at_risk(world: World) -> None:
    world.push({"a": OLD, "b": NEW})
    table, data = list(stored(world, "packs/"))[-1]
    flip(world, table, data, 8 * 100)

    findings, _ = verify_store(world.reopened())

    (risk,) = findings[0].at_risk
    assert (findings[0].object, risk.paths, risk.path_count) == (table.key, (), 2)


def test_one_damaged_journal_does_not_stop_the_others(pushed: World) -> None:
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)
    entry, body = entries_of(pushed, OTHER)[1]
    flip(pushed, entry, body, 8 * 500)

    findings, report = verify_store(pushed.reopened())

    assert [finding.object for finding in findings] == [entry.key, pack.key]
    assert findings[0].reason in {"JOURNAL_CORRUPT", "SIGNATURE_INVALID"}
    assert report.artifact_count == 2


def test_a_gap_in_a_journal_is_found_without_keys(pushed: World) -> None:
    entry, _ = entries_of(pushed)[1]
    pushed.bucket.delete_version(entry.key, entry.version_id)

    findings, _ = verify_store(pushed, without_keys=True)

    assert [finding.object for finding in findings] == [entry.key]
    assert "gone" in findings[0].message


def test_an_entry_that_was_swapped_for_an_older_one_is_found(pushed: World) -> None:
    first, second = entries_of(pushed)[:2]
    pushed.bucket.corrupt(second[0].key, second[0].version_id, first[1])

    findings, _ = verify_store(pushed, without_keys=True)

    assert [finding.object for finding in findings] == [second[0].key]


def test_a_journal_that_was_forked_breaks_its_chain(world: World) -> None:
    world.push({"a": b"1"})
    fork = forked(world)
    fork.push({"a": b"of the fork"})
    world.push({"a": b"2"})
    world.push({"a": b"3"})
    entries = entries_of(world)
    _, other = entries_of(fork)[2]
    # Signed by the same keys, at the same place, behind the same entry.
    item, _ = entries[2]
    world.bucket.corrupt(item.key, item.version_id, other)

    findings, _ = verify_store(world, without_keys=True)

    assert [finding.object for finding in findings] == [entries[3][0].key]
    assert "follow" in findings[0].message


def forked(world: World) -> World:
    """The same store, on a bucket of its own from here on."""
    bucket = MemoryBlobStore()
    for item, data in world.bucket.objects():
        bucket.put_new(item.key, data)
    return world.reopened(blobs=bucket)


def test_no_domain_key_is_opened_without_keys(pushed: World) -> None:
    fresh = pushed.reopened()
    asked: list[str] = []

    def refuse(kek: str, context: bytes, wrapped: str) -> bytes:
        asked.append(kek)
        raise AssertionError(kek)

    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)
    fresh.key_service.unwrap = refuse  # type: ignore[method-assign]

    findings, _ = verify_store(fresh, without_keys=True)

    assert [finding.object for finding in findings] == [pack.key]
    assert findings[0].at_risk == ()
    assert asked == []


def test_a_project_and_an_artifact_are_verified_alone(pushed: World) -> None:
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)

    clean, report = verify_store(pushed, ProjectName("second"))
    found, _ = verify_store(pushed, ProjectName("demo"))
    other, narrow = verify_store(pushed, OTHER)

    assert (clean, report.artifact_count) == ([], 1)
    assert [finding.object for finding in found] == [pack.key]
    assert (other, narrow.version_count) == ([], 1)


@pytest.mark.parametrize(
    "scope", [ProjectName("no"), ArtifactName("demo", "no"), ArtifactName("no", "a")]
)
def test_what_does_not_exist_is_not_verified(
    pushed: World, scope: ProjectName | ArtifactName
) -> None:
    with pytest.raises(NotFoundError):
        verify_store(pushed, scope)


def test_without_keys_there_are_no_names(pushed: World) -> None:
    with pytest.raises(InvalidArgumentError):
        verify_store(pushed, ARTIFACT, without_keys=True)


def test_a_pack_that_several_versions_share_is_read_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even if memory holds no pack that was read.
    monkeypatch.setattr(pack_reads, "_KEPT_BYTES", 1)
    counting = CountingBlobs(world.bucket)
    for number in range(5):
        world.push({"a": OLD, "b": str(number).encode()})
    fresh = world.reopened(blobs=counting)
    big = {item.key for item, _ in stored(world, "packs/") if item.size_bytes > MIB}

    _, report = verify_store(fresh)

    assert [counting.reads.count(key) for key in big] == [1]
    assert report.version_count == 5
    assert report.verified_bytes < 6 * MIB


def test_versions_in_the_trash_are_verified(pushed: World) -> None:
    pushed.push({"last": b"one"})
    pushed.retention.delete(
        VersionName(ARTIFACT, "2"), reason="r", request_id="d", caller=CALLER
    )
    pack, _ = next(stored(pushed, "packs/"))
    pushed.bucket.delete_version(pack.key, pack.version_id)

    findings, _ = verify_store(pushed)

    assert [list(hits(finding)) for finding in findings] == [["demo/minilm@2"]]


def test_old_versions_can_be_left_out() -> None:
    clock = ManualClock()
    with ThreadPoolExecutor(2) as executor:
        world = World(clock=clock, executor=executor)
        world.push({"a": OLD})
        clock.advance(10 * 86_400)
        world.push({"b": NEW})
        _, everything = verify_store(world)
        items = list(world.store_verification.verify(None, committed_within_days=5))

    report = items[-1]
    assert everything.version_count == 2
    assert report.version_count == 1  # type: ignore[union-attr]


def test_packs_that_nobody_needs_are_counted_and_no_damage(pushed: World) -> None:
    data = filled("z", 4 * MIB)
    with pushed.begin() as upload:
        upload.start_file("z", size_bytes=len(data), executable=False)
        for offset in range(0, len(data), MIB):
            upload.write(data[offset : offset + MIB], offset_bytes=offset)
        upload.end_file("sha256:" + hashlib.sha256(data).hexdigest())
        # Broken off: what is stored is garbage until somebody pushes it again.

    findings, report = verify_store(pushed)

    assert findings == []
    assert report.unreferenced_count == 1
    assert report.unreferenced_bytes > 4 * MIB


@pytest.mark.parametrize("without_keys", [True, False])
def test_a_run_goes_on_where_its_token_says(
    pushed: World, without_keys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PROGRESS_BYTES", 1)
    pack, data = next(stored(pushed, "packs/"))
    flip(pushed, pack, data, 8 * MIB)
    verification = StoreVerification(pushed.repository)
    tokens, told = [""], set()

    # Every run is cut off after its first new token, or finding.
    for _ in range(200):
        run = verification.verify(
            None, without_keys=without_keys, resume_token=tokens[-1]
        )
        for item in run:
            if isinstance(item, StoreFinding):
                told.add(item.object)
            elif isinstance(item, StoreProgress) and item.resume_token != tokens[-1]:
                tokens.append(item.resume_token)
                break
        else:
            break

    assert len(tokens) == len(set(tokens)) > 3
    assert told == {pack.key}


def test_a_token_of_something_else_is_refused(pushed: World) -> None:
    verify = pushed.store_verification.verify
    token = next(
        item.resume_token for item in verify(None) if isinstance(item, StoreProgress)
    )

    with memory_world() as other, pytest.raises(InvalidArgumentError):
        other.store_verification.verify(None, resume_token=token)
    with pytest.raises(InvalidArgumentError):
        verify(ProjectName("demo"), resume_token=token)
    with pytest.raises(InvalidArgumentError):
        verify(None, without_keys=True, resume_token=token)
    for bad in ("x", token[:-4], token + "A", "é", "A" * 5000):
        with pytest.raises(InvalidArgumentError):
            verify(None, resume_token=bad)


@pytest.mark.parametrize("without_keys", [True, False])
def test_the_rate_is_kept_and_the_caller_hears_of_it(without_keys: bool) -> None:
    clock = ManualClock()
    with ThreadPoolExecutor(2) as executor:
        world = World(clock=clock, executor=executor)
        world.push({"a": OLD, "b": NEW})
        begin = clock.monotonic()
        items = list(
            world.store_verification.verify(
                None, without_keys=without_keys, max_bytes_per_second=MIB // 10
            )
        )

    report = items[-1]
    seconds = clock.monotonic() - begin
    rate = report.verified_bytes / seconds  # type: ignore[union-attr]
    assert rate == pytest.approx(MIB // 10, rel=0.01)
    # Nobody waits longer than five seconds for a word.
    assert max(clock.sleeps) <= 5.0
    assert len(items) >= seconds // 5


@pytest.mark.parametrize("at", ["manifests/", "packs/"])
def test_what_a_sweep_takes_meanwhile_is_no_damage(world: World, at: str) -> None:
    world.push({"gone": OLD})
    world.push({"kept": NEW})
    set_policy(world, ArtifactPolicy(trash_days=0))
    delete(world, 1)
    sweeper = Sweeper(world)
    sweeper.sweep()
    assert len(world.keys("packs/")) == 4

    # Between the look at the journal and the one at its first version.
    fresh = world.reopened(blobs=InterruptedBlobs(world.bucket, at, sweeper.sweep))
    findings, report = verify_store(fresh)

    assert findings == []
    assert report.version_count == 2
    assert len(world.keys("packs/")) == 2


class InterruptedBlobs(TamperingBlobStore):
    """Does something once, before an object below a prefix is read."""

    def __init__(
        self, inner: BlobStore, prefix: str, interrupt: Callable[[], object]
    ) -> None:
        super().__init__(inner)
        self._prefix = prefix
        self._interrupt = interrupt
        self._done = False

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        if key.startswith(self._prefix) and not self._done:
            self._done = True
            self._interrupt()
        return super().get(key, version_id=version_id, max_bytes=max_bytes)


class CountingBlobs(TamperingBlobStore):
    """Notes which objects are read."""

    def __init__(self, inner: BlobStore) -> None:
        super().__init__(inner)
        self.reads: list[str] = []

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        self.reads.append(key)
        return super().get(key, version_id=version_id, max_bytes=max_bytes)
