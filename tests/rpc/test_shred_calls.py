# SPDX-License-Identifier: Apache-2.0
"""Shredding over real mTLS: who may, what is answered, what is recorded."""

from collections.abc import Callable, Iterator
from functools import partial
from threading import Event

import grpc
import pytest

from strongroom.v1 import artifact_service_pb2, transfer_service_pb2
from strongroom.v1 import key_service_pb2 as pb
from strongroom.v1 import key_service_pb2_grpc as pb_grpc
from strongroom_server.core import shred_receipt
from strongroom_server.core.signatures import PublicKey, SignatureAlgorithm
from tests.rpc import access_table
from tests.rpc.authority import DEVELOPER
from tests.rpc.running import read_failure
from tests.rpc.serving import FILES, Served, Stubs, write, write_requests
from tests.support.access import make_authorizer
from tests.support.waiting import wait_until

PROJECT = "projects/demo"
DENIED = "PERMISSION_DENIED"
PRECONDITION = "FAILED_PRECONDITION"


@pytest.fixture
def keys(served: Served, stubs: Stubs) -> Iterator[pb_grpc.KeyServiceStub]:
    """The service, as somebody who may do everything, on a store with a project."""
    write(stubs, write_requests(FILES))
    with served.server.channel() as channel:
        yield pb_grpc.KeyServiceStub(channel)


def failure_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    failure = read_failure(caught.value)
    return failure.code, failure.reason


def request(name: str = PROJECT) -> pb.ShredProjectRequest:
    return pb.ShredProjectRequest(name=name, reason="no reason", request_id="r-1")


def test_a_preview_tells_what_would_die(keys: pb_grpc.KeyServiceStub) -> None:
    told = keys.PreviewShred(pb.PreviewShredRequest(name=PROJECT), timeout=20)

    (artifact,) = told.artifacts
    assert (told.name, told.slot_count, told.held_count) == (PROJECT, 1, 0)
    assert (artifact.artifact, artifact.version_count) == ("minilm", 1)
    assert dict(artifact.refs) == {"latest": 1}
    assert (told.artifact_count, told.version_count, told.ref_count) == (1, 1, 1)
    assert told.stored_bytes > 0
    assert told.kek.startswith("sr.")


def test_a_preview_names_nothing_to_who_may_not_list(
    keys: pb_grpc.KeyServiceStub, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = make_authorizer(
        {"officer": ["key.list"]},
        {"principal": DEVELOPER, "roles": ["officer"], "resources": ["projects/*"]},
    )
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", officer)

    told = keys.PreviewShred(pb.PreviewShredRequest(name=PROJECT), timeout=20)

    assert list(told.artifacts) == []
    assert told.artifact_count == 1


def test_a_shredded_project_is_answered_with_its_receipt_and_refused_after(
    keys: pb_grpc.KeyServiceStub, stubs: Stubs, served: Served
) -> None:
    answer = keys.ShredProject(request(), timeout=20)

    listed = keys.ListSigningKeys(pb.ListSigningKeysRequest(), timeout=20)
    public = {
        key.key_id: PublicKey(key.key_id, SignatureAlgorithm(key.algorithm), key.data)
        for key in listed.keys
    }
    told = shred_receipt.verify_receipt(answer.receipt, public)
    assert (answer.name, told["project"]) == (PROJECT, "demo")
    assert (told["requester"], told["approvers"]) == (DEVELOPER, [])
    fetch = pb.GetShredReceiptRequest(name=PROJECT)
    assert keys.GetShredReceipt(fetch, timeout=20).receipt == answer.receipt
    assert keys.ShredProject(request(), timeout=20).receipt == answer.receipt

    version = f"{PROJECT}/artifacts/minilm/versions/1"
    read = transfer_service_pb2.ReadVersionRequest(name=version)
    get = artifact_service_pb2.GetVersionRequest(name=version)
    for call in (
        lambda: list(stubs.transfers.ReadVersion(read, timeout=20)),
        lambda: stubs.artifacts.GetVersion(get, timeout=20),
        lambda: keys.StartEpoch(pb.StartEpochRequest(name=PROJECT), timeout=20),
        lambda: keys.PreviewShred(pb.PreviewShredRequest(name=PROJECT), timeout=20),
    ):
        assert failure_of(call) == (PRECONDITION, "KEY_SHREDDED")
    counts = [dict(event.detail) for event in served.server.audit.events()]
    assert any(str(found.get("shredded")) == "1" for found in counts)


def test_what_was_shredded_is_listed_and_named_to_who_may_list_artifacts(
    keys: pb_grpc.KeyServiceStub, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.ShredProject(request(), timeout=20)
    officer = make_authorizer(
        {"officer": ["key.list"]},
        {"principal": DEVELOPER, "roles": ["officer"], "resources": ["server"]},
    )

    whole = keys.ListShredded(pb.ListShreddedRequest(), timeout=20)
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", officer)
    nameless = keys.ListShredded(pb.ListShreddedRequest(), timeout=20)

    (told,) = whole.shredded
    assert (told.name, told.requester, told.reason) == (
        PROJECT, DEVELOPER, "no reason",
    )  # fmt: skip
    assert (told.finished, whole.total_count) == (True, 1)
    (hidden,) = nameless.shredded
    assert (hidden.name, hidden.requester, hidden.reason) == ("", "", "")
    assert (hidden.kek, hidden.shred_time) == (told.kek, told.shred_time)


def test_a_receipt_of_a_living_project_is_not_there(
    keys: pb_grpc.KeyServiceStub,
) -> None:
    fetch = pb.GetShredReceiptRequest(name=PROJECT)

    failure = failure_of(lambda: keys.GetShredReceipt(fetch, timeout=20))

    assert failure == ("NOT_FOUND", "RECEIPT_NOT_FOUND")


def test_who_may_all_but_shred_shreds_nothing(
    keys: pb_grpc.KeyServiceStub, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = make_authorizer(
        {"officer": ["key.list", "key.retire", "artifact.list", "key.epoch"]},
        {"principal": DEVELOPER, "roles": ["officer"], "resources": ["projects/*"]},
    )
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", officer)

    for name in (PROJECT, "projects/other"):
        asked = request(name)
        failure = failure_of(partial(keys.ShredProject, asked, timeout=20))
        assert failure[0] == DENIED
    assert served.world.keys("shreds/") == []


def test_every_call_about_a_dead_project_says_that_it_is_dead(
    keys: pb_grpc.KeyServiceStub, served: Served
) -> None:
    keys.ShredProject(request(), timeout=20)
    told = {}
    with served.server.channel() as channel:
        line = access_table.Line(channel)
        for rpc, values in access_table._asked():
            if access_table._is_placed(values):
                placed = access_table._placed(values, access_table.OWN)
                answer = access_table._ask(line, rpc, placed)
                told[rpc.rpartition("/")[2]] = answer.reason or answer.code

    alive = {name: found for name, found in told.items() if found != "KEY_SHREDDED"}
    # A watch tells within its answers what ended, and why.
    told_otherwise = ("ShredProject", "GetShredReceipt", "WatchGrants")
    # This server has no backups to restore from.
    nothing = {"RestoreVersions": "SETTING_INVALID"}
    assert alive == dict.fromkeys(told_otherwise, "OK") | nothing
    assert len(told) > 20


@pytest.mark.parametrize("project", ["demo", "other"])
def test_a_stream_that_waits_ends_when_its_project_is_shredded(
    keys: pb_grpc.KeyServiceStub, stubs: Stubs, served: Served, project: str
) -> None:
    served.server.guard._alive = served.world.repository.check_alive
    parent = f"projects/{project}/artifacts/waiting"
    requests = list(write_requests(FILES, parent=parent))
    gate = Event()

    def sent() -> Iterator[transfer_service_pb2.WriteVersionRequest]:
        yield from requests[:2]
        gate.wait(20)
        yield from requests[2:]

    call = stubs.transfers.WriteVersion(sent(), timeout=60)
    wait_until(lambda: bool(served.server.reviews._reviewed))
    keys.ShredProject(request(), timeout=20)
    served.server.reviews.review()
    if project == "other":
        gate.set()
        assert list(call)
        return

    # A caller that sends nothing is cut off before it can be told why.
    assert failure_of(lambda: list(call))[0] in {"CANCELLED", PRECONDITION}
    gate.set()
    audit = served.server.audit
    wait_until(lambda: "KEY_SHREDDED" in {event.reason for event in audit.events()})
