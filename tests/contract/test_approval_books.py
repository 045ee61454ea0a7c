# SPDX-License-Identifier: Apache-2.0
"""Both books of approvals keep the contract."""

from collections.abc import Iterator

import pytest

from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_approvals import MemoryApprovalBook
from strongroom_server.services.approving import Approving
from tests.contract.approval_book_suite import ApprovalBookSuite, Make
from tests.support.clock import ManualClock
from tests.support.security_keys import (
    ALICE,
    BOB,
    CAROL,
    METHOD,
    REQUEST,
    KnownKeys,
    TestKey,
    approve,
    approving_of,
    asked,
)
from tests.support.world import World

KEYS = {BOB: TestKey("bob-1", BOB), CAROL: TestKey("carol-1", CAROL)}


class TestMemoryBook(ApprovalBookSuite):
    @pytest.fixture
    def book(self, clock: ManualClock) -> MemoryApprovalBook:
        return MemoryApprovalBook(clock)

    @pytest.fixture
    def make(self, book: MemoryApprovalBook) -> Make:
        def make(*approvers: str, denied: bool = False) -> str:
            name = "6ae72d44-616d416eec"
            book.approve(
                name,
                method=METHOD,
                request=REQUEST,
                requester=ALICE,
                approvers=approvers,
            )
            if denied:
                book.deny(name)
            return name

        return make


class TestBookInTheBucket(ApprovalBookSuite):
    @pytest.fixture
    def book(self, clock: ManualClock) -> Iterator[Approving]:
        world = World(blobs=MemoryBlobStore(clock), clock=clock)
        yield approving_of(world, KnownKeys(*KEYS.values()))
        world.executor.shutdown()

    @pytest.fixture
    def make(self, book: Approving) -> Make:
        def make(*approvers: str, denied: bool = False) -> str:
            approval = asked(book)
            for who in approvers:
                approve(book, approval, KEYS[who])
            name = approval.request.approval_id
            if denied:
                book.deny(name, "no", principal=CAROL, audit_id="log-1")
            return name

        return make
