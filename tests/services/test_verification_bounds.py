# SPDX-License-Identifier: Apache-2.0
"""Verifying a store within bounds: of memory, and of what may be asked for."""

from collections.abc import Iterator

import pytest

from strongroom.errors import InvalidArgumentError
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.verify_records import StoreFinding, StoreProgress
from strongroom_server.services.store_verification.version_stage import (
    VersionStage,
    _Part,
)
from tests.support.copies import flip, stored, verify_store
from tests.support.samples import filled
from tests.support.sweeps import abort
from tests.support.world import World, memory_world

MIB = 1024 * 1024


def test_what_is_known_of_damaged_packs_does_not_hold_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[object] = []
    tell = VersionStage._tell

    def look(
        stage: VersionStage, part: _Part, keys: DomainKeys
    ) -> Iterator[StoreFinding | StoreProgress]:
        errors = [bad.error for bad in stage._reads.bad.values()]
        held.extend((error.__traceback__, error.__context__) for error in errors)
        return tell(stage, part, keys)

    monkeypatch.setattr(VersionStage, "_tell", look)
    with memory_world() as world:
        world.push({"a": filled("a", 5 * MIB), "b": filled("b", 6 * MIB)})
        for item, data in list(stored(world, "packs/"))[:2]:
            flip(world, item, data, 8 * MIB)

        verify_store(world.reopened())

    assert held == [(None, None)] * 2


@pytest.mark.parametrize("days", [-1, 36_501, 2**62])
def test_a_number_of_days_that_no_calendar_has_is_refused(
    world: World, days: int
) -> None:
    with pytest.raises(InvalidArgumentError):
        list(world.store_verification.verify(None, committed_within_days=days))


@pytest.mark.parametrize("prefix", ["manifests/", "journals/", "packs/", "projects/"])
def test_nothing_is_called_unneeded_where_not_everything_could_be_read(
    world: World, prefix: str
) -> None:
    world.push({"a": filled("a", 5 * MIB)})
    abort(world)
    assert verify_store(world.reopened())[1].unreferenced_count > 0
    item, data = list(stored(world, prefix))[-1]
    flip(world, item, data, 8 * (len(data) - 60))

    report = verify_store(world.reopened())[1]

    assert report.damaged_count > 0
    assert (report.unreferenced_count, report.unreferenced_bytes) == (0, 0)
