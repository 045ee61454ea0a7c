# SPDX-License-Identifier: Apache-2.0
"""Consents that are not another person's, or are of something else than they seem."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from strongroom.errors import Reason
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom.values import Approval as ShownApproval
from strongroom.values import ApprovalState, RelyingParty, TrustedStore
from strongroom_server.core import layout
from strongroom_server.core.operator_credentials import (
    credential_name,
    parse_credentials,
)
from strongroom_server.core.revocation import parse_revocations
from strongroom_server.rpc.approvable import read_approvable
from tests.security.approval_desk import (
    BOBS,
    CAROLS,
    Desk,
    approve_and_run,
    desk_attack,
    give_approval,
    then,
)
from tests.security.attacks import Attack
from tests.support.clock import ManualClock
from tests.support.security_keys import (
    ALICE,
    BASTION,
    BOB,
    CAROL,
    ORIGIN,
    RELYING_PARTY,
    REQUEST,
    KnownKeys,
    TestKey,
    approving_of,
    asked,
)

MOVE: Final = artifact_pb.MoveRefRequest(
    name="projects/demo/artifacts/minilm/refs/prod", version="3", reason="it is good"
)
MOVE_REF: Final = "/strongroom.v1.ArtifactService/MoveRef"
SET_POLICY: Final = "/strongroom.v1.ArtifactService/SetPolicy"
READ: Final = "/strongroom.v1.TransferService/ReadVersion"
POLICY: Final = artifact_pb.SetPolicyRequest(
    name="projects/demo/artifacts/minilm", reason="less"
).SerializeToString()
#: An enum of -1 in five bytes, which are ten when written anew; then fields that no
#: release knows, of just as many bytes as that seems to save.
PAID_FOR: Final = b"\x38\xff\xff\xff\xff\x0f" + b"\xa0\x06\x01" + b"\x78\x01"
PLANTED: Final = 1000


def _spelled() -> Attack:
    bobs, alices = (
        TestKey("bob-3", "operator:Bob"),
        TestKey("alice-3", "operator:AlIcE"),
    )

    def approve(desk: Desk, *keys: TestKey) -> None:
        desk.keys.keys = KnownKeys(BOBS, CAROLS, bobs, alices).keys
        for key in keys:
            desk.approve(key)

    return desk_attack(
        "one person under two spellings of a name",
        Reason.APPROVAL_INVALID,
        then(give_approval, lambda desk: desk.approve(CAROLS)),
        [
            lambda desk: approve(desk, alices),
            lambda desk: approve(desk, BOBS, bobs),
            lambda desk: approve(desk, bobs, BOBS),
        ],
    )


def _one_finger() -> Attack:
    def believe(*keys: TestKey) -> None:
        entries = [
            {
                "name": key.name,
                "operator": key.operator,
                "credential_id": credential_name(key.credential_id),
                "public_key": credential_name(key.credential.public_key),
            }
            for key in keys
        ]
        parse_credentials({"credentials": entries})

    carols = TestKey("carol-2", CAROL, private=BOBS.private)
    return desk_attack(
        "a file of credentials that makes two people of one security key",
        Reason.SETTING_INVALID,
        lambda _: believe(BOBS, CAROLS),
        [
            lambda _: believe(BOBS, carols),
            lambda _: believe(BOBS, replace(BOBS, name="bob-4")),
            lambda _: believe(BOBS, TestKey("bob-5", "operator:BOB")),
        ],
    )


def _revoked() -> Attack:
    def revoke(desk: Desk, text: str) -> None:
        assert desk.book.keys is not None
        revocations = parse_revocations(text)
        desk.book.keys = replace(desk.book.keys, revoked=lambda: revocations)

    def between(desk: Desk) -> None:
        desk.approve(BOBS)
        approved = desk.check()
        revoke(desk, BOB)
        desk.book.use(approved)

    return desk_attack(
        "the consent of somebody who was revoked after giving it",
        Reason.APPROVAL_REQUIRED,
        then(lambda desk: revoke(desk, CAROL), approve_and_run),
        [
            then(give_approval, lambda desk: revoke(desk, BOB), Desk.run),
            then(give_approval, lambda desk: revoke(desk, "operator:BOB"), Desk.run),
            between,
        ],
    )


def _moving() -> Attack:
    def ask(method: str, data: bytes) -> None:
        read_approvable(method, data)

    def moved(version: str) -> bytes:
        request = artifact_pb.MoveRefRequest()
        request.CopyFrom(MOVE)
        request.version = version
        return request.SerializeToString()

    def read(version: str) -> bytes:
        name = f"projects/demo/artifacts/minilm/versions/{version}"
        return transfer_pb.ReadVersionRequest(name=name).SerializeToString()

    return desk_attack(
        "a request that is something else when it runs, or says what nobody sees",
        Reason.ARGUMENT_INVALID,
        lambda _: ask(MOVE_REF, moved("3")),
        [
            *(
                lambda _, name=name: ask(MOVE_REF, moved(name))
                for name in (
                    "latest",
                    "prod",
                    "prod~1",
                    "sha256:0123456789ab",
                    "\u0663",
                )
            ),
            lambda _: ask(READ, read("latest")),
            lambda _: ask(READ, read("prod")),
            lambda _: ask(SET_POLICY, POLICY + PAID_FOR),
            lambda _: ask(SET_POLICY, POLICY + PAID_FOR[6:]),
        ],
    )


def _elsewhere() -> Attack:
    def told(desk: Desk) -> ShownApproval:
        """What a server passes on of an approval, of whatever store."""
        asked_for = desk.approval.request
        return ShownApproval(
            approval_id=asked_for.approval_id,
            method=asked_for.method,
            action="key.epoch",
            resources=("projects/demo",),
            requester=asked_for.requester,
            reason=asked_for.reason,
            create_time=datetime.fromtimestamp(asked_for.create_s, UTC),
            expire_time=datetime.fromtimestamp(asked_for.expire_s, UTC),
            state=ApprovalState.PENDING,
            request=desk.approval.requested.data,
            statement=asked_for.canonical,
        )

    def sign(
        desk: Desk, *, store: str = "", party: str = RELYING_PARTY, origin: str = ORIGIN
    ) -> None:
        trusted = TrustedStore(store or desk.approval.request.store, RELYING_PARTY)
        shown = told(desk)
        shown.check_statement()
        shown.check_store(trusted)
        trusted.check_party(RelyingParty(party, origin))

    return desk_attack(
        "an approval of another store that a server passes on to be signed",
        Reason.DIGEST_MISMATCH,
        sign,
        [
            lambda desk: sign(desk, store="0" * 32),
            lambda desk: sign(desk, party="other.test", origin="https://other.test"),
            lambda desk: sign(desk, origin="https://other.test"),
        ],
    )


def _overtaken() -> Attack:
    def both_at_once(desk: Desk, *, ahead_s: int) -> None:
        """Another server, whose clock is ahead, takes the first one's use as lapsed."""
        desk.approve(BOBS)
        ahead = desk.world.reopened()
        ahead.clock = ManualClock(desk.clock.now() + timedelta(seconds=ahead_s))
        other = approving_of(ahead, desk.keys)
        desk.book.use(desk.check())
        other.use(desk.check(other))

    return desk_attack(
        "a server whose clock is ahead begins what another one still runs",
        Reason.APPROVAL_USED,
        approve_and_run,
        [partial(both_at_once, ahead_s=91), partial(both_at_once, ahead_s=800)],
    )


def _flooded() -> Attack:
    def plant(desk: Desk) -> None:
        now_s = int(desk.clock.now().timestamp())
        for number in range(PLANTED):
            name = f"{now_s + 2 + number // 4:08x}-{number:010x}"
            desk.world.blobs.put_new(layout.approval_key(name, 0), b"junk")

    def ask_often(desk: Desk) -> None:
        listed = desk.book.alive()
        assert [item.request.approval_id for item in listed.approvals] == [desk.name]
        for number in range(25):
            asked(desk.book, request=REQUEST + bytes([number]))

    return desk_attack(
        "a thousand planted objects, so that one may ask for more than ten",
        Reason.TOO_MANY_CALLS,
        then(plant, approve_and_run),
        [then(plant, ask_often)],
    )


def _taken_back() -> Attack:
    def withdraw(desk: Desk) -> None:
        desk.other.withdraw(desk.name, "", principal=ALICE, audit_id="log-2")

    return desk_attack(
        "what its requester took back: used, or approved after all",
        Reason.APPROVAL_DENIED,
        approve_and_run,
        [
            then(give_approval, withdraw, lambda desk: desk.run()),
            then(withdraw, give_approval),
            then(withdraw, withdraw),
        ],
    )


def _taken_from() -> Attack:
    def withdraw(desk: Desk, who: str) -> None:
        desk.book.withdraw(desk.name, "", principal=who, audit_id="log-2")

    return desk_attack(
        "what somebody else asked for, taken back",
        Reason.APPROVAL_NOT_FOUND,
        partial(withdraw, who=ALICE),
        [partial(withdraw, who=who) for who in (BOB, BASTION, "operator:Alice", "")],
    )


def consent_attacks() -> Sequence[Attack]:
    """Return the attacks."""
    return [
        _spelled(),
        _one_finger(),
        _revoked(),
        _moving(),
        _elsewhere(),
        _overtaken(),
        _flooded(),
        _taken_back(),
        _taken_from(),
    ]
