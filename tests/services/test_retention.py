# SPDX-License-Identifier: Apache-2.0
"""Deleting, undeleting, holding: each once, whoever repeats it, whatever it meets."""

import pytest

from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.records import ArtifactPolicy, VersionState
from strongroom_server.services.retention import Retention
from tests.support.samples import filled
from tests.support.sweeps import delete, hold, set_policy, undelete
from tests.support.world import ARTIFACT, World


def pushed(world: World, count: int = 3) -> None:
    for number in range(1, count + 1):
        world.push({"a.bin": b"%d" % number * 1000, "same": b"same"})


def test_a_deleted_version_cannot_be_read_and_comes_back(world: World) -> None:
    pushed(world)

    record = delete(world, 2)

    assert (record.state, record.number) == (VersionState.DELETED, 2)
    assert record.purge_time is not None
    for use in (lambda: world.pull("2"), lambda: world.move("prod", "2")):
        with pytest.raises(PreconditionError) as caught:
            use()
        assert caught.value.reason is Reason.VERSION_DELETED
    assert undelete(world, 2).state is VersionState.LIVE
    assert world.reopened().pull("2") == {"a.bin": b"2" * 1000, "same": b"same"}


def test_the_next_version_never_takes_a_number_again(world: World) -> None:
    pushed(world)
    delete(world, 3)

    result = world.push({"a.bin": b"4" * 1000})

    assert result.version.number == 4


def test_content_that_is_in_the_trash_is_pushed_as_a_new_version(world: World) -> None:
    pushed(world, 2)
    delete(world, 2)

    result = world.push({"a.bin": b"2" * 1000, "same": b"same"})

    assert (result.unchanged, result.version.number) == (False, 3)


def test_content_equal_to_the_newest_that_can_be_read_is_unchanged(
    world: World,
) -> None:
    pushed(world, 2)
    delete(world, 2)

    result = world.push({"a.bin": b"1" * 1000, "same": b"same"})

    assert (result.unchanged, result.version.number) == (True, 1)


def test_a_change_is_made_once_however_often_it_is_asked_for(world: World) -> None:
    pushed(world)
    for _ in range(2):
        delete(world, 1, request_id="d")
        hold(world, 2, request_id="h")
        set_policy(world, ArtifactPolicy(keep_last=2), request_id="p")
    before = len(world.repository.artifact(ARTIFACT).history.entries)

    undelete(world, 1, request_id="u")
    delete(world, 1, request_id="d")

    entries = world.repository.artifact(ARTIFACT).history.entries
    assert (before, len(entries)) == (7, 8)
    assert world.pull("1")


def test_a_request_id_that_did_something_else_is_refused(world: World) -> None:
    pushed(world)
    delete(world, 1, request_id="r")
    hold(world, 1, request_id="r")
    set_policy(world, ArtifactPolicy(keep_last=2), request_id="r")

    for again in (
        lambda: delete(world, 2, request_id="r"),
        lambda: hold(world, 2, request_id="r"),
        lambda: hold(world, 1, lift=True, request_id="r"),
        lambda: set_policy(world, ArtifactPolicy(keep_last=3), request_id="r"),
    ):
        with pytest.raises(InvalidArgumentError):
            again()
    assert world.pull("2")


def test_a_ref_that_a_request_moved_elsewhere_is_not_moved_again(world: World) -> None:
    pushed(world)
    world.move("prod", "1", request_id="r")

    assert world.move("prod", "1", request_id="r").version == 1
    with pytest.raises(InvalidArgumentError):
        world.move("prod", "2", request_id="r")


def test_what_a_ref_points_at_or_a_hold_keeps_is_not_deleted(world: World) -> None:
    pushed(world)
    world.move("prod", "1")
    hold(world, 2)

    for version, reason in ((1, Reason.VERSION_IN_USE), (2, Reason.LEGAL_HOLD)):
        with pytest.raises(PreconditionError) as caught:
            delete(world, version)
        assert caught.value.reason is reason
    hold(world, 2, lift=True)
    hold(world, 0)
    with pytest.raises(PreconditionError) as caught:
        delete(world, 2)
    assert caught.value.reason is Reason.LEGAL_HOLD


def test_only_checking_changes_nothing(world: World) -> None:
    pushed(world)

    delete(world, 1, validate_only=True)

    assert len(world.repository.artifact(ARTIFACT).history.entries) == 4


def test_what_is_not_there_cannot_be_deleted(world: World) -> None:
    pushed(world)

    with pytest.raises(NotFoundError):
        delete(world, 9)
    with pytest.raises(NotFoundError):
        delete(world, 1, ArtifactName("demo", "nothing"))
    with pytest.raises(InvalidArgumentError):
        set_policy(world, ArtifactPolicy(codec="best"))
    with pytest.raises(InvalidArgumentError):
        delete(world, 1, request_id="x" * 129)


def test_records_tell_state_hold_and_policy(world: World) -> None:
    pushed(world)
    hold(world, 0)
    set_policy(world, ArtifactPolicy(keep_last=2))

    artifact = world.artifacts.get_artifact(ARTIFACT)
    version = world.artifacts.get_version(VersionName(ARTIFACT, "1"))

    assert (artifact.held, artifact.policy) == (True, ArtifactPolicy(keep_last=2))
    assert (version.held, version.state) == (True, VersionState.LIVE)


def test_explaining_tells_what_goes_with_a_version(world: World) -> None:
    world.push({"a.bin": filled("a", 500_000), "b.bin": filled("b", 300_000)})
    world.push({"a.bin": filled("a", 500_000), "b.bin": filled("c", 400_000)})
    world.move("prod", "1")
    set_policy(world, ArtifactPolicy(keep_last=1))

    report = Retention(world.repository).explain(ARTIFACT)
    one = Retention(world.repository).explain(VersionName(ARTIFACT, "1"))

    newest, oldest = report.versions
    assert (newest.keeping.version, oldest.keeping.version) == (2, 1)
    assert oldest.keeping.causes == ("ref prod points at it",)
    assert 300_000 < oldest.exclusive_bytes < 310_000
    assert 400_000 < newest.exclusive_bytes < 410_000
    assert one.versions == (oldest,)


def test_changes_of_many_servers_all_stand(world: World) -> None:
    pushed(world)
    others = [world.reopened() for _ in range(3)]
    for number, other in enumerate(others, 1):
        hold(other, number)

    assert world.repository.artifact(ARTIFACT).history.held == {1, 2, 3}
    with pytest.raises((ConflictError, PreconditionError)):
        delete(world, 1)
