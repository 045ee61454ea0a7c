# SPDX-License-Identifier: Apache-2.0
"""Changes wait for the audit log in the store; reads for this server's disk."""

import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom_server.core.access import AccessAction
from strongroom_server.core.audit import READS
from tests.rpc.calling import get_artifact
from tests.rpc.running import ARTIFACT, Running


def test_reads_are_actions_that_exist() -> None:
    assert {""} | set(AccessAction) >= READS


@pytest.mark.parametrize(
    "word",
    ["write", "create", "move", "delete", "undelete", "set", "apply", "repair",
     "rebuild", "check", "plan", "rotate", "retire", "rewrap", "explain"],
)  # fmt: skip
def test_no_change_is_a_read(word: str) -> None:
    changes = [item for item in READS if item.endswith(f".{word}")]

    assert changes in ([], ["retention.explain"])


def test_a_read_is_recorded_on_disk_and_a_change_in_the_store(server: Running) -> None:
    get_artifact(server)
    with server.artifacts() as stub:
        request = artifact_pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod")
        stub.MoveRef(request, timeout=10)

    assert server.audit.shared() == [False, True, True]
