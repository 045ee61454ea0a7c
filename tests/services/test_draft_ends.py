# SPDX-License-Identifier: Apache-2.0
"""How drafts end: one commit, however often it is called, or none."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import layout
from strongroom_server.core.draft_record import END_NUMBER
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.ports import BlobVersion
from strongroom_server.repository import draft_records
from strongroom_server.repository.draft_records import StoredDraft
from tests.support.damage import one_byte_changed
from tests.support.drafts import DRAFT, begin, commit, discard, put, send
from tests.support.samples import filled
from tests.support.world import CALLER, World

BIG = filled("big", 3 * 1024 * 1024)


def test_a_draft_is_committed_once(world: World) -> None:
    put(world, {"a": b"1"})

    first = commit(world)
    second = commit(world.reopened(), message="another")

    assert first.version == second.version
    assert world.versions() == [1]


def test_two_commits_at_once_make_one_version(world: World) -> None:
    put(world, {"a": b"1"})
    other = world.reopened()

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(commit, (world, other)))

    assert {item.version.number for item in found} == {1}
    assert world.versions() == [1]


def test_a_commit_answers_with_its_version_after_its_parts_are_swept(
    world: World,
) -> None:
    put(world, {"a": b"1"})
    first = commit(world)
    for _ in range(3):
        sweep(world)

    assert world.keys("uploads/") == []
    assert commit(world).version == first.version


def sweep(world: World) -> None:
    *_, plan = world.sweeping.plan()
    assert isinstance(plan, SweepPlan)
    for _ in world.sweeping.apply(
        world.sweeping.encode(plan),
        reason="",
        request_id="sweep",
        caller=CALLER,
    ):
        pass


def test_content_equal_to_the_newest_version_makes_none(world: World) -> None:
    world.push({"a": b"1"})
    put(world, {"a": b"1"})

    assert commit(world).unchanged
    assert world.versions() == [1]


def test_of_two_drafts_on_the_newest_version_none_is_lost(world: World) -> None:
    world.push({"a": b"1"})
    put(world, {"b": b"2"}, draft_id="draft-0000000000000001")
    put(world, {"c": b"3"}, draft_id="draft-0000000000000002")
    worlds = [world, world.reopened()]

    with ThreadPoolExecutor(2) as threads:
        list(
            threads.map(
                lambda number: commit(
                    worlds[number - 1],
                    draft_id=f"draft-000000000000000{number}",
                    base_newest=True,
                ),
                (1, 2),
            )
        )

    assert world.reopened().pull() == {"a": b"1", "b": b"2", "c": b"3"}
    assert world.versions() == [3, 2, 1]


def test_a_part_that_is_repeated_counts_once(world: World) -> None:
    put(world, {"a": b"1"}, request_id="the-part")
    put(world, {"a": b"1"}, request_id="the-part")

    commit(world, expected=1)

    assert world.pull() == {"a": b"1"}


def test_a_draft_that_is_not_complete_stays_open(world: World) -> None:
    put(world, {"a": b"1"})

    with pytest.raises(PreconditionError, match="1 files, not 2") as caught:
        commit(world, expected=2)
    assert caught.value.reason is Reason.DRAFT_INCOMPLETE

    put(world, {"b": b"2"})
    commit(world, expected=2)
    assert world.pull() == {"a": b"1", "b": b"2"}


def test_a_part_behind_the_commit_is_refused(world: World) -> None:
    put(world, {"a": b"1"})
    late = begin(world.reopened())
    commit(world)

    send(late, {"b": b"2"})
    with pytest.raises(PreconditionError) as caught:
        late.finish(file_count=1)
    assert caught.value.reason is Reason.DRAFT_CLOSED
    with pytest.raises(PreconditionError) as caught:
        begin(world)
    assert caught.value.reason is Reason.DRAFT_CLOSED
    assert world.pull() == {"a": b"1"}


def test_a_part_behind_the_end_of_its_draft_is_refused_before_the_commit_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit was killed between the draft's end and its journal entry."""
    put(world, {"a": b"1"})
    late = begin(world.reopened())
    send(late, {"b": b"2"})
    killed = world.reopened()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(killed.repository.journals, "append", die)
    with pytest.raises(KeyboardInterrupt):
        commit(killed)

    with pytest.raises(PreconditionError) as caught:
        late.finish(file_count=1)
    assert caught.value.reason is Reason.DRAFT_CLOSED
    commit(world)
    assert world.pull() == {"a": b"1"}


def test_a_discarded_draft_takes_nothing_and_makes_nothing(world: World) -> None:
    put(world, {"a": b"1"})
    late = begin(world)
    discard(world)
    discard(world.reopened())

    send(late, {"b": b"2"})
    for call in (
        lambda: late.finish(file_count=1),
        lambda: begin(world),
        lambda: commit(world),
    ):
        with pytest.raises(PreconditionError) as caught:
            call()
        assert caught.value.reason is Reason.DRAFT_CLOSED
    assert world.keys("journals/") == []


def test_a_committed_draft_is_not_discarded(world: World) -> None:
    put(world, {"a": b"1"})
    commit(world)

    with pytest.raises(PreconditionError) as caught:
        discard(world)

    assert caught.value.reason is Reason.DRAFT_CLOSED


def test_a_committed_draft_is_not_discarded_when_its_parts_are_swept_either(
    world: World,
) -> None:
    put(world, {"a": b"1"})
    commit(world)
    for _ in range(3):
        sweep(world)

    with pytest.raises(PreconditionError) as caught:
        discard(world)

    assert caught.value.reason is Reason.DRAFT_CLOSED
    assert world.keys("uploads/") == []


def test_nobody_waits_for_other_parts_without_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_records, "ADD_WAIT_S", 0.01)
    with ExitStack() as stack:
        for lock in world.repository.draft_records._locks:
            stack.enter_context(lock)
        with pytest.raises(ExhaustedError) as caught:
            put(world, {"a": b"1"}, request_id="part")

    assert caught.value.reason is Reason.TOO_MANY_CALLS
    put(world, {"a": b"1"}, request_id="part")
    assert commit(world, expected=1).version.number == 1


def test_a_draft_without_parts_is_not_committed(world: World) -> None:
    world.push({"a": b"1"})

    with pytest.raises(NotFoundError) as caught:
        commit(world, base_newest=True)

    assert caught.value.reason is Reason.DRAFT_NOT_FOUND


def test_a_draft_of_which_parts_are_gone_is_no_draft(world: World) -> None:
    for path in "abc":
        put(world, {path: b"1"})
    first = min(world.keys("uploads/"))
    for blob, _ in list(world.bucket.objects()):
        if blob.key == first:
            world.bucket.delete_version(blob.key, blob.version_id)

    for call in (lambda: commit(world), lambda: begin(world)):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.reason is Reason.DRAFT_NOT_FOUND


def test_who_knows_of_parts_learns_that_they_are_gone(world: World) -> None:
    number = put(world, {"a": b"1"}).number
    for blob, _ in list(world.bucket.objects()):
        if blob.key.startswith("uploads/"):
            world.bucket.delete_version(blob.key, blob.version_id)

    for call in (
        lambda: begin(world, after_part=number + 1),
        lambda: commit(world, after_part=number + 1),
    ):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.reason is Reason.DRAFT_NOT_FOUND


def test_two_servers_that_add_parts_at_once_lose_none(world: World) -> None:
    worlds = [world, world.reopened(), world.reopened()]
    put(world, {"first": b""})

    with ThreadPoolExecutor(6) as threads:
        found = list(
            threads.map(
                lambda number: put(
                    worlds[number % 3], {f"{number:02d}": bytes([number])}
                ),
                range(24),
            )
        )

    assert sorted(item.number for item in found) == list(range(1, 25))
    assert commit(world, expected=25).version.file_count == 25


def test_of_large_drafts_one_at_a_time_is_merged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, {"a": b"1"})
    records = world.repository.draft_records
    draft = StoredDraft(DRAFT, "", (BlobVersion("k", "v", 2**21, 0.0),), None)
    monkeypatch.setattr(draft_records, "LARGE_BYTES", 0)
    monkeypatch.setattr(draft_records, "LARGE_WAIT_S", 0.01)

    with records.merging(draft):
        with pytest.raises(ExhaustedError) as caught:
            commit(world)
        assert caught.value.reason is Reason.TOO_MANY_CALLS
    assert commit(world).version.number == 1


def test_a_draft_whose_records_would_be_too_long_takes_no_further_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, {"a": b"1"})
    monkeypatch.setattr(draft_records, "MAX_DRAFT_BYTES", 1000)

    with pytest.raises(ExhaustedError) as caught:
        put(world, {"b": b"1"})

    assert caught.value.reason is Reason.TOO_LARGE
    commit(world, expected=1)


def test_a_damaged_part_is_damage_and_no_smaller_version(world: World) -> None:
    put(world, {"a": b"1"})
    put(world, {"b": b"2"})
    item, data = next(
        found for found in world.bucket.objects() if found[0].key.startswith("uploads/")
    )
    world.bucket.corrupt(item.key, item.version_id, one_byte_changed(data))

    with pytest.raises(IntegrityError) as caught:
        commit(world)

    assert caught.value.reason is Reason.RECORD_CORRUPT
    assert world.keys("journals/") == []


def test_what_ends_a_draft_lies_behind_all_of_its_parts(world: World) -> None:
    put(world, {"a": b"1"})
    commit(world)

    numbers = [layout.upload_key_number(key) for key in world.keys("uploads/")]

    assert numbers == [0, END_NUMBER]


def test_a_push_with_the_id_of_a_draft_is_another_upload(world: World) -> None:
    put(world, {"a": b"1"})
    world.push({"b": b"2"}, request_id=DRAFT)

    commit(world)

    assert world.pull() == {"a": b"1"}
    assert world.versions() == [2, 1]
