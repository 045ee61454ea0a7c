# SPDX-License-Identifier: Apache-2.0
"""A store with two servers where alice asks, and bob and carol approve."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.errors import Reason
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.approval_log import Approval
from strongroom_server.core.approvals import Assertion
from strongroom_server.ports import Approved
from strongroom_server.services.approving import Approving
from tests.security.attacks import Attack, Try, reasons
from tests.support.clock import ManualClock
from tests.support.security_keys import (
    ALICE,
    BASTION,
    BOB,
    CAROL,
    METHOD,
    REQUEST,
    KnownKeys,
    TestKey,
    approving_of,
    asked,
)
from tests.support.world import World

BOBS, BOBS_OTHER = TestKey("bob-1", BOB), TestKey("bob-2", BOB)
CAROLS, ALICES = TestKey("carol-1", CAROL), TestKey("alice-1", ALICE)
ROBOT = TestKey("robot-1", "spiffe://test/ns/a/sa/robot/job/1")
#: Looks like bob's key, with a private key of the attacker's.
FORGED: Final = replace(BOBS, private=ec.generate_private_key(ec.SECP256R1()))
OTHER_METHOD: Final = "/strongroom.v1.KeyService/RewrapSlots"

Deed = Callable[["Desk"], object]


@dataclass
class Desk:
    """Two servers of one store, and what alice has asked for."""

    world: World
    clock: ManualClock
    keys: KnownKeys
    book: Approving
    other: Approving
    approval: Approval

    @property
    def name(self) -> str:
        return self.approval.request.approval_id

    def approve(
        self,
        key: TestKey,
        *,
        who: str = "",
        challenge: bytes = b"",
        workload: str = BASTION,
        change: Callable[[Assertion], Assertion] = lambda said: said,
    ) -> Approval:
        said = key.sign(challenge or self.approval.request.challenge)
        return self.book.approve(
            self.name,
            change(said),
            principal=who or key.operator,
            workload=workload,
            audit_id="log-1",
        )

    def check(
        self,
        book: Approving | None = None,
        *,
        name: str = "",
        method: str = METHOD,
        request: bytes = REQUEST,
        requester: str = ALICE,
    ) -> Approved:
        return (book or self.book).check(
            name or self.name, method=method, request=request, requester=requester
        )

    def run(self, book: Approving | None = None) -> None:
        chosen = book or self.book
        approved = self.check(chosen)
        chosen.use(approved)
        chosen.finish(approved)


@contextmanager
def opened_desk() -> Iterator[Desk]:
    clock = ManualClock()
    world = World(blobs=MemoryBlobStore(clock), clock=clock)
    keys = KnownKeys(BOBS, BOBS_OTHER, CAROLS, ALICES, ROBOT)
    book, other = approving_of(world, keys), approving_of(world.reopened(), keys)
    try:
        yield Desk(world, clock, keys, book, other, asked(book))
    finally:
        world.executor.shutdown()


def with_desk(deed: Deed) -> Try:
    def attempt() -> None:
        with opened_desk() as desk:
            deed(desk)

    return attempt


def desk_attack(
    name: str,
    by: Reason | tuple[Reason | str, ...],
    honest: Deed,
    deeds: Sequence[Deed],
) -> Attack:
    refusals = by if isinstance(by, tuple) else (by,)
    return Attack(name, reasons(*refusals), with_desk(honest), [*map(with_desk, deeds)])


def give_approval(desk: Desk) -> None:
    desk.approve(BOBS)


def approve_and_run(desk: Desk) -> None:
    desk.approve(BOBS)
    desk.run()


def then(*deeds: Deed) -> Deed:
    def all_of_them(desk: Desk) -> None:
        for deed in deeds:
            deed(desk)

    return all_of_them
