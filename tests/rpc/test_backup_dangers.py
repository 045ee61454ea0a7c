# SPDX-License-Identifier: Apache-2.0
"""What nobody does alone to a backup: let a hold end, or lock it for years."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from strongroom.v1 import approval_service_pb2 as approval_pb
from strongroom.v1 import approval_service_pb2_grpc as approval_grpc
from strongroom.v1 import backup_service_pb2 as pb
from strongroom.v1 import backup_service_pb2_grpc as pb_grpc
from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.adapters.cedar.policies import long_locks_policy
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.services.approving import SecurityKeys
from strongroom_server.services.backups import Backups
from tests.rpc.authority import DEVELOPER
from tests.rpc.calling import refused
from tests.rpc.engine import serving_world
from tests.rpc.people import ALICE, WORKSTATION, bearing
from tests.rpc.running import Running
from tests.support.approval_desk import BOBS
from tests.support.backups import DAY_S, BackedUp
from tests.support.security_keys import (
    ORIGIN,
    RELYING_PARTY,
    KnownKeys,
    approve,
)
from tests.support.world import World

ALONE_DAYS = 60
NEEDED = ("PERMISSION_DENIED", "APPROVAL_REQUIRED")
INVALID = ("PERMISSION_DENIED", "APPROVAL_INVALID")
DENIED = ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
EXTEND = "/strongroom.v1.BackupService/ExtendBackup"
HOLD = "/strongroom.v1.BackupService/SetBackupHold"
LIFTED = pb.SetBackupHoldRequest(number=1, held=False)
HELD = pb.SetBackupHoldRequest(number=1, held=True)
AUTHORIZER = CedarAuthorizer(
    shipped_policies() | long_locks_policy(ALONE_DAYS),
    parse_assignments(
        {
            "assignments": [
                {
                    "id": f"officer-{number}",
                    "principal": principal,
                    "roles": ["security-officer"],
                    "resources": ["server"],
                }
                for number, principal in enumerate((ALICE, DEVELOPER))
            ]
        }
    ),
)


@dataclass
class Office:
    """A server with one backup, which alice and a program answer for."""

    store: BackedUp
    server: Running

    def until(self, days: float) -> pb.ExtendBackupRequest:
        """Return what asks for a lock of so many days from now."""
        seconds = int(self.store.world.clock.now().timestamp() + days * DAY_S)
        return pb.ExtendBackupRequest(number=1, until=Timestamp(seconds=seconds))

    def run(self, request: Message, approval: str = "") -> Any:  # noqa: ANN401
        """Ask as alice, who has just signed in; return what the backup is then."""
        more = {"strongroom_approval": approval} if approval else {}
        metadata = bearing(self.server.logins.sign_in("alice"), **more)
        with self.server.channel(self.server.authority.issue(WORKSTATION)) as channel:
            stub = pb_grpc.BackupServiceStub(channel)
            call: Any = (
                stub.ExtendBackup
                if isinstance(request, pb.ExtendBackupRequest)
                else stub.SetBackupHold
            )
            *_, last = call(request, timeout=30, metadata=metadata)
            return last.backup

    def ask(self, method: str, request: Message) -> approval_pb.Approval:
        """Ask as alice that somebody approves a request."""
        metadata = bearing(self.server.logins.sign_in("alice"))
        wanted = approval_pb.RequestApprovalRequest(
            method=method, request=request.SerializeToString(), reason="it is over"
        )
        with self.server.channel(self.server.authority.issue(WORKSTATION)) as channel:
            stub = approval_grpc.ApprovalServiceStub(channel)
            told: approval_pb.Approval = stub.RequestApproval(
                wanted, timeout=10, metadata=metadata
            )
        return told

    def approve(self, asked: approval_pb.Approval) -> str:
        """Have bob approve what alice asked for; return the approval."""
        book = self.store.world.approving
        name = asked.name.removeprefix("approvals/")
        approve(book, book.get(name), BOBS)
        return name


@pytest.fixture
def office() -> Iterator[Office]:
    made: list[BackedUp] = []

    def backups(world: World) -> Backups:
        made.append(BackedUp(world))
        return made[0].backups

    verifier = WebAuthnVerifier(relying_party=RELYING_PARTY, origin=ORIGIN)
    keys = SecurityKeys(RELYING_PARTY, ORIGIN, KnownKeys(BOBS), verifier)
    with serving_world(AUTHORIZER, keys=keys, backups=backups) as (world, server):
        world.push({"a": b"content" * 1000})
        made[0].take()
        yield Office(made[0], server)


def failure(call: Callable[[], object]) -> tuple[str, str]:
    failed = refused(call)
    return failed.code, failed.reason


def test_a_hold_is_set_by_one_and_lifted_by_two(office: Office) -> None:
    assert office.run(HELD).held

    assert failure(lambda: office.run(LIFTED)) == NEEDED
    assert office.store.records.load(1).is_held

    asked = office.ask(HOLD, LIFTED)
    assert asked.needed_count == 1
    assert office.ask(HOLD, HELD).needed_count == 0
    assert not office.run(LIFTED, office.approve(asked)).held


def test_a_program_lifts_no_hold_whatever_its_role(office: Office) -> None:
    with office.server.channel(office.server.authority.issue(DEVELOPER)) as channel:
        stub = pb_grpc.BackupServiceStub(channel)
        *_, held = stub.SetBackupHold(HELD, timeout=20)
        lifted = failure(lambda: list(stub.SetBackupHold(LIFTED, timeout=20)))

    assert held.backup.held
    assert lifted == DENIED


def test_a_lock_for_long_is_set_by_two(office: Office) -> None:
    long = office.until(ALONE_DAYS + 0.5)

    assert failure(lambda: office.run(long)) == NEEDED
    asked = office.ask(EXTEND, long)
    assert asked.needed_count == 1
    approval = office.approve(asked)
    longer = office.until(ALONE_DAYS + 100)
    assert failure(lambda: office.run(longer, approval)) == INVALID
    short = office.until(ALONE_DAYS - 0.5)
    assert office.ask(EXTEND, short).needed_count == 0
    assert office.run(short).protected_until == short.until
    assert office.run(long, approval).protected_until == long.until
