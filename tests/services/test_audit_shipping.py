# SPDX-License-Identifier: Apache-2.0
"""Servers' events come together in one log: none lost, none twice, none reordered."""

import contextlib
import random
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.core import layout
from strongroom_server.ports import BlobVersion
from strongroom_server.services.auditing import shipping
from tests.support.audit_worlds import AuditWorld
from tests.support.clock import ManualClock
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.waiting import wait_until


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path)


def batch_objects(audits: AuditWorld) -> list[BlobVersion]:
    prefix = layout.audit_batches_prefix("main")
    return list(audits.world.blobs.first_versions(prefix))


def refuse_start(audits: AuditWorld, name: str, match: str) -> None:
    with (
        pytest.raises(IntegrityError, match=match) as error,
        audits.server(name),
    ):
        pass
    assert error.value.reason is Reason.AUDIT_CORRUPT


def test_a_shared_event_is_in_the_store_on_return(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        audit_id = server.record("one")

        [entry] = audits.entries()
        assert entry.audit_id == audit_id
        assert entry.body["detail"] == {"mark": "one"}


def test_other_events_follow_by_themselves(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        for turn in range(50):
            server.record(str(turn), shared=False)

    assert audits.marks() == [str(turn) for turn in range(50)]


def test_lines_for_which_nobody_waits_go_together_once_they_are_many_or_one_is_needed(
    audits: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "LINGER_S", 60.0)
    monkeypatch.setattr(shipping, "FULL", 4)
    with audits.server("a") as server:
        for turn in range(3):
            server.record(str(turn), shared=False)
        assert batch_objects(audits) == []

        server.record("3", shared=False)
        wait_until(lambda: len(batch_objects(audits)) == 1)

        server.record("4", shared=False)
        assert len(batch_objects(audits)) == 1
        server.record("5")
        assert len(batch_objects(audits)) == 2

    assert audits.marks() == [str(turn) for turn in range(6)]


def test_two_servers_write_one_log(audits: AuditWorld) -> None:
    with audits.server("a") as first, audits.server("b") as second:
        for turn in range(10):
            first.record(f"a{turn}")
            second.record(f"b{turn}")

    # An event that was answered before another began stands before it.
    assert audits.marks() == [f"{name}{turn}" for turn in range(10) for name in "ab"]


def test_events_of_many_threads_of_three_servers_are_each_there_once(
    audits: AuditWorld,
) -> None:
    with (
        audits.server("a") as first,
        audits.server("b") as second,
        audits.server("c") as third,
        ThreadPoolExecutor(12) as pool,
    ):
        servers = (first, second, third)

        def work(worker: int) -> list[str]:
            server = servers[worker % 3]
            return [
                server.record(f"{worker}/{turn}", shared=turn % 2 == 0)
                for turn in range(20)
            ]

        ids = [item for found in pool.map(work, range(12)) for item in found]

    entries = audits.entries()
    assert sorted(entry.audit_id for entry in entries) == sorted(ids)
    marks = [entry.body["detail"]["mark"] for entry in entries]
    for worker in range(12):
        own = [mark for mark in marks if mark.startswith(f"{worker}/")]
        assert own == [f"{worker}/{turn}" for turn in range(20)]


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.UNAVAILABLE])
def test_a_write_whose_answer_is_lost_is_there_once(
    audits: AuditWorld, fault: Fault
) -> None:
    blobs = FaultyBlobStore(audits.world.blobs)
    with audits.server("a", blobs=blobs) as server:
        for turn in range(6):
            blobs.queue("put_new", *[fault] * turn)
            server.record(str(turn))

    assert audits.marks() == [str(turn) for turn in range(6)]


def test_a_lost_answer_beside_another_server_is_no_second_entry(
    audits: AuditWorld,
) -> None:
    blobs = FaultyBlobStore(audits.world.blobs)
    with audits.server("a", blobs=blobs) as first, audits.server("b") as second:
        for turn in range(6):
            second.record(f"b{turn}")
            blobs.queue("put_new", Fault.UNAVAILABLE, Fault.ANSWER_LOST)
            blobs.queue("first_versions", Fault.UNAVAILABLE)
            first.record(f"a{turn}")
            blobs.calm()

    assert sorted(audits.marks()) == sorted(
        f"{name}{turn}" for turn in range(6) for name in "ab"
    )


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_every_answered_event_is_there_once(
    audits: AuditWorld, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(shipping, "RETRY_S", 0.001)
    dice = random.Random(seed)
    blobs = {name: FaultyBlobStore(audits.world.blobs) for name in "abc"}
    answered: list[str] = []
    for turn in range(12):
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(audits.server(name, blobs=blobs[name]))
                for name in dice.sample("abc", 2)
            ]
            for _ in range(dice.randrange(1, 8)):
                for store in blobs.values():
                    faults = dice.choices(list(Fault)[:3], weights=(5, 1, 1), k=3)
                    store.queue(
                        dice.choice(("put_new", "first_versions", "get")), *faults
                    )
                server = dice.choice(servers)
                with contextlib.suppress(UnavailableError):
                    mark = f"{turn}/{len(answered)}"
                    answered.append(server.record(mark, shared=dice.random() < 0.5))
        for store in blobs.values():
            store.calm()  # A start needs the store; the end did not wait for it.
    for name in "abc":
        with audits.server(name):
            pass

    counts = Counter(entry.audit_id for entry in audits.entries())
    assert all(counts[audit_id] == 1 for audit_id in answered)
    assert set(counts.values()) == {1}
    assert len(answered) > 12


def test_a_server_that_died_ships_what_is_on_its_disk(audits: AuditWorld) -> None:
    blobs = FaultyBlobStore(audits.world.blobs)
    with audits.server("a", blobs=blobs) as server:
        server.record("before")
        blobs.queue("put_new", *[Fault.UNAVAILABLE] * 1000)
        for turn in range(5):
            server.record(str(turn), shared=False)
    blobs.calm()
    assert audits.marks() == ["before"]

    with audits.server("a") as server:
        server.record("after")

    assert audits.marks() == ["before", "0", "1", "2", "3", "4", "after"]


@pytest.mark.parametrize("keep_mark", [True, False])
def test_what_a_dying_server_had_sent_is_not_sent_again(
    audits: AuditWorld, tmp_path: Path, keep_mark: bool
) -> None:
    with audits.server("a") as server:
        server.record("0")
        old = (tmp_path / "a" / "shipped").read_bytes()
        server.record("1")
        server.record("2")
    # The mark is a note that a crash may lose, or take back.
    if keep_mark:
        (tmp_path / "a" / "shipped").write_bytes(old)
    else:
        (tmp_path / "a" / "shipped").unlink()

    with audits.server("a") as server:
        server.record("3")

    assert audits.marks() == ["0", "1", "2", "3"]


def test_a_new_server_goes_on_from_the_newest_batch_alone(
    audits: AuditWorld,
) -> None:
    with audits.server("a") as server:
        for turn in range(10):
            server.record(f"a{turn}")
    blobs = FaultyBlobStore(audits.world.blobs)

    with audits.server("b", blobs=blobs) as server:
        assert blobs.calls.count("get") == 1
        server.record("b0")

    assert audits.marks() == [*(f"a{turn}" for turn in range(10)), "b0"]


def test_events_for_which_nobody_waits_go_together(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        for turn in range(100):
            server.record(str(turn), shared=False)
        server.record("last")

    assert len(batch_objects(audits)) <= 3
    assert len(audits.entries()) == 101


def test_a_log_that_lost_its_tail_is_refused(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        for turn in range(5):
            server.record(str(turn))
    for item in batch_objects(audits)[3:]:
        audits.world.bucket.delete_version(item.key, item.version_id)

    refuse_start(audits, "a", "ends before entry 5, .* tail is cut off")


def test_a_log_with_a_hole_is_refused(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        for turn in range(5):
            server.record(str(turn))
    item = batch_objects(audits)[2]
    audits.world.bucket.delete_version(item.key, item.version_id)

    refuse_start(audits, "b", "batch 2 of the audit log is gone")


def test_another_log_in_the_same_place_is_refused(
    audits: AuditWorld, tmp_path: Path
) -> None:
    other = AuditWorld(tmp_path / "other", world=audits.world.reopened())
    with audits.server("a") as server:
        server.record("0")
    item = batch_objects(audits)[0]
    audits.world.bucket.delete_version(item.key, item.version_id)
    with other.server("b") as server:
        server.record("another")

    refuse_start(audits, "a", "two views of it differ")


def test_a_changed_batch_is_refused(audits: AuditWorld) -> None:
    with audits.server("b") as server:
        server.record("seen")
    with audits.server("a") as server:
        for turn in range(3):
            server.record(str(turn))
    _, first, second, _ = batch_objects(audits)
    data = audits.world.blobs.get(
        first.key, version_id=first.version_id, max_bytes=2**20
    )
    for wrong in (data[:-1], data + b"x", data[:200] + b"\0" + data[201:], b""):
        audits.world.bucket.corrupt(second.key, second.version_id, wrong)
        refuse_start(audits, "b", "batch 2 of the audit log is damaged")
    # A batch of this log, at another place.
    audits.world.bucket.corrupt(second.key, second.version_id, data)
    refuse_start(audits, "b", "batch 2 of the audit log is damaged")


def test_a_delete_marker_and_an_overwrite_change_nothing(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        server.record("0")
        server.record("1")
        for item in batch_objects(audits):
            audits.world.bucket.add_delete_marker(item.key)
        server.record("2")
        last = batch_objects(audits)[-1]
        audits.world.bucket.overwrite(last.key, b"junk")
        server.record("3")

    with audits.server("b") as server:
        server.record("4")
    assert audits.marks() == ["0", "1", "2", "3", "4"]


def test_a_copied_folder_cannot_write_twice(audits: AuditWorld, tmp_path: Path) -> None:
    with audits.server("a") as server:
        server.record("0")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    with audits.server("a") as server:
        server.record("1")

    # The copy does not know of the second event, and would number its own alike.
    refuse_start(audits, "copy", "older than what it has put into the store")
    assert audits.marks() == ["0", "1"]


def test_new_calls_are_refused_while_the_store_lags(tmp_path: Path) -> None:
    clock = ManualClock()
    audits = AuditWorld(tmp_path, clock=clock)
    blobs = FaultyBlobStore(audits.world.blobs)
    gate = threading.Event()
    with audits.server("a", blobs=_Gated(blobs, gate)) as server:
        server.record("0", shared=False)
        clock.advance(shipping.MAX_LAG_S + 1)

        with pytest.raises(UnavailableError, match="events wait for") as error:
            server.record("1", shared=False)
        gate.set()

        assert error.value.reason is Reason.AUDIT_UNAVAILABLE
        server.shipper.wait_for(0)
        server.record("2", shared=False)
    assert audits.marks() == ["0", "2"]


def test_a_change_is_refused_when_the_store_does_not_answer(
    audits: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "SHARED_TIMEOUT_S", 0.05)
    gate = threading.Event()
    with audits.server("a", blobs=_Gated(audits.world.blobs, gate)) as server:
        with pytest.raises(UnavailableError, match="does not take it"):
            server.record("0")
        gate.set()

    # It was on disk, so it is told: something was asked for, and refused.
    assert audits.marks() == ["0"]


class _Gated(FaultyBlobStore):
    """A store whose writes wait at a gate."""

    def __init__(self, store: object, gate: threading.Event) -> None:
        super().__init__(store)  # type: ignore[arg-type]
        self._gate = gate

    def put_new(self, key: str, data: bytes | bytearray | memoryview) -> str:
        self._gate.wait(10)
        return super().put_new(key, data)
