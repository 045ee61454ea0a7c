# SPDX-License-Identifier: Apache-2.0
"""Restores into the store over real mTLS: who may, what is answered and recorded."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from strongroom.v1 import restore_service_pb2 as pb
from strongroom.v1 import restore_service_pb2_grpc as pb_grpc
from strongroom_server.core import layout
from strongroom_server.core.restore_receipt import verify_receipt
from strongroom_server.opening_restores import open_living_restore
from strongroom_server.rpc.restore_servicer import Restores, RestoreServicer
from strongroom_server.services.restoring import sign_report
from tests.rpc.authority import DEVELOPER
from tests.rpc.engine import serving_world
from tests.rpc.running import ARTIFACT, Running, read_failure
from tests.support.access import make_authorizer
from tests.support.saved_backups import Safe
from tests.support.world import World

FILES = {"a": b"content" * 1000, "b": b"more"}


@dataclass
class Restored:
    """A server with a backup, and the service as somebody who may do everything."""

    world: World
    safe: Safe
    server: Running
    stub: pb_grpc.RestoreServiceStub

    def ask(self, **fields: object) -> list[pb.RestoreVersionsResponse]:
        """Ask for a restore, and return all that is answered."""
        values = {"name": ARTIFACT, "request_id": str(uuid.uuid4())} | fields
        request = pb.RestoreVersionsRequest(**values)  # type: ignore[arg-type]
        return list(self.stub.RestoreVersions(request, timeout=30))

    def lose(self, folder: str) -> None:
        """Remove what lies below a folder, for good."""
        for item, _ in self.world.bucket.objects():
            if item.key.startswith(folder):
                self.world.bucket.delete_version(item.key, item.version_id)
        self.world.repository.manifests.forget()


@pytest.fixture
def restored() -> Iterator[Restored]:
    made: list[Safe] = []

    def restores(world: World) -> RestoreServicer:
        safe = Safe(world)
        made.append(safe)
        use_case = open_living_restore(
            world.repository,
            safe.bucket,
            key_service=world.key_service,
            signer=world.signer,
        )
        store = world.repository.keyring.store
        return RestoreServicer(
            Restores(use_case, partial(sign_report, world.signer, store))
        )

    with (
        serving_world(restores=restores) as (world, server),
        server.channel() as channel,
    ):
        world.push(FILES)
        [safe] = made
        safe.save()
        yield Restored(world, safe, server, pb_grpc.RestoreServiceStub(channel))


def failure_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    failure = read_failure(caught.value)
    return failure.code, failure.reason


def test_a_restore_is_answered_with_progress_and_a_signed_receipt(
    restored: Restored,
) -> None:
    restored.lose(layout.PACKS)

    *progress, last = restored.ask()

    assert {part.WhichOneof("part") for part in progress} == {"progress"}
    receipt = last.receipt
    assert (receipt.backup, receipt.damaged_count) == (1, 0)
    assert [item.name for item in receipt.versions] == ["demo/minilm@1"]
    said = verify_receipt(receipt.receipt, restored.world.signer.public_keys())
    assert said["target"] == "living-store"
    assert said["copied_count"] == receipt.copied_count > 0
    assert restored.world.pull("1") == FILES


def test_a_plan_changes_nothing(restored: Restored) -> None:
    before = restored.world.bucket.objects()

    [answer] = restored.ask(validate_only=True, backup=1)

    plan = answer.plan
    assert (plan.backup, plan.file_count) == (1, 2)
    assert plan.size_bytes == sum(map(len, FILES.values()))
    assert plan.keks
    assert not any(kek.problem for kek in plan.keks)
    packs = [item for item in before if item[0].key.startswith("packs/")]
    now = restored.world.bucket.objects()
    assert [item for item in now if item[0].key.startswith("packs/")] == packs


def test_the_call_and_the_root_are_in_the_audit_log(restored: Restored) -> None:
    restored.ask()

    events = [
        event
        for event in restored.server.audit.events()
        if event.action == "version.restore"
    ]
    assert [event.phase.value for event in events] == ["intent", "outcome"]
    detail = dict(events[1].detail)
    assert detail["backup_root"] == restored.safe.records.load(1).root_digest
    assert (detail["backup"], detail["damaged"]) == ("1", "0")


@pytest.mark.parametrize(
    "fields",
    [
        {"backup": -1},
        {"max_bytes_per_second": -1},
        {"request_id": ""},
        {"name": "projects/demo"},
        {"backup": 1, "as_of_time": Timestamp(seconds=4_000_000_000)},
        {"as_of_time": Timestamp(seconds=-(10**15))},
    ],
    ids=["backup", "rate", "request", "name", "both", "time"],
)
def test_requests_that_cannot_be_are_refused(
    restored: Restored, fields: dict[str, object]
) -> None:
    code, _ = failure_of(lambda: restored.ask(**fields))

    assert code == "INVALID_ARGUMENT"


def test_a_backup_that_is_not_there_is_told(restored: Restored) -> None:
    assert failure_of(lambda: restored.ask(backup=9)) == (
        "NOT_FOUND",
        "BACKUP_NOT_FOUND",
    )
    early = Timestamp(seconds=1)
    assert failure_of(lambda: restored.ask(as_of_time=early))[0] == "NOT_FOUND"


def test_only_who_may_restores(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_authorizer(
        {"other": ["version.write", "version.repair", "ref.move"]},
        {"principal": DEVELOPER, "roles": ["other"], "resources": ["projects/*"]},
    )
    monkeypatch.setattr(restored.server.guard._decisions, "_authorizer", other)

    assert failure_of(restored.ask) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")


def test_without_backups_it_says_so() -> None:
    with serving_world() as (_, server), server.channel() as channel:
        stub = pb_grpc.RestoreServiceStub(channel)
        request = pb.RestoreVersionsRequest(name=ARTIFACT, request_id="r")
        assert failure_of(lambda: list(stub.RestoreVersions(request))) == (
            "FAILED_PRECONDITION",
            "SETTING_INVALID",
        )
