# SPDX-License-Identifier: Apache-2.0
"""Trash, holds, policies and sweeps over real mTLS: who may, and what is recorded."""

import json
import uuid
from collections.abc import Iterator

import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom_server.core.sweep_plan import MAX_PLAN_BYTES
from tests.rpc.authority import DEVELOPER, TRAINER
from tests.rpc.running import ARTIFACT, VERSION, Failed
from tests.rpc.serving import FILES, Served, Stubs, refused, write, write_requests
from tests.support.access import make_authorizer

MIB = 1024 * 1024


def request_id() -> str:
    return str(uuid.uuid4())


def delete(stubs: Stubs, name: str = VERSION, **values: object) -> artifact_pb.Version:
    request = artifact_pb.DeleteVersionRequest(
        name=name, reason="leaked", request_id=request_id()
    )
    for key, value in values.items():
        setattr(request, key, value)
    return stubs.artifacts.DeleteVersion(request, timeout=10)


def move(stubs: Stubs, ref: str) -> None:
    request = artifact_pb.MoveRefRequest(
        name=f"{ARTIFACT}/refs/{ref}", version="1", request_id=request_id()
    )
    stubs.artifacts.MoveRef(request, timeout=10)


def failure(call: object) -> Failed:
    """Return how a call with one answer fails; `call` makes it."""
    assert callable(call)
    return refused(call() for _ in range(1))


@pytest.fixture
def trainer(served: Served) -> Iterator[Stubs]:
    """A caller who reads and writes, and decides nothing."""
    with served.server.channel(served.issue(TRAINER)) as channel:
        yield served.stubs(channel)


def test_deleting_twice_under_one_request_id_is_one_entry(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    same = request_id()

    first = delete(stubs, request_id=same)
    second = delete(stubs, request_id=same)
    entries = stubs.artifacts.ListJournalEntries(
        artifact_pb.ListJournalEntriesRequest(parent=ARTIFACT), timeout=10
    ).entries

    assert first.state == second.state == artifact_pb.VERSION_STATE_DELETED
    assert first.purge_time == second.purge_time
    assert first.purge_time.seconds > first.create_time.seconds
    actions = [entry.action for entry in entries]
    assert actions.count(artifact_pb.JOURNAL_ACTION_DELETE) == 1
    assert entries[0].reason == "leaked"


def test_a_dry_run_deletes_nothing(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))

    answer = delete(stubs, validate_only=True)

    assert answer.state == artifact_pb.VERSION_STATE_LIVE
    get = artifact_pb.GetVersionRequest(name=VERSION)
    assert stubs.artifacts.GetVersion(get, timeout=10).number == 1


def test_what_is_deleted_is_not_read_and_says_so(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    delete(stubs)

    files = artifact_pb.ListFilesRequest(parent=VERSION)
    failed = failure(lambda: stubs.artifacts.ListFiles(files, timeout=10))

    assert (failed.code, failed.reason) == ("FAILED_PRECONDITION", "VERSION_DELETED")


def test_who_writes_may_not_decide_what_stays(stubs: Stubs, trainer: Stubs) -> None:
    write(stubs, write_requests(FILES))
    hold = artifact_pb.SetHoldRequest(name=ARTIFACT, hold=True, request_id=request_id())
    policy = artifact_pb.SetPolicyRequest(name=ARTIFACT, request_id=request_id())
    undelete = artifact_pb.UndeleteVersionRequest(name=VERSION, request_id=request_id())
    plan = maintenance_pb.PlanSweepRequest()
    start = maintenance_pb.ApplySweepRequest(start=maintenance_pb.SweepStart())
    rebuild = maintenance_pb.RebuildIndexRequest()

    failures = [
        failure(lambda: delete(trainer)),
        failure(lambda: trainer.artifacts.SetHold(hold, timeout=10)),
        failure(lambda: trainer.artifacts.SetPolicy(policy, timeout=10)),
        failure(lambda: trainer.artifacts.UndeleteVersion(undelete, timeout=10)),
        refused(trainer.maintenance.PlanSweep(plan, timeout=10)),
        refused(trainer.maintenance.ApplySweep(iter([start]), timeout=10)),
        refused(trainer.maintenance.RebuildIndex(rebuild, timeout=10)),
    ]

    assert {item.code for item in failures} == {"PERMISSION_DENIED"}
    get = artifact_pb.GetVersionRequest(name=VERSION)
    shown = stubs.artifacts.GetVersion(get, timeout=10)
    assert (shown.state, shown.held) == (artifact_pb.VERSION_STATE_LIVE, False)


def test_no_ref_is_named_to_who_may_not_list_them(
    served: Served, stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(stubs, write_requests(FILES))
    move(stubs, "secret-name")
    explain = artifact_pb.ExplainRetentionRequest(name=VERSION)
    seen = str(stubs.artifacts.ExplainRetention(explain, timeout=10))
    told = failure(lambda: delete(stubs))
    # Every right but one, which no role of the tests' policy lacks alone.
    monkeypatch.setattr(
        "strongroom_server.rpc.showing.may_list_refs", lambda _name: False
    )
    monkeypatch.setattr(
        "strongroom_server.rpc.retention_calls.may_list_refs", lambda _name: False
    )

    hidden = str(stubs.artifacts.ExplainRetention(explain, timeout=10))
    silent = failure(lambda: delete(stubs))

    assert "secret-name" in seen
    assert "secret-name" in told.message
    assert "secret-name" not in hidden
    assert "a ref needs it" in hidden
    assert silent.reason == "VERSION_IN_USE"
    assert "secret-name" not in silent.message + str(silent.metadata)


def explained(
    stubs: Stubs, key: str
) -> tuple[list[maintenance_pb.ObjectUse], maintenance_pb.ObjectExplanation]:
    request = maintenance_pb.ExplainObjectRequest(object=key)
    *parts, last = stubs.maintenance.ExplainObject(request, timeout=10)
    assert last.WhichOneof("part") == "explanation"
    uses = [part.use for part in parts if part.WhichOneof("part") == "use"]
    return uses, last.explanation


def test_an_object_is_explained_to_who_may_plan_sweeps(
    served: Served, stubs: Stubs, trainer: Stubs
) -> None:
    write(stubs, write_requests(FILES))
    pack = max(key for key in served.world.keys("packs/"))
    request = maintenance_pb.ExplainObjectRequest(object=pack)

    uses, told = explained(stubs, pack)
    denied = refused(trainer.maintenance.ExplainObject(request, timeout=10))

    assert [(use.name, use.keeps) for use in uses] == [(VERSION, True)]
    assert (told.exists, told.state) == (True, maintenance_pb.OBJECT_STATE_NEEDED)
    assert (told.use_count, told.hidden_count) == (1, 0)
    assert not told.HasField("condemn_time")
    assert denied.code == "PERMISSION_DENIED"
    events = served.server.audit.events()
    made = [event for event in events if event.method.endswith("ExplainObject")]
    assert [event.phase.value for event in made] == ["intent", "outcome", "call"]


def test_a_condemned_object_tells_since_when(served: Served, stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    policy = artifact_pb.ArtifactPolicy(codec="raw", cuts="aligned")
    request = artifact_pb.SetPolicyRequest(
        name=ARTIFACT, policy=policy, request_id=request_id()
    )
    stubs.artifacts.SetPolicy(request, timeout=10)
    delete(stubs)
    content, _ = plan_of(stubs)
    list(stubs.maintenance.ApplySweep(apply_requests(content), timeout=30))
    pack = max(key for key in served.world.keys("packs/"))

    _, told = explained(stubs, pack)

    assert told.state == maintenance_pb.OBJECT_STATE_CONDEMNED
    assert told.condemn_time.seconds > 0


def test_of_what_needs_an_object_only_what_may_be_seen_is_named(
    stubs: Stubs, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(stubs, write_requests(FILES))
    pack = max(key for key in served.world.keys("packs/"))
    operator = make_authorizer(
        {"sweeper": ["sweep.plan"]},
        {"principal": DEVELOPER, "roles": ["sweeper"], "resources": ["server"]},
    )
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", operator)

    uses, told = explained(stubs, pack)

    assert uses == []
    assert (told.use_count, told.hidden_count) == (1, 1)
    assert told.state == maintenance_pb.OBJECT_STATE_NEEDED


def test_what_is_no_key_is_refused(stubs: Stubs) -> None:
    request = maintenance_pb.ExplainObjectRequest(object="/packs")

    failed = refused(stubs.maintenance.ExplainObject(request, timeout=10))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


def plan_of(stubs: Stubs) -> tuple[bytes, maintenance_pb.SweepSummary]:
    *parts, last = stubs.maintenance.PlanSweep(
        maintenance_pb.PlanSweepRequest(), timeout=10
    )
    content = b"".join(part.plan for part in parts)
    assert last.WhichOneof("part") == "summary"
    return content, last.summary


def apply_requests(*parts: bytes) -> Iterator[maintenance_pb.ApplySweepRequest]:
    start = maintenance_pb.SweepStart(request_id=request_id(), reason="weekly")
    yield maintenance_pb.ApplySweepRequest(start=start)
    for part in parts:
        yield maintenance_pb.ApplySweepRequest(plan=part)


def test_a_plan_is_applied_in_parts_and_audited_without_names(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))
    delete(stubs)
    content, planned = plan_of(stubs)

    *_, last = stubs.maintenance.ApplySweep(
        apply_requests(content[:10], content[10:]), timeout=30
    )

    assert json.loads(content)["type"] == "strongroom-sweep-plan"
    assert last.summary.condemned_count == planned.condemned_count
    events = served.server.audit.events()
    applied = [event for event in events if event.method.endswith("ApplySweep")]
    assert [event.phase.value for event in applied] == ["intent", "outcome"]
    assert "condemned" in dict(applied[1].detail)
    lines = b"".join(served.server.audit.lines()) + str(served.server.lines).encode()
    for name in (b"demo", b"minilm", b"leaked", b"weekly"):
        assert name not in lines


@pytest.mark.parametrize("text", [b"\0", b'"', b'["a1b2",1,"c3d4"],'])
def test_a_part_of_a_plan_may_look_like_many_fields(stubs: Stubs, text: bytes) -> None:
    part = (text * MIB)[:MIB]

    failed = refused(stubs.maintenance.ApplySweep(apply_requests(part), timeout=30))

    assert "no sweep plan" in failed.message


def test_a_plan_without_end_is_refused_before_it_fills_the_memory(
    stubs: Stubs,
) -> None:
    sent: list[int] = []
    whole = 4 * MAX_PLAN_BYTES // MIB

    def endless() -> Iterator[maintenance_pb.ApplySweepRequest]:
        yield from apply_requests()
        for number in range(whole):
            sent.append(number)
            yield maintenance_pb.ApplySweepRequest(plan=bytes(MIB))

    failed = refused(stubs.maintenance.ApplySweep(endless(), timeout=60))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert len(sent) < whole, "nobody takes all of it"


@pytest.mark.parametrize("second", ["start", "nothing"])
def test_what_is_no_plan_where_one_belongs_is_refused(
    stubs: Stubs, second: str
) -> None:
    start = maintenance_pb.SweepStart(request_id=request_id())
    requests = [
        maintenance_pb.ApplySweepRequest(start=start),
        maintenance_pb.ApplySweepRequest(start=start if second == "start" else None),
    ]

    failed = refused(stubs.maintenance.ApplySweep(iter(requests), timeout=10))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


def test_a_sweep_begins_with_its_start(stubs: Stubs) -> None:
    first = maintenance_pb.ApplySweepRequest(plan=b"{}")

    failed = refused(stubs.maintenance.ApplySweep(iter([first]), timeout=10))

    assert failed.code == "INVALID_ARGUMENT"


def test_the_last_word_of_a_rebuild_is_that_all_is_done(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))

    request = maintenance_pb.RebuildIndexRequest()
    answers = list(stubs.maintenance.RebuildIndex(request, timeout=10))

    assert answers[-1].done_count == answers[-1].total_count > 0
    assert answers[-1].damaged_count == 0


def test_a_version_that_never_was_is_not_found(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    request = artifact_pb.ExplainRetentionRequest(name=f"{ARTIFACT}/versions/9")

    failed = failure(lambda: stubs.artifacts.ExplainRetention(request, timeout=10))

    assert (failed.code, failed.reason) == ("NOT_FOUND", "VERSION_NOT_FOUND")
