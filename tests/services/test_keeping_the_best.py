# SPDX-License-Identifier: Apache-2.0
"""Sweeps keep the best versions, as they are at the very moment of the sweep."""

import uuid

from strongroom.format.names import ArtifactName, RefName, VersionName
from strongroom_server.core.records import ArtifactPolicy, VersionState
from tests.support.sweeps import Sweeper, content, hold, set_policy
from tests.support.world import ARTIFACT, CALLER, World

BEST = ArtifactPolicy(
    keep_best=2, best_by="metric:loss", best_order="min", trash_days=0
)


def save(world: World, loss: str | None) -> None:
    metadata = {} if loss is None else {"metric:loss": loss}
    data = content(f"loss {loss} {uuid.uuid4()}", 1000)
    with world.begin(metadata=metadata) as upload:
        upload.start_file("model", size_bytes=len(data), executable=False)
        upload.write(data, offset_bytes=0)
        upload.end_file(None)
        upload.commit(file_count=1, digest=upload._content.digest)


def states(world: World, artifact: ArtifactName = ARTIFACT) -> dict[int, VersionState]:
    page = world.artifacts.list_versions(artifact, page_size=0, page_token="")
    return {item.number: item.state for item in page.items}


def live(world: World) -> set[int]:
    return {
        number for number, state in states(world).items() if state is VersionState.LIVE
    }


def test_a_sweep_keeps_the_best_and_the_newest(world: World) -> None:
    for loss in ("3", "0.5", None, "0.2", "7"):
        save(world, loss)
    set_policy(world, BEST)
    world.refs.move(
        RefName(ARTIFACT, "prod"),
        version="1",
        etag="",
        reason="",
        request_id=str(uuid.uuid4()),
        validate_only=False,
        caller=CALLER,
    )
    hold(world, 3)

    Sweeper(world).sweep()

    assert live(world) == {1, 2, 3, 4, 5}
    hold(world, 3, lift=True)
    Sweeper(world).sweep()
    assert live(world) == {1, 2, 4, 5}
    assert states(world)[3] is VersionState.DELETED


def test_a_plan_takes_nothing_that_has_become_the_best_since(world: World) -> None:
    for loss in ("1", "2", "3", "4"):
        save(world, loss)
    set_policy(world, BEST)
    sweeper = Sweeper(world)
    plan = sweeper.plan()
    assert [item.version for item in plan.trash] == [3]
    world.retention.delete(
        VersionName(ARTIFACT, "1"),
        reason="",
        request_id=str(uuid.uuid4()),
        caller=CALLER,
    )

    sweeper.apply(plan)

    # With 1 in the trash, 3 is the second best.
    assert states(world)[3] is VersionState.LIVE


def test_a_policy_survives_a_restart_and_is_told(world: World) -> None:
    save(world, "1")
    made = set_policy(world, BEST)

    again = world.reopened()

    assert made.policy == BEST
    assert again.artifacts.get_artifact(ARTIFACT).policy == BEST
    [told] = again.retention.explain(ARTIFACT).versions
    assert told.keeping.causes == (
        "it is the newest",
        "its metric:loss, 1, is among the 2 lowest",
    )
