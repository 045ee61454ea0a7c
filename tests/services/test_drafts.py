# SPDX-License-Identifier: Apache-2.0
"""Drafts: parts of several processes become one version, or none."""

import pytest

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.core.draft_record import MAX_FILES
from strongroom_server.core.records import Kind
from strongroom_server.services.uploads import PartStart
from tests.support.drafts import DRAFT, begin, commit, put, send
from tests.support.samples import filled
from tests.support.sweeps import digest_of
from tests.support.world import ARTIFACT, CALLER, World

BIG = filled("big", 3 * 1024 * 1024)


def test_parts_through_several_servers_become_one_version(world: World) -> None:
    put(world, {"b": b"2", "d/e": BIG})
    put(world.reopened(), {"a": b"1", "c.sh": b"3"})

    assert world.keys("journals/") == []
    result = commit(world.reopened(), expected=4, message="of four")

    files = {"a": b"1", "b": b"2", "c.sh": b"3", "d/e": BIG}
    assert world.reopened().pull() == files
    assert (result.version.number, result.version.message) == (1, "of four")
    assert not result.unchanged
    assert world.verify()[1].damaged_count == 0


def test_a_version_of_a_draft_has_the_digest_of_the_same_push(world: World) -> None:
    put(world, {"z": b"2"})
    put(world, {"a": BIG})
    drafted = commit(world).version

    pushed = world.push({"a": BIG, "z": b"2"})

    assert pushed.unchanged
    assert pushed.version.digest == drafted.digest


def test_files_of_the_base_stay_unless_a_part_has_or_removes_them(
    world: World,
) -> None:
    world.push({"a": b"1", "b": b"2", "d/x": b"3", "d/y": b"4", "dd": b"5"})
    put(world, {"b": b"new", "c": b"6"}, removed=("d/",))

    commit(world, base_newest=True)

    assert world.pull() == {"a": b"1", "b": b"new", "c": b"6", "dd": b"5"}


def test_a_draft_may_build_on_an_older_version(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"b": b"2"})
    put(world, {"c": b"3"})

    commit(world, base_version=1)

    assert world.pull() == {"a": b"1", "c": b"3"}


def test_a_draft_may_only_remove(world: World) -> None:
    world.push({"a": b"1", "b": b"2"})
    put(world, {}, removed=("a", "was-never-there"))

    commit(world, base_newest=True, expected=1)

    assert world.pull() == {"b": b"2"}


def test_a_draft_may_leave_nothing(world: World) -> None:
    world.push({"a": b"1"})
    put(world, {}, removed=("a",))

    assert commit(world, base_newest=True).version.file_count == 0


def test_a_path_that_two_parts_have_is_refused_by_name(world: World) -> None:
    put(world, {"a": b"1", "b": b"2"})
    put(world, {"a": b"3"})

    with pytest.raises(ConflictError, match="'a'") as caught:
        commit(world)
    assert caught.value.reason is Reason.PATH_DUPLICATE

    put(world, {"a": b"4"}, replaces=True)
    commit(world)
    assert world.pull() == {"a": b"4", "b": b"2"}


def test_a_removal_takes_what_earlier_parts_put_and_not_what_later_ones_do(
    world: World,
) -> None:
    put(world, {"a": b"1", "d/b": b"2", "d/c": b"3"})
    put(world, {"d/c": b"4"}, removed=("a", "d/"))
    put(world, {"a": b"5"})

    commit(world)

    assert world.pull() == {"a": b"5", "d/c": b"4"}


def test_files_below_a_file_are_refused(world: World) -> None:
    put(world, {"a": b"1"})
    put(world, {"a/b": b"2"})

    with pytest.raises(InvalidArgumentError) as caught:
        commit(world)

    assert caught.value.reason is Reason.PATH_MALFORMED
    assert world.keys("journals/") == []


def test_a_part_that_was_left_counts_for_nothing(world: World) -> None:
    put(world, {"a": b"1"})
    with begin(world) as left:
        left.start_file("b", size_bytes=10, executable=False)
        left.write(b"12345", offset_bytes=0)

    commit(world)

    assert world.pull() == {"a": b"1"}


def test_a_file_of_unknown_size_ends_where_it_ends(world: World) -> None:
    files = {
        "a": b"",
        "b": b"1",
        "c": filled("c", 16 * 1024 * 1024),
        "d": filled("d", 40 * 1024 * 1024 + 7),
    }
    put(world, files, sized=False)

    commit(world)

    assert world.pull() == files
    again = put(world, files, sized=False, draft_id="draft-0000000000000001")
    assert again.stored_bytes == 0


def test_damage_on_the_way_of_a_file_of_unknown_size_is_found(world: World) -> None:
    with begin(world) as part:
        part.start_file("a", size_bytes=None, executable=False)
        part.write(b"1", offset_bytes=0)
        with pytest.raises(IntegrityError) as caught:
            part.end_file(digest_of(b"2"))

    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_a_copy_moves_no_bytes(world: World) -> None:
    world.push({"old/x.sh": BIG, "y": b"2"}, executables=frozenset({"old/x.sh"}))
    with begin(world) as part:
        part.remove("old/x.sh")
        part.copy_file("new/x.sh", version="1", source_path="old/x.sh")
        result = part.finish(file_count=1)

    commit(world, base_newest=True)

    assert (result.size_bytes, result.stored_bytes) == (len(BIG), 0)
    assert world.pull() == {"new/x.sh": BIG, "y": b"2"}


@pytest.mark.parametrize(
    ("version", "path"), [("1", "nothing"), ("2", "a"), ("latest", "b/")]
)
def test_a_copy_of_what_is_not_there_is_refused(
    world: World, version: str, path: str
) -> None:
    world.push({"a": b"1"})

    with begin(world) as part, pytest.raises(NotFoundError):
        part.copy_file("x", version=version, source_path=path)


def test_a_copy_into_an_artifact_that_is_not_there_is_refused(world: World) -> None:
    world.push({"a": b"1"})
    other = type(ARTIFACT)(ARTIFACT.project, "other")

    with begin(world, artifact=other) as part, pytest.raises(NotFoundError):
        part.copy_file("x", version="1", source_path="a")


@pytest.mark.parametrize(
    "draft_id", ["", "short", "x" * 101, "with/slash-0123456789", "with space-012345"]
)
def test_a_draft_id_is_long_and_plain(world: World, draft_id: str) -> None:
    with pytest.raises(InvalidArgumentError, match="draft id"):
        begin(world, draft_id=draft_id)


def test_a_part_has_a_bound(world: World) -> None:
    with begin(world) as part:
        for number in range(MAX_FILES):
            part.start_file(f"{number:06d}", size_bytes=0, executable=False)
            part.end_file(digest_of(b""))
        with pytest.raises(InvalidArgumentError, match="at most 10000 files"):
            part.start_file("z", size_bytes=0, executable=False)


def test_drafts_of_other_artifacts_have_nothing_to_do_with_each_other(
    world: World,
) -> None:
    other = type(ARTIFACT)(ARTIFACT.project, "other")
    put(world, {"a": b"1"})
    put(world, {"b": b"2"}, artifact=other)

    commit(world)
    commit(world, artifact=other)

    assert world.pull() == {"a": b"1"}
    assert world.pull(artifact=other) == {"b": b"2"}


def test_records_of_drafts_tell_nothing_in_clear(world: World) -> None:
    put(world, {"secret-name": b"1"}, removed=("other-name",))

    for blob, data in world.bucket.objects():
        if blob.key.startswith("uploads/"):
            assert DRAFT not in blob.key
            for text in (DRAFT, "secret-name", "other-name", CALLER.principal):
                assert text.encode() not in data


def test_the_kind_of_an_artifact_holds_for_drafts(world: World) -> None:
    world.push({"a": b"1"}, kind=Kind.DATASET)
    start = PartStart(ARTIFACT, DRAFT, "a-part", kind=Kind.CHECKPOINT)

    with pytest.raises(StrongroomError) as caught:
        world.drafts.begin_part(start, caller=CALLER)

    assert caught.value.reason is Reason.KIND_MISMATCH


def test_parts_go_into_the_key_domain_of_their_artifact(world: World) -> None:
    put(world, {"a": BIG}, exclusive=True)
    put(world, {"b": b"2"})

    commit(world)

    assert world.repository.artifact(ARTIFACT).exclusive
    assert world.reopened().pull() == {"a": BIG, "b": b"2"}


def test_a_part_that_wants_a_key_domain_alone_is_refused_where_it_is_shared(
    world: World,
) -> None:
    world.push({"a": b"1"})

    with pytest.raises(PreconditionError) as caught:
        put(world, {"b": b"2"}, exclusive=True)

    assert caught.value.reason is Reason.DOMAIN_SHARED


def test_a_part_is_refused_if_its_artifact_was_made_with_another_key_domain(
    world: World,
) -> None:
    put(world, {"a": b"1"})
    part = begin(world)
    send(part, {"b": b"2"})
    put(world.reopened(), {"c": b"3"}, exclusive=True)

    with pytest.raises(ConflictError) as caught:
        part.finish(file_count=1)

    assert caught.value.reason is Reason.JOURNAL_CONTENDED
    assert commit(world, expected=1).version.file_count == 1
    assert world.pull() == {"c": b"3"}
