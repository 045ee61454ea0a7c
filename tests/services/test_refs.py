# SPDX-License-Identifier: Apache-2.0
"""Refs: every move is recorded, conditional if asked, and can be undone."""

import pytest

from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName
from strongroom_server.core.records import Action
from strongroom_server.services.refs import NO_REF
from tests.support.world import ARTIFACT, CALLER, World


@pytest.fixture
def pushed(world: World) -> World:
    for number in range(1, 4):
        world.push({"a": str(number).encode()})
    return world


def test_a_ref_points_where_it_was_moved(pushed: World) -> None:
    record = pushed.move("prod", "2")

    assert record.version == 2
    assert pushed.pull("prod") == {"a": b"2"}
    assert pushed.reopened().pull("prod") == {"a": b"2"}


@pytest.mark.parametrize("selector", ["2", "latest~1", "prod", "prod~1"])
def test_a_ref_can_be_moved_to_any_selector(pushed: World, selector: str) -> None:
    pushed.move("prod", "2")
    pushed.move("prod", "2" if selector == "prod" else "1")

    assert pushed.move("test", selector).version == 2


def test_a_rollback_can_be_rolled_back(pushed: World) -> None:
    pushed.move("prod", "1")
    pushed.move("prod", "3")

    assert pushed.move("prod", "prod~1").version == 1
    assert pushed.move("prod", "prod~1").version == 3
    page = pushed.artifacts.list_journal(ARTIFACT, page_size=4, page_token="")
    assert [(item.previous_version, item.version) for item in page.items] == [
        (1, 3), (3, 1), (1, 3), (0, 1),
    ]  # fmt: skip
    assert {item.action for item in page.items} == {Action.MOVE_REF}
    assert {item.actor for item in page.items} == {CALLER.principal}


def test_a_move_with_the_right_etag_succeeds_and_gives_the_next(pushed: World) -> None:
    first = pushed.move("prod", "1", etag=NO_REF)
    second = pushed.move("prod", "2", etag=first.etag)

    assert first.etag != second.etag
    assert pushed.artifacts.get_artifact(ARTIFACT).refs == (second,)


@pytest.mark.parametrize("etag", [NO_REF, '"0"', '"3"', "4", "*"])
def test_a_ref_that_moved_is_not_overwritten(pushed: World, etag: str) -> None:
    pushed.move("prod", "1")

    with pytest.raises(ConflictError) as caught:
        pushed.move("prod", "2", etag=etag)

    assert caught.value.reason is Reason.REF_MOVED
    assert pushed.pull("prod") == {"a": b"1"}


def test_a_ref_that_does_not_exist_has_no_other_etag(pushed: World) -> None:
    with pytest.raises(ConflictError):
        pushed.move("prod", "1", etag='"1"')


def test_a_repeated_request_moves_once(pushed: World) -> None:
    first = pushed.move("prod", "1", request_id="r")

    again = pushed.move("prod", "1", request_id="r")
    elsewhere = pushed.reopened().move("prod", "1", request_id="r")

    assert first == again == elsewhere


def test_a_repeated_request_does_not_undo_what_came_after(pushed: World) -> None:
    pushed.move("prod", "1", request_id="r")
    later = pushed.move("prod", "2")

    assert pushed.move("prod", "1", request_id="r") == later
    assert pushed.pull("prod") == {"a": b"2"}


def test_a_request_id_of_something_else_does_not_count(world: World) -> None:
    world.push({"a": b"1"}, request_id="r")
    world.move("prod", "1")
    world.push({"a": b"2"})

    assert world.move("prod", "2", request_id="r").version == 2
    assert world.move("test", "1", request_id="r").version == 1
    assert world.move("test", "1", request_id="r/create").version == 1
    assert world.pull("prod") == {"a": b"2"}


def test_a_move_that_is_only_checked_moves_nothing(pushed: World) -> None:
    before = pushed.keys()

    checked = pushed.move("prod", "2", validate_only=True)
    unchanged = pushed.keys()
    moved = pushed.move("prod", "2")

    assert unchanged == before
    assert (checked.version, checked.etag) == (moved.version, moved.etag)


def test_latest_cannot_be_moved(pushed: World) -> None:
    with pytest.raises(PreconditionError) as caught:
        pushed.move("latest", "1")

    assert caught.value.reason is Reason.REF_RESERVED


@pytest.mark.parametrize("version", ["4", "prod", "prod~1", "sha256:ffffff"])
def test_a_ref_cannot_point_at_nothing(pushed: World, version: str) -> None:
    with pytest.raises(NotFoundError):
        pushed.move("prod", version)


def test_a_ref_of_nothing_cannot_be_moved(pushed: World) -> None:
    with pytest.raises(NotFoundError):
        pushed.move("prod", "1", ArtifactName("demo", "nothing"))


@pytest.mark.parametrize("request_id", ["", "r" * 129])
def test_a_move_needs_a_request_id_of_a_sane_length(
    pushed: World, request_id: str
) -> None:
    with pytest.raises(InvalidArgumentError):
        pushed.refs.move(
            pushed.move("prod", "1").name,
            version="1",
            etag="",
            reason="",
            request_id=request_id,
            validate_only=False,
            caller=CALLER,
        )


def test_a_reason_has_a_limit_that_can_be_read_back(pushed: World) -> None:
    name = pushed.move("prod", "1").name
    for reason, fits in (("\0" * 1000, True), ("r" * 1001, False)):
        call = {"version": "2", "etag": "", "reason": reason, "request_id": reason[:9]}
        if fits:
            pushed.refs.move(name, **call, validate_only=False, caller=CALLER)
        else:
            with pytest.raises(InvalidArgumentError):
                pushed.refs.move(name, **call, validate_only=False, caller=CALLER)

    page = pushed.reopened().artifacts.list_journal(
        ARTIFACT, page_size=1, page_token=""
    )
    assert page.items[0].reason == "\0" * 1000
