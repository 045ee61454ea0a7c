# SPDX-License-Identifier: Apache-2.0
"""Two servers of one store that keep approvals, and whose keys they believe."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.ports import Approved
from strongroom_server.services.approving import Approving
from tests.support.clock import ManualClock
from tests.support.security_keys import (
    ALICE,
    BOB,
    CAROL,
    METHOD,
    REQUEST,
    KnownKeys,
    TestKey,
    approving_of,
)
from tests.support.world import World

BOBS = TestKey("bob-1", BOB)
BOBS_OTHER = TestKey("bob-2", BOB)
CAROLS = TestKey("carol-1", CAROL)
ALICES = TestKey("alice-1", ALICE)


@dataclass
class Desk:
    """Two servers of one store."""

    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        blobs = MemoryBlobStore(self.clock)
        self.world = World(blobs=blobs, clock=self.clock)
        self.keys = KnownKeys(BOBS, BOBS_OTHER, CAROLS, ALICES)
        self.book = approving_of(self.world, self.keys)
        self.other = approving_of(self.world.reopened(), self.keys)


@contextmanager
def opened_desk() -> Iterator[Desk]:
    """Yield two servers on one clock."""
    desk = Desk()
    yield desk
    desk.world.executor.shutdown()


def check(book: Approving, approval_id: str, **other: object) -> Approved:
    """Look whether alice's request is approved; `other` says what differs."""
    wanted: dict[str, object] = {
        "method": METHOD, "request": REQUEST, "requester": ALICE, **other
    }  # fmt: skip
    return book.check(approval_id, **wanted)  # type: ignore[arg-type]
