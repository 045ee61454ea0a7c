# SPDX-License-Identifier: Apache-2.0
"""The table of methods: no RPC without a row, no row without an RPC."""

from typing import Any

import pytest
from google.protobuf.message import Message

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import (
    access_service_pb2,
    approval_service_pb2,
    artifact_service_pb2,
    backup_service_pb2,
    drill_service_pb2,
    grant_service_pb2,
    key_service_pb2,
    maintenance_service_pb2,
    restore_service_pb2,
    transfer_service_pb2,
)
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc.methods import METHODS, Phases, TimeClass
from strongroom_server.rpc.wire import FLAT

FILES: list[Any] = [
    access_service_pb2,
    approval_service_pb2,
    artifact_service_pb2,
    backup_service_pb2,
    drill_service_pb2,
    grant_service_pb2,
    key_service_pb2,
    maintenance_service_pb2,
    restore_service_pb2,
    transfer_service_pb2,
]
RPCS: dict[str, Any] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ARTIFACT = "projects/demo/artifacts/minilm"
VERSION = f"{ARTIFACT}/versions/prod~1"
NUMBER = f"{ARTIFACT}/versions/3"

#: A good first request of each method, and the targets that it names.
EXAMPLES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "ExplainAccess": ({}, [("server", "server")]),
    "RequestApproval": ({}, [("server", "server")]),
    "ListApprovals": ({}, [("server", "server")]),
    "GetApproval": ({}, [("server", "server")]),
    "DecideApproval": ({}, [("server", "server")]),
    "WithdrawApproval": ({}, [("server", "server")]),
    "CreateProject": ({"project_id": "demo"}, [("projects/demo", "projects/demo")]),
    "ListProjects": ({}, [("projects", "projects")]),
    "ListArtifacts": ({"parent": "projects/demo"}, [("projects/demo",) * 2]),
    "GetArtifact": ({"name": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "GetVersion": ({"name": VERSION}, [(VERSION, ARTIFACT)]),
    "ListVersions": ({"parent": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "ListFiles": ({"parent": VERSION}, [(VERSION, ARTIFACT)]),
    "ListJournalEntries": ({"parent": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "DiffVersions": (
        {"base": VERSION, "target": f"{ARTIFACT}/versions/2"},
        [(VERSION, ARTIFACT), (f"{ARTIFACT}/versions/2", ARTIFACT)],
    ),
    "MoveRef": (
        {"name": f"{ARTIFACT}/refs/prod"},
        [(f"{ARTIFACT}/refs/prod", ARTIFACT)],
    ),
    "DeleteVersion": ({"name": NUMBER}, [(NUMBER, ARTIFACT)]),
    "UndeleteVersion": ({"name": NUMBER}, [(NUMBER, ARTIFACT)]),
    "SetHold": ({"name": NUMBER}, [(NUMBER, ARTIFACT)]),
    "SetPolicy": ({"name": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "ExplainRetention": ({"name": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "GetLineage": ({"name": VERSION}, [(VERSION, ARTIFACT)]),
    "ListReaders": ({"parent": VERSION}, [(VERSION, ARTIFACT)]),
    "WriteVersion": ({"start": {"parent": ARTIFACT}}, [(ARTIFACT, ARTIFACT)]),
    "CommitDraft": ({"parent": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "DiscardDraft": ({"parent": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "ReadVersion": ({"name": VERSION}, [(VERSION, ARTIFACT)]),
    "ReadFiles": ({"start": {"name": VERSION}}, [(VERSION, ARTIFACT)]),
    "OpenVersion": ({"name": VERSION}, [(VERSION, ARTIFACT)]),
    "WriteGranted": ({"start": {"parent": ARTIFACT}}, [(ARTIFACT, ARTIFACT)]),
    "WatchGrants": (
        {"names": [NUMBER, f"{ARTIFACT}/versions/4"]},
        [(NUMBER, ARTIFACT), (f"{ARTIFACT}/versions/4", ARTIFACT)],
    ),
    "VerifyVersion": ({"name": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "VerifyStore": ({"name": ARTIFACT}, [(ARTIFACT, ARTIFACT)]),
    "RepairVersion": ({"start": {"name": NUMBER}}, [(NUMBER, ARTIFACT)]),
    "PlanSweep": ({"name": "projects/demo"}, [("projects/demo", "projects/demo")]),
    "ApplySweep": ({"start": {}}, [("server", "server")]),
    "ExplainObject": ({}, [("server", "server")]),
    "RebuildIndex": ({}, [("server", "server")]),
    "CheckServer": ({}, [("server", "server")]),
    "GetServerInfo": ({}, [("server", "server")]),
    "ListKeys": ({}, [("server", "server")]),
    "RotateKeks": ({}, [("server", "server")]),
    "RewrapSlots": ({"name": "projects/demo"}, [("projects/demo",) * 2]),
    "RetireKeks": ({}, [("server", "server")]),
    "StartEpoch": ({"name": "projects/demo"}, [("projects/demo",) * 2]),
    "PreviewShred": ({"name": "projects/demo"}, [("projects/demo",) * 2]),
    "ShredProject": ({"name": "projects/demo"}, [("projects/demo",) * 2]),
    "ShredArtifact": (
        {"name": "projects/demo/artifacts/a"},
        [("projects/demo/artifacts/a",) * 2],
    ),
    "CreateArtifact": (
        {"parent": "projects/demo", "artifact_id": "a"},
        [("projects/demo/artifacts/a",) * 2],
    ),
    "GetShredReceipt": ({"name": "projects/demo"}, [("projects/demo",) * 2]),
    "ListShredded": ({}, [("server", "server")]),
    "ListSigningKeys": ({}, [("server", "server")]),
    "RestoreVersions": ({"name": NUMBER}, [(NUMBER, ARTIFACT)]),
    "RunDrill": ({}, [("server", "server")]),
    "ListDrills": ({}, [("server", "server")]),
    "GetDrill": ({}, [("server", "server")]),
    "CreateBackup": ({}, [("server", "server")]),
    "ListBackups": ({}, [("server", "server")]),
    "GetBackup": ({}, [("server", "server")]),
    "VerifyBackup": ({}, [("server", "server")]),
    "ExtendBackup": ({}, [("server", "server")]),
    "SetBackupHold": ({}, [("server", "server")]),
}


#: What may take longer than other calls, beside streams.
LONG = (
    "ListBackups",
    *("CheckServer", "ListShredded", "PreviewShred", "ShredArtifact", "ShredProject"),
    *("CommitDraft", "DiscardDraft", "GetLineage", "ListDrills"),
)


def request_of(name: str, values: dict[str, Any]) -> Message:
    input_type: Any = RPCS[name].input_type
    module = next(
        file for file in FILES if input_type.file.name == file.DESCRIPTOR.name
    )
    cls: type[Message] = getattr(module, input_type.name)
    return cls(**values)


def test_every_rpc_has_a_row_and_every_row_an_rpc() -> None:
    assert set(METHODS) == set(RPCS)


def test_every_right_is_needed_by_an_rpc_or_a_listing() -> None:
    # Refs come with artifacts and versions, and are left out without the right.
    used = {method.action for method in METHODS.values()} | {AccessAction.REF_LIST}

    assert used == set(AccessAction)


@pytest.mark.parametrize("name", METHODS)
def test_changes_and_streams_are_written_before_they_begin(name: str) -> None:
    changes = {"CreateProject", "MoveRef", "WriteVersion", "CheckServer"} | {
        *("DeleteVersion", "UndeleteVersion", "SetHold", "SetPolicy", "StartEpoch"),
        *("RequestApproval", "DecideApproval", "WithdrawApproval", "ShredProject"),
        *("CreateArtifact", "ShredArtifact", "CommitDraft", "DiscardDraft"),
    }
    method = METHODS[name]
    is_stream = RPCS[name].server_streaming or RPCS[name].client_streaming

    expected = is_stream or name.rpartition("/")[2] in changes

    assert (method.phases is Phases.INTENT_OUTCOME) is expected
    assert (method.time_class is not TimeClass.SHORT) is (
        is_stream or name.endswith(LONG)
    )


@pytest.mark.parametrize("name", METHODS)
def test_the_first_request_names_what_the_call_is_about(name: str) -> None:
    values, expected = EXAMPLES[name.rpartition("/")[2]]

    targets = METHODS[name].targets(request_of(name, values))

    assert [(target.resource, target.scope) for target in targets] == expected


#: An empty name means the whole store to these.
WHOLE = {"VerifyStore", "PlanSweep", "RewrapSlots"}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in METHODS
        if EXAMPLES[name.rpartition("/")[2]][0] and name.rpartition("/")[2] not in WHOLE
    ],
)
def test_a_request_that_names_nothing_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        METHODS[name].targets(request_of(name, {}))


@pytest.mark.parametrize("method", sorted(WHOLE))
def test_the_whole_store_is_the_servers(method: str) -> None:
    name = next(name for name in METHODS if name.endswith(f"/{method}"))

    [whole] = METHODS[name].targets(request_of(name, {}))
    [project] = METHODS[name].targets(request_of(name, {"name": "projects/demo"}))

    assert (whole.resource, project.resource) == ("server", "projects/demo")


@pytest.mark.parametrize("method", ["DeleteVersion", "UndeleteVersion", "SetHold"])
@pytest.mark.parametrize("selector", ["latest", "prod~1", "sha256:abcd"])
def test_what_is_changed_for_good_is_named_by_its_number(
    method: str, selector: str
) -> None:
    name = f"/strongroom.v1.ArtifactService/{method}"
    request = request_of(name, {"name": f"{ARTIFACT}/versions/{selector}"})

    with pytest.raises(InvalidArgumentError):
        METHODS[name].targets(request)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_flat_request_nests_has_no_repeated_field(name: str) -> None:
    # Only its own fields are counted before it is decoded; see rpc/wire.py.
    rpc = RPCS[name]
    depth = METHODS[name].depth
    if (rpc.client_streaming and depth != FLAT) or METHODS[name].unary_depth > FLAT:
        return
    for field in rpc.input_type.fields:
        if field.message_type is not None:
            inner = field.message_type.fields
            assert [item.name for item in inner if item.is_repeated] == []
            assert [item.name for item in inner if item.message_type] == []


def test_a_version_is_verified_by_its_own_name() -> None:
    name = "/strongroom.v1.MaintenanceService/VerifyVersion"

    [target] = METHODS[name].targets(request_of(name, {"name": VERSION}))

    assert (target.resource, target.scope) == (VERSION, ARTIFACT)


@pytest.mark.parametrize(
    "artifact", ["projects/versions/artifacts/x", "projects/p/artifacts/versions"]
)
def test_a_project_or_artifact_may_be_called_versions(artifact: str) -> None:
    name = "/strongroom.v1.MaintenanceService/VerifyVersion"

    [whole] = METHODS[name].targets(request_of(name, {"name": artifact}))
    version = {"name": f"{artifact}/versions/1"}
    [one] = METHODS[name].targets(request_of(name, version))

    assert whole.resource == artifact
    assert (one.resource, one.scope) == (f"{artifact}/versions/1", artifact)
