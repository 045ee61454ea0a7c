# SPDX-License-Identifier: Apache-2.0
"""A project with an artifact that has a key domain of its own, and one that has not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.scope import Scope
from tests.support.clock import ManualClock
from tests.support.shredding import APPROVAL
from tests.support.world import CALLER, World, memory_world

PROJECT: Final = ProjectName("demo")
#: Has a key domain of its own.
ALONE: Final = ArtifactName("demo", "alone")
#: Another one that has, and lives on.
OTHER: Final = ArtifactName("demo", "other")
#: In the key domain of its project.
SHARED: Final = ArtifactName("demo", "shared")
SECRET: Final = {"a": b"the same secret" * 1000, "b": b"more"}


@contextmanager
def exclusive_world() -> Iterator[World]:
    """Yield a store in which three artifacts of one project have the same content."""
    with memory_world(clock=ManualClock()) as world:
        world.push(SECRET, ALONE, exclusive=True)
        world.push({"a": b"a second version"}, ALONE)
        world.move("prod", "1", ALONE)
        world.push(SECRET, OTHER, exclusive=True)
        world.push(SECRET, SHARED)
        yield world


def scope_of(world: World, name: ArtifactName) -> Scope:
    """Return the key domain of an artifact."""
    return world.repository.artifact(name).scope


def shred_artifact(world: World, name: ArtifactName = ALONE) -> bytes:
    """Shred an artifact as an approved person does."""
    return world.shredding.shred(
        name,
        reason="consent was withdrawn",
        request_id="request-1",
        caller=CALLER,
        approval=APPROVAL,
    )
