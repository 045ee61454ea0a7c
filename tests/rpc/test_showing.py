# SPDX-License-Identifier: Apache-2.0
"""Refs are told to nobody who may not list them, whatever the method."""

import json
import uuid

import pytest

from strongroom.errors import ExhaustedError, Reason
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.rpc.showing import MAX_ANSWER_BYTES, sendable
from tests.rpc.authority import TRAINER
from tests.rpc.running import ARTIFACT
from tests.rpc.serving import FILES, Served, Stubs, refused, write, write_requests

SECRET = "secret-name"


def tell_all(stubs: Stubs) -> dict[str, str]:
    """Return what each method that names versions tells about the first one."""
    name = f"{ARTIFACT}/versions/1"
    stored = write(stubs, write_requests(FILES))
    files = artifact_pb.ListFilesRequest(parent=name)
    versions = artifact_pb.ListVersionsRequest(parent=ARTIFACT)
    comparison = artifact_pb.DiffVersionsRequest(base=name, target=name)
    read = transfer_pb.ReadVersionRequest(name=name)
    verify = maintenance_pb.VerifyVersionRequest(name=name)
    artifacts, transfers, maintenance = (
        stubs.artifacts,
        stubs.transfers,
        stubs.maintenance,
    )
    get = artifact_pb.GetVersionRequest(name=name)
    return {
        "write": str(stored),
        "get": str(artifacts.GetVersion(get, timeout=10)),
        "files": str(artifacts.ListFiles(files, timeout=10)),
        "versions": str(artifacts.ListVersions(versions, timeout=10)),
        "diff": str(list(artifacts.DiffVersions(comparison, timeout=10))),
        "read": str(list(transfers.ReadVersion(read, timeout=10))),
        "verify": str(list(maintenance.VerifyVersion(verify, timeout=10))),
    }


def test_refs_are_hidden_by_every_method(served: Served, stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    move = artifact_pb.MoveRefRequest(
        name=f"{ARTIFACT}/refs/{SECRET}", version="1", request_id=str(uuid.uuid4())
    )
    stubs.artifacts.MoveRef(move, timeout=10)

    owner = tell_all(stubs)
    with served.server.channel(served.issue(TRAINER)) as channel:
        trainer = tell_all(served.stubs(channel))
        missing = artifact_pb.GetVersionRequest(name=f"{ARTIFACT}/versions/prod")
        failed = refused(
            trainer_stub.GetVersion(missing, timeout=10)
            for trainer_stub in (served.stubs(channel).artifacts,)
        )

    assert [method for method, text in owner.items() if SECRET not in text] == []
    assert [method for method, text in trainer.items() if SECRET in text] == []
    assert SECRET not in failed.message


def test_a_comparison_too_large_for_a_message_ends_with_its_reason(
    stubs: Stubs,
) -> None:
    count = 200

    def weights(fill: bytes) -> bytes:
        header = {
            f"{number}{'n' * 20_000}": {
                "dtype": "U8",
                "shape": [1],
                "data_offsets": [number, number + 1],
            }
            for number in range(count)
        }
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + fill * count

    for fill in (b"a", b"b"):
        write(stubs, write_requests({"m.safetensors": weights(fill)}))
    request = artifact_pb.DiffVersionsRequest(
        base=f"{ARTIFACT}/versions/1", target=f"{ARTIFACT}/versions/2"
    )

    failed = refused(stubs.artifacts.DiffVersions(request, timeout=30))

    assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "TOO_LARGE")


def test_only_what_fits_is_sent() -> None:
    fits = artifact_pb.Version(message="x" * (MAX_ANSWER_BYTES - 10))

    assert sendable(fits) is fits
    with pytest.raises(ExhaustedError) as caught:
        sendable(artifact_pb.Version(message="x" * MAX_ANSWER_BYTES))
    assert caught.value.reason is Reason.TOO_LARGE
