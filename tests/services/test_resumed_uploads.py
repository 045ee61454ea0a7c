# SPDX-License-Identifier: Apache-2.0
"""Resumed uploads: another attempt, on any server, goes on from what is durable."""

import pytest

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
)
from strongroom.format.names import ArtifactName
from strongroom_server.core.records import Action
from strongroom_server.repository.domains import Domain, domains_of
from strongroom_server.repository.marking import Marker
from strongroom_server.services.uploads import Position
from tests.support.damage import one_byte_changed
from tests.support.resumed import (
    FILES,
    MIB,
    REQUEST,
    SMALL,
    begin,
    commit,
    finish,
    record_eagerly,
    send,
    send_rest,
)
from tests.support.samples import filled
from tests.support.world import ARTIFACT, World


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    record_eagerly(monkeypatch)


def test_an_upload_that_was_left_goes_on_elsewhere_in_the_middle_of_a_file(
    world: World,
) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 35 * MIB))
    assert world.keys("journals/") == []

    position, stored_bytes = finish(world.reopened())

    assert position.file_count == len(SMALL)
    assert position.last_path == max(SMALL)
    assert position.open_path == "b"
    assert position.offset_bytes == 32 * MIB
    assert position.received_bytes == position.offset_bytes + 20 * 5000
    assert stored_bytes < 41 * MIB - position.offset_bytes


def test_an_upload_whose_server_was_killed_goes_on_from_its_last_record(
    world: World,
) -> None:
    upload = begin(world)
    send(upload, FILES, until=("b", 39 * MIB))
    # No `__exit__`: nobody was there any more to clean up.

    position, _ = finish(world.reopened())

    assert position.file_count == len(SMALL)
    assert position.offset_bytes == 32 * MIB


def test_an_upload_goes_on_again_and_again(world: World) -> None:
    offsets = []
    for end in (18, 20, 34, 39):
        with begin(world) as upload:
            offsets.append(upload.position.offset_bytes)
            send(upload, FILES, until=("b", end * MIB))

    position, _ = finish(world.reopened())

    assert offsets == [0, 16 * MIB, 16 * MIB, 32 * MIB]
    assert position.offset_bytes == 32 * MIB


def test_a_short_upload_leaves_no_record(world: World) -> None:
    with begin(world) as upload:
        send(upload, SMALL)
        commit(upload, SMALL)

    assert world.keys("uploads/") == []
    assert len(world.keys("journals/")) == 2


def test_nothing_is_recorded_of_an_upload_that_is_not_resumable(world: World) -> None:
    with world.begin(request_id=REQUEST) as upload:
        send(upload, FILES, until=("b", 35 * MIB))

    assert world.keys("uploads/") == []
    with begin(world) as again:
        assert again.position == Position()


def test_records_tell_nothing_in_clear(world: World) -> None:
    with begin(world) as upload:
        send(upload, {"secret-name": filled("x", 20 * MIB)}, until=("secret-name", 0))
        upload.write(b"plain" * 100, offset_bytes=0)

    for blob, data in world.bucket.objects():
        if blob.key.startswith("uploads/"):
            assert REQUEST.encode() not in data
            assert b"secret-name" not in data
            assert REQUEST not in blob.key


def test_a_commit_whose_answer_was_lost_gives_the_same_version_again(
    world: World,
) -> None:
    with begin(world) as upload:
        send(upload, FILES)
        first = commit(upload, FILES)

    with begin(world.reopened()) as again:
        send(again, FILES)
        second = commit(again, FILES)

    assert again.position.received_bytes > 0
    assert first.version == second.version
    assert world.versions() == [1]


def test_of_two_attempts_at_once_the_older_one_ends(world: World) -> None:
    older = begin(world)
    send(older, FILES, until=("b", 24 * MIB))

    with begin(world.reopened()) as newer:
        assert newer.position.open_path == "b"
        with pytest.raises(ConflictError) as caught:
            send_rest(older, 24 * MIB)
        assert caught.value.reason is Reason.UPLOAD_CONFLICT
        send(newer, FILES)
        assert commit(newer, FILES).version.number == 1
    older.__exit__(None, None, None)

    assert world.reopened().pull() == FILES


def test_two_attempts_from_the_start_cannot_both_record(world: World) -> None:
    first, second = begin(world), begin(world.reopened())
    send(first, FILES, until=("b", 24 * MIB))

    with pytest.raises(ConflictError) as caught:
        send(second, FILES, until=("b", 24 * MIB))

    assert caught.value.reason is Reason.UPLOAD_CONFLICT


def test_an_attempt_that_ended_late_does_not_disturb_the_next(world: World) -> None:
    older, newer = begin(world), begin(world.reopened())
    send(older, FILES, until=("b", 3 * MIB))
    older.__exit__(None, None, None)

    send(newer, FILES)
    assert commit(newer, FILES).version.number == 1


def test_what_is_gone_meanwhile_is_sent_again(world: World) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 39 * MIB))
    bucket = world.bucket
    for blob, data in bucket.objects():
        if blob.key.startswith("packs/") and len(data) < 4 * MIB:
            bucket.corrupt(blob.key, blob.version_id, b"")

    position, _ = finish(world.reopened())

    assert position == Position()


def test_a_damaged_chunk_of_the_open_file_is_sent_again(world: World) -> None:
    with begin(world) as upload:
        send(upload, {"b": filled("b", 50 * MIB)}, until=("b", 49 * MIB))
    bucket = world.bucket
    large = [item for item in bucket.objects() if len(item[1]) > 4 * MIB]
    blob, data = large[1]
    bucket.corrupt(blob.key, blob.version_id, data[: 8 * MIB] + data[: 8 * MIB])

    with begin(world.reopened()) as again:
        offset = again.position.offset_bytes
        send(again, {"b": filled("b", 50 * MIB)})
        commit(again, {"b": filled("b", 50 * MIB)})

    assert offset in {0, 16 * MIB, 32 * MIB}
    assert world.reopened().verify()[1].damaged_count == 0


@pytest.mark.parametrize("number", [0, -1])
def test_a_damaged_record_costs_what_it_held(world: World, number: int) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 39 * MIB))
    bucket = world.bucket
    records = [item for item in bucket.objects() if item[0].key.startswith("uploads/")]
    blob, data = records[number]
    bucket.corrupt(blob.key, blob.version_id, one_byte_changed(data))

    position, _ = finish(world.reopened())

    assert position == Position()


def test_a_record_of_another_upload_is_not_taken(world: World) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 20 * MIB))
    with begin(world, request_id="another") as other:
        send(other, {"z": filled("z", 20 * MIB)}, until=("z", 19 * MIB))
    bucket = world.bucket
    records = [item for item in bucket.objects() if item[0].key.startswith("uploads/")]
    by_folder = {item[0].key.rpartition("/")[0]: item for item in records}
    (first, _), (_, data) = by_folder.values()
    bucket.corrupt(first.key, first.version_id, data)

    for request_id in (REQUEST, "another"):
        with begin(world.reopened(), request_id=request_id) as again:
            assert again.position.file_count in {0, len(SMALL)}
            assert again.position.last_path in {"", max(SMALL)}


def test_another_file_than_the_open_one_is_refused(world: World) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 35 * MIB))

    with begin(world) as again:
        with pytest.raises(InvalidArgumentError):
            again.write(b"x", offset_bytes=0)
        for path, size_bytes in (("b", 1), ("bb", len(FILES["b"]))):
            with pytest.raises(ConflictError) as caught:
                again.start_file(path, size_bytes=size_bytes, executable=False)
            assert caught.value.reason is Reason.SOURCE_CHANGED
    assert world.keys("journals/") == []


def test_a_source_that_changed_meanwhile_commits_nothing(world: World) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 35 * MIB))
    changed = {**FILES, "b": FILES["b"][:MIB] + bytes(39 * MIB)}

    with begin(world) as again, pytest.raises(IntegrityError) as caught:
        send(again, changed)

    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert world.keys("journals/") == []


def the_domain(world: World) -> Domain:
    (project,) = world.repository.projects.all()
    (domain,) = domains_of(world.repository, project)
    return domain


def test_the_records_name_every_pack_that_going_on_needs(world: World) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 39 * MIB))
    repository = world.repository
    domain = the_domain(world)
    keys = repository.keyring.open(domain.scope)

    (stored,) = repository.upload_records.live(keys)
    packs = set(repository.upload_records.packs(keys, stored))

    assert stored.request_id == REQUEST
    assert [item.key for item in stored.objects] == world.keys("uploads/")
    assert {key.rpartition("/")[2] for key in world.keys("packs/")} >= packs
    assert len(packs) == 3
    marker, newest_s = Marker(repository), stored.objects[-1].modified_s
    assert marker.mark_uploads(domain, {}, modified_after_s=newest_s) == []
    assert {pack.hex() for pack in marker.marks.packs} == packs
    assert marker.marks.records == set(world.keys("uploads/"))


def test_an_upload_that_is_too_old_needs_nothing(world: World) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 20 * MIB))
    domain, marker = the_domain(world), Marker(world.repository)
    later_s = world.bucket.time_s() + 1

    over = marker.mark_uploads(domain, {}, modified_after_s=later_s)

    assert [item.key for item in over] == world.keys("uploads/")
    assert marker.marks.packs == set()


def test_an_upload_with_a_damaged_record_keeps_nothing_but_its_records(
    world: World,
) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 39 * MIB))
    domain, marker = the_domain(world), Marker(world.repository)
    blob, data = next(
        item for item in world.bucket.objects() if item[0].key.startswith("uploads/")
    )
    world.bucket.corrupt(blob.key, blob.version_id, one_byte_changed(data))

    assert marker.mark_uploads(domain, {}, modified_after_s=0.0) == []
    assert marker.marks.packs == set()


def test_the_request_of_a_resumed_upload_stands_in_the_journal(world: World) -> None:
    with begin(world) as upload:
        send(upload, FILES, until=("b", 20 * MIB))
    finish(world)

    history = world.repository.artifact(ARTIFACT).history
    assert (Action.COMMIT, "", REQUEST) in history.requests


def test_what_a_killed_attempt_stored_is_shared_by_others(world: World) -> None:
    upload = begin(world)
    send(upload, FILES, until=("b", 39 * MIB))  # and its server is killed
    finish(world.reopened())

    other = world.reopened().push(FILES, ArtifactName("demo", "other"))

    assert other.version.stored_bytes < MIB
    upload.__exit__(None, None, None)
