# SPDX-License-Identifier: Apache-2.0
"""What was shredded is listed by name, whichever server did it."""

from collections.abc import Iterator

import pytest

from strongroom.errors import UnavailableError
from strongroom.format.names import ProjectName
from tests.support.clock import ManualClock
from tests.support.exclusive import ALONE, exclusive_world, shred_artifact
from tests.support.shredding import DEAD, KEPT, doomed_world, shred
from tests.support.world import CALLER, World


@pytest.fixture
def world() -> Iterator[World]:
    with doomed_world() as made:
        yield made


def test_nothing_is_listed_before_anything_was_shredded(world: World) -> None:
    assert world.shredding.shredded() == ()


def test_what_was_shredded_is_listed_by_every_server_the_newest_first(
    world: World,
) -> None:
    scope = world.repository.projects.get(DEAD).scope
    other = world.reopened()
    shred(world)
    assert isinstance(world.clock, ManualClock)
    world.clock.advance(60)
    shred(world, ProjectName(KEPT.project))

    for engine in (world, other, world.reopened()):
        newest, first = engine.shredding.shredded()
        assert (newest.name, first.name) == (ProjectName("kept"), DEAD)
        assert (newest.time - first.time).total_seconds() == 60
        assert (first.requester, first.reason) == (
            CALLER.principal, "the contract ended",
        )  # fmt: skip
        assert first.kek == scope.kek
        assert first.finished


def test_an_artifact_that_was_shredded_alone_is_listed_by_its_name() -> None:
    with exclusive_world() as world:
        shred_artifact(world)

        (alone,) = world.reopened().shredding.shredded()

        assert (alone.name, alone.project) == (ALONE, ProjectName(ALONE.project))
        assert alone.finished


def test_what_broke_off_is_listed_as_not_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        message = "Vault is away"
        raise UnavailableError(message)

    with monkeypatch.context() as broken:
        broken.setattr(world.destroyer, "destroy", fail)
        with pytest.raises(UnavailableError):
            shred(world)

    (begun,) = world.reopened().shredding.shredded()
    assert (begun.name, begun.finished) == (DEAD, False)
    shred(world)
    (done,) = world.shredding.shredded()
    assert done.finished
