# SPDX-License-Identifier: Apache-2.0
"""Artifacts with keys of their own over real mTLS: made, named to whom, shredded."""

from collections.abc import Callable, Iterator
from threading import Event

import grpc
import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import key_service_pb2 as pb
from strongroom.v1 import key_service_pb2_grpc as pb_grpc
from strongroom.v1 import transfer_service_pb2
from strongroom_server.core import shred_receipt
from tests.rpc.authority import DEVELOPER
from tests.rpc.running import read_failure
from tests.rpc.serving import FILES, Served, Stubs, write, write_requests
from tests.support.access import make_authorizer
from tests.support.waiting import wait_until

PROJECT = "projects/demo"
ALONE = "projects/demo/artifacts/alone"
SHARED = "projects/demo/artifacts/minilm"
PRECONDITION = "FAILED_PRECONDITION"


@pytest.fixture
def keys(served: Served, stubs: Stubs) -> Iterator[pb_grpc.KeyServiceStub]:
    """The service, on a store with an artifact that has its own key, and another."""
    write(stubs, write_requests(FILES))
    made = stubs.artifacts.CreateArtifact(creation(), timeout=20)
    assert (made.name, made.exclusive, made.latest_version) == (ALONE, True, 0)
    write(stubs, write_requests(FILES, parent=ALONE))
    with served.server.channel() as channel:
        yield pb_grpc.KeyServiceStub(channel)


def creation(name: str = "alone") -> artifact_pb.CreateArtifactRequest:
    return artifact_pb.CreateArtifactRequest(
        parent=PROJECT,
        artifact_id=name,
        kind=artifact_pb.ARTIFACT_KIND_WEIGHTS,
        exclusive=True,
        request_id="r-0",
    )


def shredding(name: str = ALONE) -> pb.ShredArtifactRequest:
    return pb.ShredArtifactRequest(name=name, reason="why", request_id="r-1")


def failure_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    failure = read_failure(caught.value)
    return failure.code, failure.reason


def may_only(
    served: Served, monkeypatch: pytest.MonkeyPatch, *actions: str, on: str = PROJECT
) -> None:
    """Let the caller do nothing else."""
    some = make_authorizer(
        {"some": list(actions)},
        {"principal": DEVELOPER, "roles": ["some"], "resources": [on]},
    )
    monkeypatch.setattr(served.server.guard._decisions, "_authorizer", some)


def named(keys: pb_grpc.KeyServiceStub) -> list[str]:
    asked = pb.ListKeysRequest(name=PROJECT)
    parts = keys.ListKeys(asked, timeout=20)
    return [entry.artifact for part in parts for entry in part.entries]


def test_who_may_not_get_an_artifact_reads_its_name_nowhere(
    keys: pb_grpc.KeyServiceStub,
    stubs: Stubs,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sorted(named(keys)) == ["", ALONE]
    asked = artifact_pb.ListArtifactsRequest(parent=PROJECT)
    keys.ShredArtifact(shredding(), timeout=20)
    assert list(stubs.artifacts.ListArtifacts(asked, timeout=20).shredded) == [ALONE]
    other = "projects/demo/artifacts/other"
    stubs.artifacts.CreateArtifact(creation("other"), timeout=20)
    assert sorted(named(keys)) == ["", other]

    may_only(served, monkeypatch, "key.list", "artifact.list", on="projects/*")

    assert named(keys) == ["", ""]
    told = stubs.artifacts.ListArtifacts(asked, timeout=20)
    assert (list(told.artifacts), list(told.shredded)) == ([], [])
    preview = pb.PreviewShredRequest(name=other)
    shown = keys.PreviewShred(preview, timeout=20)
    assert (list(shown.artifacts), shown.artifact_count) == ([], 1)


def test_a_right_on_one_artifact_shreds_that_one_only(
    keys: pb_grpc.KeyServiceStub,
    stubs: Stubs,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stubs.artifacts.CreateArtifact(creation("other"), timeout=20)
    may_only(served, monkeypatch, "artifact.shred", "key.list", on=ALONE)

    for call in (
        lambda: keys.ShredArtifact(
            shredding("projects/demo/artifacts/other"), timeout=20
        ),
        lambda: keys.ShredProject(
            pb.ShredProjectRequest(name=PROJECT, reason="why", request_id="r"),
            timeout=20,
        ),
    ):
        assert failure_of(call)[0] == "PERMISSION_DENIED"
    answer = keys.ShredArtifact(shredding(), timeout=20)

    keks = served.world.signer.public_keys()
    assert shred_receipt.verify_receipt(answer.receipt, keks)["artifact"] == "alone"
    fetch = pb.GetShredReceiptRequest(name=ALONE)
    assert keys.GetShredReceipt(fetch, timeout=20).receipt == answer.receipt
    events = [e for e in served.server.audit.events() if "ShredArtifact" in e.method]
    assert {(event.action, event.decision) for event in events} == {
        ("artifact.shred", "allow"),
        ("artifact.shred", "deny"),
    }


def test_one_that_shares_its_project_s_key_is_refused(
    keys: pb_grpc.KeyServiceStub, stubs: Stubs
) -> None:
    exclusive = next(iter(write_requests(FILES)))
    exclusive.start.exclusive = True
    for call in (
        lambda: keys.ShredArtifact(shredding(SHARED), timeout=20),
        lambda: keys.PreviewShred(pb.PreviewShredRequest(name=SHARED), timeout=20),
        lambda: keys.StartEpoch(pb.StartEpochRequest(name=SHARED), timeout=20),
        lambda: list(stubs.transfers.WriteVersion(iter([exclusive]), timeout=20)),
        lambda: stubs.artifacts.CreateArtifact(creation("minilm"), timeout=20),
    ):
        assert failure_of(call) == (PRECONDITION, "DOMAIN_SHARED")
    epoch = pb.StartEpochRequest(name=ALONE)
    assert keys.StartEpoch(epoch, timeout=20).epoch == 1


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "."])
def test_a_malformed_name_is_refused(stubs: Stubs, name: str) -> None:
    asked = creation(name)

    failure = failure_of(lambda: stubs.artifacts.CreateArtifact(asked, timeout=20))

    assert failure == ("INVALID_ARGUMENT", "NAME_MALFORMED")


@pytest.mark.parametrize("parent", [ALONE, SHARED])
def test_a_stream_that_waits_ends_when_its_artifact_is_shredded(
    keys: pb_grpc.KeyServiceStub, stubs: Stubs, served: Served, parent: str
) -> None:
    served.server.guard._alive = served.world.repository.check_alive
    requests = list(write_requests({"other": b"content"}, parent=parent))
    gate = Event()

    def sent() -> Iterator[transfer_service_pb2.WriteVersionRequest]:
        yield from requests[:2]
        gate.wait(20)
        yield from requests[2:]

    call = stubs.transfers.WriteVersion(sent(), timeout=60)
    wait_until(lambda: bool(served.server.reviews._reviewed))
    keys.ShredArtifact(shredding(), timeout=20)
    served.server.reviews.review()
    if parent == SHARED:
        gate.set()
        assert list(call)
        return

    assert failure_of(lambda: list(call))[0] in {"CANCELLED", PRECONDITION}
    gate.set()
