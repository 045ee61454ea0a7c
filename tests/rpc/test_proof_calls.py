# SPDX-License-Identifier: Apache-2.0
"""Verification of a store and repair over real mTLS: order, rights, what is shown."""

import hashlib
import random
import uuid
from collections.abc import Iterable

import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from tests.rpc.authority import TRAINER
from tests.rpc.running import ARTIFACT, VERSION, Failed
from tests.rpc.serving import Served, Stubs, refused, write, write_requests

FILES = {"big": random.randbytes(200_000), "small": b"s"}


def damage(served: Served) -> None:
    """Change a byte in the pack that holds the big file."""
    bucket = served.world.bucket
    for blob, data in bucket.objects():
        if blob.key.startswith("packs/") and len(data) > 100_000:
            changed = bytearray(data)
            changed[len(data) // 2] ^= 1
            bucket.corrupt(blob.key, blob.version_id, bytes(changed))


def findings(stubs: Stubs, name: str = "") -> list[pb.StoreFinding]:
    request = pb.VerifyStoreRequest(name=name)
    answers = list(stubs.maintenance.VerifyStore(request, timeout=30))
    assert answers[-1].WhichOneof("part") == "report"
    return [item.finding for item in answers if item.HasField("finding")]


def start(name: str = VERSION) -> pb.RepairVersionRequest:
    return pb.RepairVersionRequest(start=pb.RepairStart(name=name))


def item(**step: object) -> pb.RepairVersionRequest:
    # One field of a oneof, chosen by name.
    one = transfer_pb.TransferItem(**step)  # type: ignore[arg-type]
    return pb.RepairVersionRequest(items=transfer_pb.TransferItems(items=[one]))


def file_start(path: str = "big") -> pb.RepairVersionRequest:
    begin = transfer_pb.FileStart(path=path, size_bytes=len(FILES["big"]))
    return item(start=begin)


COMMIT = pb.RepairVersionRequest(commit=pb.RepairCommit())


def repair(
    stubs: Stubs, *requests: pb.RepairVersionRequest
) -> list[pb.RepairVersionResponse]:
    return list(stubs.maintenance.RepairVersion(iter(requests), timeout=30))


def repair_refused(stubs: Stubs, requests: Iterable[pb.RepairVersionRequest]) -> Failed:
    return refused(stubs.maintenance.RepairVersion(iter(requests), timeout=30))


def test_damage_names_versions_and_refs_to_those_who_may_know_them(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))
    move = artifact_pb.MoveRefRequest(
        name=f"{ARTIFACT}/refs/secret", version="1", request_id=str(uuid.uuid4())
    )
    stubs.artifacts.MoveRef(move, timeout=10)
    damage(served)

    [owner] = findings(stubs)
    with served.server.channel(served.issue(TRAINER)) as channel:
        trainer = served.stubs(channel)
        [seen] = findings(trainer, "projects/demo")
        whole = pb.VerifyStoreRequest()
        denied = refused(trainer.maintenance.VerifyStore(whole, timeout=10))

    assert [risk.name for risk in owner.at_risk] == [VERSION]
    assert list(owner.at_risk[0].refs) == ["latest", "secret"]
    assert list(owner.at_risk[0].paths) == ["big"]
    assert [risk.name for risk in seen.at_risk] == [VERSION]
    assert list(seen.at_risk[0].refs) == []
    assert denied.code == "PERMISSION_DENIED"


def test_a_verification_is_audited_with_counts_and_no_names(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))

    assert findings(stubs) == []

    _, _, intent, outcome = served.server.audit.events()
    assert (intent.phase.value, outcome.phase.value) == ("intent", "outcome")
    counts = dict(outcome.detail)
    assert int(counts["bytes"]) > len(FILES["big"])
    assert counts["damaged"] == "0"
    for name in (b"demo", b"minilm", b"big"):
        assert name not in b"".join(served.server.audit.lines())


@pytest.mark.parametrize("field", ["max_bytes_per_second", "committed_within_days"])
def test_a_negative_limit_is_refused(stubs: Stubs, field: str) -> None:
    request = pb.VerifyStoreRequest()
    setattr(request, field, -1)

    failed = refused(stubs.maintenance.VerifyStore(request, timeout=10))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


def test_a_repair_asks_for_what_is_damaged_and_stores_it_anew(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))
    damage(served)
    digest = "sha256:" + hashlib.sha256(FILES["big"]).hexdigest()

    *wanted, last = repair(
        stubs,
        start(),
        file_start(),
        item(block=transfer_pb.Block(data=FILES["big"])),
        item(end=transfer_pb.FileEnd(digest=digest)),
        COMMIT,
    )

    assert [path for part in wanted for path in part.wanted.paths] == ["big"]
    assert wanted[-1].wanted.complete
    assert (last.report.damaged_count, last.report.repaired_count) == (1, 1)
    assert last.report.stored_bytes > len(FILES["big"])
    verify = pb.VerifyVersionRequest(name=VERSION)
    answers = list(stubs.maintenance.VerifyVersion(verify, timeout=30))
    assert answers[-1].report.damaged_count == 0
    detail = dict(served.server.audit.events()[-3].detail)
    assert (detail["repaired"], detail["bytes"]) == ("1", str(len(FILES["big"])))


OUT_OF_ORDER: dict[str, list[pb.RepairVersionRequest]] = {
    "no start": [file_start()],
    "no commit": [start()],
    "two starts": [start(), start(), COMMIT],
    "an empty request": [start(), pb.RepairVersionRequest()],
    "a block of no file": [start(), item(block=transfer_pb.Block(data=b"x"))],
    "an end of no file": [start(), item(end=transfer_pb.FileEnd())],
    "a file that is the same": [start(), item(same=transfer_pb.FileSame(path="big"))],
    "an empty item": [start(), item()],
    "a file that was not wanted": [start(), file_start("small")],
    "a file that is not there": [start(), file_start("absent")],
    "a selector": [start(f"{ARTIFACT}/versions/latest"), COMMIT],
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_what_is_out_of_order_mends_nothing(
    served: Served, stubs: Stubs, name: str
) -> None:
    write(stubs, write_requests(FILES))
    damage(served)
    before = served.world.keys()

    failed = repair_refused(stubs, OUT_OF_ORDER[name])

    assert failed.code in {"INVALID_ARGUMENT", "FAILED_PRECONDITION"}, failed
    assert served.world.keys() == before


def test_who_may_only_verify_mends_nothing(served: Served, stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    damage(served)

    with served.server.channel(served.issue(TRAINER)) as channel:
        failed = repair_refused(served.stubs(channel), [start(), COMMIT])

    assert failed.code == "PERMISSION_DENIED"
