# SPDX-License-Identifier: Apache-2.0
"""Use cases that are interrupted: artifacts with keys of their own, and shredding."""

from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.services.shredding import Approval
from tests.support.samples import filled
from tests.support.world import ARTIFACT, CALLER, World

REQUEST = "the-request"
#: A small file, and one with a pack of its own.
FILES = {"a": b"1" * 100, "big": filled("big", 4 * 1024 * 1024)}
#: An artifact of a project that is going to be shredded.
DOOMED = ArtifactName("doomed", "model")
#: Another one, which has a key domain of its own.
ALONE = ArtifactName("doomed", "alone")


def sweep(world: World) -> None:
    *_, plan = world.sweeping.plan()
    assert isinstance(plan, SweepPlan)
    for _ in world.sweeping.apply(
        world.sweeping.encode(plan), reason="", request_id=REQUEST, caller=CALLER
    ):
        pass


def stored_after_sweeps(world: World) -> object:
    for _ in range(4):
        sweep(world)
    fresh = world.reopened()
    return len(fresh.keys("packs/")), len(fresh.keys("manifests/"))


def prepare_project(world: World) -> None:
    # A KEK of a project that was not made whole is left behind: its id is random.
    world.artifacts.create_project("demo", caller=CALLER, request_id="before")


def push_exclusive(world: World) -> object:
    return world.push(FILES, request_id=REQUEST, exclusive=True).version


def create_exclusive(world: World) -> object:
    return world.artifacts.create_artifact(
        ARTIFACT,
        kind=None,
        exclusive=True,
        may_create_project=True,
        caller=CALLER,
        request_id=REQUEST,
    )


def keks_of_exclusive(world: World) -> object:
    """Make it once more; tell whether no KEK is left of an attempt."""
    create_exclusive(world)
    return len(world.key_service._keks), len(world.keys("keys/"))


def prepare_doomed(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"2"}, DOOMED)
    world.push({"a": b"3"}, DOOMED)


def shred(world: World) -> object:
    return world.shredding.shred(
        ProjectName(DOOMED.project),
        reason="a reason",
        request_id=REQUEST,
        caller=CALLER,
        approval=Approval("an-approval", ("operator:bob",)),
    )


def left_of_doomed(world: World) -> object:
    """Sweep, and tell what is left of the doomed project: KEKs, slots, content."""
    shred(world)
    return (
        len(world.key_service._keks),
        len(world.keys("keys/")),
        stored_after_sweeps(world),
    )


def prepare_alone(world: World) -> None:
    prepare_doomed(world)
    world.push({"a": b"3"}, ALONE, exclusive=True)


def shred_alone(world: World) -> object:
    return world.shredding.shred(
        ALONE,
        reason="a reason",
        request_id=REQUEST,
        caller=CALLER,
        approval=Approval("an-approval", ("operator:bob",)),
    )


def left_of_alone(world: World) -> object:
    """Sweep, and tell what is left of the artifact: KEKs, slots, content."""
    shred_alone(world)
    return (
        len(world.key_service._keks),
        len(world.keys("keys/")),
        stored_after_sweeps(world),
    )
