# SPDX-License-Identifier: Apache-2.0
"""A store with a project that tests shred, and one that lives on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.services.shredding import Approval
from tests.support.clock import ManualClock
from tests.support.world import CALLER, World, memory_world

DEAD: Final = ProjectName("dead")
GONE: Final = ArtifactName("dead", "model")
KEPT: Final = ArtifactName("kept", "model")
APPROVAL: Final = Approval("ap-1", ("operator:bob",))


@contextmanager
def doomed_world() -> Iterator[World]:
    """Yield a store with a project of two versions and a ref, and another one."""
    with memory_world(clock=ManualClock()) as made:
        made.push({"a": b"secret" * 1000}, GONE)
        made.push({"a": b"secret" * 1000, "b": b"more"}, GONE)
        made.move("prod", "1", GONE)
        made.push({"a": b"other"}, KEPT)
        yield made


def shred(world: World, name: ProjectName = DEAD) -> bytes:
    """Shred a project as an approved person does."""
    return world.shredding.shred(
        name,
        reason="the contract ended",
        request_id="request-1",
        caller=CALLER,
        approval=APPROVAL,
    )


def refused(call: Callable[[], object]) -> Reason:
    """Make a call that the state forbids; return why."""
    with pytest.raises(PreconditionError) as caught:
        call()
    return caught.value.reason
