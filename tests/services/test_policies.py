# SPDX-License-Identifier: Apache-2.0
"""Policies: nobody overwrites what they have not seen; one may come first of all."""

import pytest

from strongroom.errors import (
    ConflictError,
    NotFoundError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom.format.names import ArtifactName
from strongroom_server.core.history import Committed, Created, PolicySet
from strongroom_server.core.records import ArtifactPolicy, Kind
from strongroom_server.repository.journals import Journals
from strongroom_server.services.retention import NO_ARTIFACT, Creation
from tests.support.sweeps import Sweeper, begun, commit, content, hold, set_policy
from tests.support.world import ARTIFACT, World

KEEP_TWO = ArtifactPolicy(keep_last=2)
KEEP_NINE = ArtifactPolicy(keep_last=9)
WEIGHTS = Creation(Kind.WEIGHTS, may_create_project=True)


def entries(world: World, artifact: ArtifactName = ARTIFACT) -> list[type]:
    history = world.repository.artifact(artifact).history
    return [type(item.entry) for item in history.entries]


def etag_of(world: World) -> str:
    return world.artifacts.get_artifact(ARTIFACT).policy_etag


def test_who_saw_an_older_policy_changes_nothing(world: World) -> None:
    world.push({"a": b"1"})
    seen = etag_of(world)
    other = set_policy(world, KEEP_TWO, etag=seen)

    with pytest.raises(ConflictError) as caught:
        set_policy(world, KEEP_NINE, etag=seen)

    assert caught.value.reason is Reason.POLICY_CHANGED
    assert caught.value.metadata["etag"] == other.policy_etag == etag_of(world)
    assert "strongroom policy show demo/minilm" in caught.value.hint
    assert world.artifacts.get_artifact(ARTIFACT).policy == KEEP_TWO
    assert set_policy(world, KEEP_NINE, etag=other.policy_etag).policy == KEEP_NINE


def test_a_policy_that_went_back_is_another_one_all_the_same(world: World) -> None:
    world.push({"a": b"1"})
    set_policy(world, KEEP_TWO)
    seen = etag_of(world)
    set_policy(world, KEEP_NINE)
    set_policy(world, KEEP_TWO)

    with pytest.raises(ConflictError):
        set_policy(world, KEEP_NINE, etag=seen)


def test_pushes_and_holds_do_not_disturb_who_sets_a_policy(world: World) -> None:
    world.push({"a": b"1"})
    seen = etag_of(world)
    world.push({"a": b"2"})
    hold(world, 1)

    assert set_policy(world, KEEP_TWO, etag=seen).policy == KEEP_TWO


def test_of_two_that_saw_the_same_policy_one_learns_of_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.push({"a": b"1"})
    seen = etag_of(world)
    append = Journals.append

    def overtaken(*arguments: object, **options: object) -> object:
        # Another server comes between the decision and the entry.
        monkeypatch.setattr(Journals, "append", append)
        set_policy(world.reopened(), KEEP_NINE, etag=seen)
        return append(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Journals, "append", overtaken)

    with pytest.raises(ConflictError) as caught:
        set_policy(world, KEEP_TWO, etag=seen)

    assert caught.value.reason is Reason.POLICY_CHANGED
    assert entries(world)[2:] == [PolicySet]
    assert world.artifacts.get_artifact(ARTIFACT).policy == KEEP_NINE


def test_a_repeated_request_is_done_though_its_etag_is_old_by_now(
    world: World,
) -> None:
    world.push({"a": b"1"})
    seen = etag_of(world)

    first = set_policy(world, KEEP_TWO, etag=seen, request_id="p")
    again = set_policy(world.reopened(), KEEP_TWO, etag=seen, request_id="p")

    assert first == again
    assert entries(world).count(PolicySet) == 1


def test_a_policy_comes_before_the_first_push(world: World) -> None:
    policy = ArtifactPolicy(cuts="fixed", codec="raw")

    made = set_policy(world, policy, etag=NO_ARTIFACT, creation=WEIGHTS)
    version = world.push({"a": b"1" * 1000}).version

    assert (made.kind, made.latest_version) == (Kind.WEIGHTS, 0)
    assert version.number == 1
    assert entries(world) == [Created, PolicySet, Committed]
    assert world.artifacts.get_artifact(ARTIFACT).kind is Kind.WEIGHTS
    assert world.reopened().pull() == {"a": b"1" * 1000}


def test_creating_under_one_request_id_creates_once(world: World) -> None:
    for engine in (world, world, world.reopened()):
        made = set_policy(
            engine, KEEP_TWO, etag=NO_ARTIFACT, creation=WEIGHTS, request_id="p"
        )
        assert made.policy == KEEP_TWO

    assert entries(world) == [Created, PolicySet]


def test_a_request_that_broke_off_after_creating_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, count = Journals.append, 0

    def broken(*arguments: object, **options: object) -> object:
        nonlocal count
        count += 1
        if count == 2:
            message = "S3 went away"
            raise UnavailableError(message)
        return append(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Journals, "append", broken)
    with pytest.raises(UnavailableError):
        set_policy(world, KEEP_TWO, etag=NO_ARTIFACT, creation=WEIGHTS, request_id="p")
    assert entries(world) == [Created]

    with pytest.raises(ConflictError):
        set_policy(world, KEEP_NINE, etag=NO_ARTIFACT, creation=WEIGHTS)
    made = set_policy(
        world, KEEP_TWO, etag=NO_ARTIFACT, creation=WEIGHTS, request_id="p"
    )

    assert made.policy == KEEP_TWO
    assert entries(world) == [Created, PolicySet]


def test_a_request_that_broke_off_does_not_overwrite_what_came_since(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journals.append

    def broken(*arguments: object, **options: object) -> object:
        if isinstance(arguments[3], PolicySet):
            message = "S3 went away"
            raise UnavailableError(message)
        return append(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Journals, "append", broken)
        with pytest.raises(UnavailableError):
            set_policy(
                world, KEEP_TWO, etag=NO_ARTIFACT, creation=WEIGHTS, request_id="p"
            )
    set_policy(world, KEEP_NINE, etag=etag_of(world))

    with pytest.raises(ConflictError):
        set_policy(world, KEEP_TWO, etag=NO_ARTIFACT, creation=WEIGHTS, request_id="p")

    assert world.artifacts.get_artifact(ARTIFACT).policy == KEEP_NINE


def test_what_others_made_meanwhile_is_not_taken_for_new(world: World) -> None:
    world.push({"a": b"1"}, kind=Kind.WEIGHTS)

    with pytest.raises(ConflictError) as caught:
        set_policy(world, KEEP_TWO, etag=NO_ARTIFACT, creation=WEIGHTS)
    with pytest.raises(PreconditionError) as other_kind:
        set_policy(world, KEEP_TWO, creation=Creation(Kind.DATASET))

    assert caught.value.reason is Reason.POLICY_CHANGED
    assert other_kind.value.reason is Reason.KIND_MISMATCH
    assert entries(world) == [Created, Committed]


def test_without_being_told_to_nothing_is_made(world: World) -> None:
    with pytest.raises(NotFoundError) as no_project:
        set_policy(world, KEEP_TWO, creation=Creation(Kind.WEIGHTS))
    world.push({"a": b"1"}, ArtifactName("demo", "other"))
    with pytest.raises(NotFoundError) as no_artifact:
        set_policy(world, KEEP_TWO)
    with pytest.raises(ConflictError):
        set_policy(world, KEEP_TWO, etag='"3"', creation=WEIGHTS)

    assert no_project.value.reason is Reason.PROJECT_NOT_FOUND
    assert no_artifact.value.reason is Reason.ARTIFACT_NOT_FOUND
    with pytest.raises(NotFoundError):
        world.artifacts.get_artifact(ARTIFACT)


@pytest.mark.parametrize("has_project", [False, True])
def test_only_checking_makes_nothing(world: World, *, has_project: bool) -> None:
    if has_project:
        world.push({"a": b"1"}, ArtifactName("demo", "other"))
    before = world.keys("journals/") + world.keys("projects/")

    would_be = set_policy(world, KEEP_TWO, creation=WEIGHTS, validate_only=True)

    assert (would_be.policy, would_be.kind) == (KEEP_TWO, Kind.WEIGHTS)
    assert world.keys("journals/") + world.keys("projects/") == before


def test_an_artifact_that_is_made_during_a_push_hides_no_sweep(world: World) -> None:
    """A journal without a fence is no reason to share what is condemned."""
    data = content("shared")
    world.push({"a.bin": data}, ArtifactName("demo", "other"))
    upload = begun(world, data)
    set_policy(world, ArtifactPolicy(trash_days=0), ArtifactName("demo", "other"))
    world.push({"b.bin": content("new")}, ArtifactName("demo", "other"))
    set_policy(
        world, ArtifactPolicy(keep_last=1, trash_days=0), ArtifactName("demo", "other")
    )
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()
    set_policy(world, KEEP_TWO, creation=Creation(Kind.DATASET))

    with pytest.raises(ConflictError) as caught:
        commit(upload, data)

    assert caught.value.reason is Reason.SWEEP_OVERTOOK
