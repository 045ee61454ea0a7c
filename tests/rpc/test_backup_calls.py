# SPDX-License-Identifier: Apache-2.0
"""Backups over real mTLS: who may, what is answered, what is recorded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import artifact_service_pb2_grpc as artifact_grpc
from strongroom.v1 import backup_service_pb2 as pb
from strongroom.v1 import backup_service_pb2_grpc as pb_grpc
from strongroom_server.core.backup_root import verify_root
from strongroom_server.services.backups import Backups
from tests.rpc.authority import DEVELOPER
from tests.rpc.engine import serving_world
from tests.rpc.running import Running, read_failure
from tests.rpc.serving import Served
from tests.support.access import make_authorizer
from tests.support.backups import BackedUp
from tests.support.world import World

DEMO = "projects/demo/artifacts/minilm"
NOT_ALLOWED = ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
INVALID = ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


@dataclass
class Calls:
    """A server with a backup bucket, and its service as who may do everything."""

    store: BackedUp
    server: Running
    stub: pb_grpc.BackupServiceStub
    artifacts: artifact_grpc.ArtifactServiceStub

    def create(self, *names: str) -> pb.BackupSummary:
        """Take a backup, and return what it answers with last."""
        request = pb.CreateBackupRequest(names=names)
        *_, last = self.stub.CreateBackup(request, timeout=30)
        assert last.WhichOneof("part") == "summary"
        return last.summary


@pytest.fixture
def calls() -> Iterator[Calls]:
    made: list[BackedUp] = []

    def backups(world: World) -> Backups:
        made.append(BackedUp(world))
        return made[0].backups

    with (
        serving_world(backups=backups) as (world, server),
        server.channel() as channel,
    ):
        world.push({"a": b"content" * 1000})
        yield Calls(
            made[0],
            server,
            pb_grpc.BackupServiceStub(channel),
            artifact_grpc.ArtifactServiceStub(channel),
        )


def failure_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    failure = read_failure(caught.value)
    return failure.code, failure.reason


def test_a_backup_is_answered_with_progress_and_what_it_is(calls: Calls) -> None:
    parts = list(calls.stub.CreateBackup(pb.CreateBackupRequest(), timeout=30))

    stages = [part.progress.stage for part in parts[:-1]]
    assert {"packs", "journals", "writing the inventory"} <= set(stages)
    summary = parts[-1].summary
    assert summary.backup.number == 1
    assert summary.backup.whole
    assert summary.copied_count == summary.backup.object_count
    assert summary.backup.version_count == 1


def test_the_signed_root_is_in_the_audit_log_and_can_be_fetched(calls: Calls) -> None:
    backup = calls.create().backup

    events = [
        event
        for event in calls.server.audit.events()
        if event.action == "backup.create"
    ]
    assert [event.phase.value for event in events] == ["intent", "outcome"]
    assert dict(events[1].detail)["root"] == backup.root_digest
    first, *pieces = calls.stub.GetBackup(pb.GetBackupRequest(with_root=True))
    root = verify_root(
        b"".join(piece.root for piece in pieces),
        calls.store.world.signer.public_keys(),
    )
    assert first.backup == backup
    assert root.audit_id == backup.audit_id != ""


def test_backups_are_listed_the_newest_first_with_what_is_none(calls: Calls) -> None:
    calls.create()
    calls.create("projects/demo", DEMO)
    calls.store.bucket.attack_overwrite(f"backups/{9:020d}/{0:020d}", b"planted")

    listed = calls.stub.ListBackups(pb.ListBackupsRequest(), timeout=20)

    assert [item.number for item in listed.backups] == [2, 1]
    assert [item.whole for item in listed.backups] == [False, True]
    assert [item.number for item in listed.untrusted] == [9]
    assert listed.total_count == 2


def test_a_check_names_what_is_wrong(calls: Calls) -> None:
    calls.create()
    row = next(iter(calls.store.records.rows(calls.store.records.load(1).root)))
    calls.store.bucket.rot(row.key, row.version_id, bytes(row.size_bytes))

    *_, quick = calls.stub.VerifyBackup(pb.VerifyBackupRequest(), timeout=20)
    deep = list(calls.stub.VerifyBackup(pb.VerifyBackupRequest(deep=True), timeout=20))

    assert quick.report.problem_count == 0
    assert deep[-1].report.problem_count == 1
    found = [part.finding for part in deep if part.HasField("finding")]
    assert [item.object for item in found] == [row.key]


def test_backups_are_extended_and_held(calls: Calls) -> None:
    before = calls.create().backup
    until = Timestamp(seconds=before.protected_until.seconds + 1000)

    *_, extended = calls.stub.ExtendBackup(
        pb.ExtendBackupRequest(number=1, until=until), timeout=20
    )
    *_, held = calls.stub.SetBackupHold(
        pb.SetBackupHoldRequest(number=1, held=True), timeout=20
    )

    assert extended.backup.protected_until == until
    assert held.backup.held
    again = pb.ExtendBackupRequest(number=1, until=until)
    assert failure_of(lambda: list(calls.stub.ExtendBackup(again))) == INVALID


def test_versions_and_refs_tell_until_when_they_are_safe(calls: Calls) -> None:
    calls.store.world.move("prod", "1")
    until = calls.create().backup.protected_until
    calls.store.world.push({"b": b"2"})

    listed = calls.artifacts.ListVersions(
        artifact_pb.ListVersionsRequest(parent=DEMO), timeout=20
    )
    one = calls.artifacts.GetVersion(
        artifact_pb.GetVersionRequest(name=f"{DEMO}/versions/1"), timeout=20
    )
    artifact = calls.artifacts.GetArtifact(
        artifact_pb.GetArtifactRequest(name=DEMO), timeout=20
    )

    newer, older = listed.versions
    assert not newer.HasField("protected_until")
    assert older.protected_until == one.protected_until == until
    assert [ref.protected_until for ref in artifact.refs] == [until]


def test_what_cannot_be_is_refused(calls: Calls) -> None:
    stub = calls.stub
    missing = ("NOT_FOUND", "BACKUP_NOT_FOUND")

    assert failure_of(lambda: list(stub.GetBackup(pb.GetBackupRequest()))) == missing
    for request in (pb.VerifyBackupRequest(number=7), pb.VerifyBackupRequest()):
        assert failure_of(lambda r=request: list(stub.VerifyBackup(r))) == missing  # type: ignore[misc]
    hold = pb.SetBackupHoldRequest(held=True)
    assert failure_of(lambda: list(stub.SetBackupHold(hold))) == INVALID
    extend = pb.ExtendBackupRequest(number=1)
    assert failure_of(lambda: list(stub.ExtendBackup(extend))) == INVALID
    negative = pb.GetBackupRequest(number=-1)
    assert failure_of(lambda: list(stub.GetBackup(negative))) == INVALID
    assert failure_of(lambda: calls.create(*["projects/a"] * 2, "x")) == (
        "INVALID_ARGUMENT",
        "NAME_MALFORMED",
    )
    many = [f"projects/p{number}" for number in range(101)]
    assert failure_of(lambda: calls.create(*many)) == INVALID


def test_only_who_may_takes_backups_and_reads_of_them(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.create()
    reader = make_authorizer(
        {"reader": ["backup.list"]},
        {"principal": DEVELOPER, "roles": ["reader"], "resources": ["server"]},
    )
    monkeypatch.setattr(calls.server.guard._decisions, "_authorizer", reader)

    assert failure_of(calls.create) == NOT_ALLOWED
    hold = pb.SetBackupHoldRequest(number=1, held=False)
    assert failure_of(lambda: list(calls.stub.SetBackupHold(hold))) == NOT_ALLOWED
    listed = calls.stub.ListBackups(pb.ListBackupsRequest(), timeout=20)
    assert listed.total_count == 1


def test_a_server_without_a_backup_bucket_says_so(served: Served) -> None:
    with served.server.channel() as channel:
        stub = pb_grpc.BackupServiceStub(channel)
        expected = ("FAILED_PRECONDITION", "SETTING_INVALID")

        create = pb.CreateBackupRequest()
        assert failure_of(lambda: list(stub.CreateBackup(create))) == expected
        assert failure_of(lambda: stub.ListBackups(pb.ListBackupsRequest())) == expected
