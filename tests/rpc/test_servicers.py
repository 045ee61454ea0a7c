# SPDX-License-Identifier: Apache-2.0
"""The whole API over real mTLS, on an engine with memory adapters."""

import hashlib
import uuid
from datetime import UTC

import grpc
import pytest

from strongroom.format.digest import path_order
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.rpc.showing import MAX_ANSWER_BYTES
from tests.rpc.authority import DEVELOPER, READER, TRAINER
from tests.rpc.engine import END
from tests.rpc.running import ARTIFACT, read_failure
from tests.rpc.serving import (
    FILES,
    MIB,
    Served,
    Stubs,
    items,
    read,
    refused,
    write,
    write_requests,
)


def test_what_was_written_is_read_back(served: Served, stubs: Stubs) -> None:
    written = write(stubs, write_requests(FILES))
    version, files = read(
        stubs, transfer_pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/latest")
    )

    assert files == FILES
    assert list(files) == sorted(FILES, key=path_order)
    assert version == written.version
    assert (version.number, version.file_count) == (1, len(FILES))
    assert version.creator == DEVELOPER
    assert version.message == "first"
    assert dict(version.metadata) == {"run": "1"}
    assert list(version.refs) == ["latest"]
    assert not written.unchanged


def test_the_audit_log_counts_and_never_names(served: Served, stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    read(stubs, transfer_pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/1"))

    total = str(sum(map(len, FILES.values())))
    intent, outcome, _, read_outcome = served.server.audit.events()
    assert {key for key, _ in intent.detail} == {"certificate", "key_exchange"}
    for event in (outcome, read_outcome):
        assert dict(event.detail) == {
            "bytes": total,
            "files": str(len(FILES)),
            "version": "1",
        }
    lines = b"".join(served.server.audit.lines()) + str(served.server.lines).encode()
    for name in (b"demo", b"minilm", b"safetensors", b"first"):
        assert name not in lines


def test_the_journal_names_the_audit_entry_and_trace_of_its_call(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))
    request = artifact_pb.ListJournalEntriesRequest(parent=ARTIFACT)
    newest = stubs.artifacts.ListJournalEntries(request, timeout=10).entries[0]

    assert newest.action == artifact_pb.JOURNAL_ACTION_COMMIT
    assert newest.audit_id == "00000000-0"
    assert newest.trace_id == served.server.audit.events()[0].trace_id
    assert newest.actor == DEVELOPER


def test_the_same_content_makes_no_new_version(stubs: Stubs) -> None:
    first = write(stubs, write_requests(FILES))
    second = write(stubs, write_requests(FILES))

    assert second.unchanged
    assert second.version.number == first.version.number == 1


def test_a_range_of_a_file_is_read(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))

    _, files = read(
        stubs,
        transfer_pb.ReadVersionRequest(
            name=f"{ARTIFACT}/versions/1",
            paths=["model.safetensors"],
            offset_bytes=1000,
            length_bytes=300,
        ),
    )

    assert files == {"model.safetensors": FILES["model.safetensors"][1000:1300]}


def test_many_small_files_share_messages(stubs: Stubs) -> None:
    many = {f"f{number:05}": b"x" * 10 for number in range(2500)}
    write(stubs, write_requests(many))
    request = transfer_pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/1")

    responses = list(stubs.transfers.ReadVersion(request, timeout=60))
    _, files = read(stubs, request)

    assert files == many
    assert len(responses) < 20


def test_an_offset_past_the_end_is_told(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))

    failed = refused(
        stubs.transfers.ReadVersion(
            transfer_pb.ReadVersionRequest(
                name=f"{ARTIFACT}/versions/1", paths=["sub/a-b"], offset_bytes=99
            ),
            timeout=10,
        )
    )

    assert (failed.code, failed.reason) == ("OUT_OF_RANGE", "OFFSET_PAST_END")


def _block(offset: int, size: int) -> transfer_pb.WriteVersionRequest:
    block = transfer_pb.Block(offset_bytes=offset, data=bytes(size))
    return items(transfer_pb.TransferItem(block=block))


def _file(path: str, size: int) -> transfer_pb.WriteVersionRequest:
    start = transfer_pb.FileStart(path=path, size_bytes=size)
    return items(transfer_pb.TransferItem(start=start))


def _end(data: bytes) -> transfer_pb.WriteVersionRequest:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return items(transfer_pb.TransferItem(end=transfer_pb.FileEnd(digest=digest)))


@pytest.mark.parametrize(
    ("middle", "code", "reason"),
    [
        ([], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([transfer_pb.WriteVersionRequest()], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([next(write_requests({}))], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([items(transfer_pb.TransferItem())], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([_block(0, 1)], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([_end(b"")], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([_file("a", 5), _block(1, 1)], "INVALID_ARGUMENT", "OFFSET_MISMATCH"),
        ([_file("a", 1), _block(0, 2)], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
        ([_file("a", 2), _block(0, 1), _end(b"\0")], "INVALID_ARGUMENT", None),
        ([_file("a", 2 * MIB), _block(0, MIB + 1)], None, "BLOCK_TOO_LARGE"),
        ([_file("a", 1), _block(0, 1), _end(b"x")], "DATA_LOSS", "DIGEST_MISMATCH"),
        ([_file("../a", 0)], "INVALID_ARGUMENT", "PATH_MALFORMED"),
        (
            [_file("b", 0), _end(b""), _file("a", 0), _end(b"")],
            "INVALID_ARGUMENT",
            None,
        ),
        (
            [_file("a", 0), _end(b""), _file("a", 0), _end(b"")],
            "INVALID_ARGUMENT",
            None,
        ),
        ([_file("a", 0), _file("b", 0)], "INVALID_ARGUMENT", "ARGUMENT_INVALID"),
    ],
)
def test_a_stream_out_of_order_changes_nothing(
    stubs: Stubs,
    middle: list[transfer_pb.WriteVersionRequest],
    code: str | None,
    reason: str | None,
) -> None:
    write(stubs, write_requests({"a": b"1"}))
    start = next(write_requests({}))

    failed = refused(stubs.transfers.WriteVersion(iter([start, *middle]), timeout=10))

    assert failed.code == (code or failed.code)
    assert failed.reason == (reason or failed.reason)
    assert failed.domain == "strongroom.v1"
    artifact = stubs.artifacts.GetArtifact(
        artifact_pb.GetArtifactRequest(name=ARTIFACT), timeout=10
    )
    assert artifact.latest_version == 1


def test_a_writer_without_the_right_makes_no_project(served: Served) -> None:
    with served.server.channel(served.issue(TRAINER)) as channel:
        stubs = served.stubs(channel)
        failed = refused(
            stubs.transfers.WriteVersion(write_requests(FILES), timeout=10)
        )

    assert (failed.code, failed.reason) == ("NOT_FOUND", "PROJECT_NOT_FOUND")


def test_lists_show_what_the_caller_may_see(served: Served, stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    write(stubs, write_requests(FILES, parent="projects/secret/artifacts/plans"))
    request = artifact_pb.ListProjectsRequest()
    everything = stubs.artifacts.ListProjects(request, timeout=10)
    with served.server.channel(served.issue(READER)) as channel:
        visible = served.stubs(channel).artifacts.ListProjects(request, timeout=10)

    assert [project.name for project in everything.projects] == [
        "projects/demo",
        "projects/secret",
    ]
    assert [project.name for project in visible.projects] == ["projects/demo"]


def test_refs_are_shown_to_those_who_may_list_them(
    served: Served, stubs: Stubs
) -> None:
    write(stubs, write_requests(FILES))
    move = artifact_pb.MoveRefRequest(
        name=f"{ARTIFACT}/refs/prod",
        version="1",
        reason="good",
        request_id=str(uuid.uuid4()),
    )
    ref = stubs.artifacts.MoveRef(move, timeout=10)
    get = artifact_pb.GetArtifactRequest(name=ARTIFACT)
    version = artifact_pb.GetVersionRequest(name=f"{ARTIFACT}/versions/1")
    owner = stubs.artifacts.GetArtifact(get, timeout=10)
    with served.server.channel(served.issue(READER)) as channel:
        reader = served.stubs(channel).artifacts
        hidden = reader.GetArtifact(get, timeout=10)
        hidden_version = reader.GetVersion(version, timeout=10)

    assert ref.version == 1
    assert [item.name for item in owner.refs] == [ref.name]
    assert list(hidden.refs) == []
    assert list(hidden_version.refs) == []
    shown = stubs.artifacts.GetVersion(version, timeout=10)
    assert set(shown.refs) == {"latest", "prod"}


def test_projects_and_artifacts_are_made_listed_and_found(stubs: Stubs) -> None:
    create = artifact_pb.CreateProjectRequest(
        project_id="other", request_id=str(uuid.uuid4())
    )
    project = stubs.artifacts.CreateProject(create, timeout=10)
    write(stubs, write_requests(FILES))
    parent = artifact_pb.ListArtifactsRequest(parent="projects/demo")
    listed = stubs.artifacts.ListArtifacts(parent, timeout=10)
    versions = stubs.artifacts.ListVersions(
        artifact_pb.ListVersionsRequest(parent=ARTIFACT), timeout=10
    )

    assert project.name == "projects/other"
    assert [item.name for item in listed.artifacts] == [ARTIFACT]
    assert listed.artifacts[0].kind == artifact_pb.ARTIFACT_KIND_WEIGHTS
    assert [item.number for item in versions.versions] == [1]
    again = artifact_pb.CreateProjectRequest(
        project_id="other", request_id=str(uuid.uuid4())
    )
    with pytest.raises(grpc.RpcError) as caught:
        stubs.artifacts.CreateProject(again, timeout=10)
    assert read_failure(caught.value).reason == "PROJECT_EXISTS"


def test_a_listing_always_fits_into_a_message(stubs: Stubs) -> None:
    folder = "/".join(["d" * 250] * 15)
    many = {f"{folder}/{number:04}": b"" for number in range(1100)}
    write(stubs, write_requests(many))
    paths: list[str] = []
    token = ""
    while True:
        page = stubs.artifacts.ListFiles(
            artifact_pb.ListFilesRequest(
                parent=f"{ARTIFACT}/versions/1", page_size=10_000, page_token=token
            ),
            timeout=30,
        )
        assert page.ByteSize() <= MAX_ANSWER_BYTES
        paths += [file.path for file in page.files]
        token = page.next_page_token
        if not token:
            break

    assert paths == list(many)


def test_two_versions_are_compared(stubs: Stubs) -> None:
    write(stubs, write_requests(FILES))
    write(stubs, write_requests(FILES | {"sub/a-b": b"changed", "new": b"n"}))
    request = artifact_pb.DiffVersionsRequest(
        base=f"{ARTIFACT}/versions/1", target=f"{ARTIFACT}/versions/2"
    )

    *changes, last = stubs.artifacts.DiffVersions(request, timeout=10)

    assert [(part.file.path, part.file.change) for part in changes] == [
        ("new", artifact_pb.CHANGE_ADDED),
        ("sub/a-b", artifact_pb.CHANGE_MODIFIED),
    ]
    assert (last.summary.added_count, last.summary.modified_count) == (1, 1)


@pytest.mark.parametrize("name", [ARTIFACT, f"{ARTIFACT}/versions/latest"])
def test_a_whole_version_verifies(stubs: Stubs, name: str) -> None:
    write(stubs, write_requests(FILES))
    request = maintenance_pb.VerifyVersionRequest(name=name)

    *_, last = stubs.maintenance.VerifyVersion(request, timeout=30)

    assert last.report.file_count == len(FILES)
    assert last.report.damaged_count == 0


def test_the_server_tells_what_it_is_and_whom_it_sees(served: Served) -> None:
    with served.server.channel(served.issue(READER)) as channel:
        info = served.stubs(channel).maintenance.GetServerInfo(
            maintenance_pb.GetServerInfoRequest(), timeout=10
        )

    assert info.version == "1.2.3"
    assert info.store_id == "store"
    assert info.principal == READER
    assert info.tls_version == "TLSv1.3"
    assert info.key_exchange == "X25519MLKEM768"
    assert info.certificate_expire_time.ToDatetime(UTC) == END
    assert "reader on projects/demo/*" in info.roles
    assert len(info.kinds) == 3


def test_the_server_is_checked(stubs: Stubs) -> None:
    answer = stubs.maintenance.CheckServer(
        maintenance_pb.CheckServerRequest(), timeout=30
    )

    assert {result.check for result in answer.results} >= {
        "vault.ready",
        "vault.signing",
        "store.conditional_write",
    }
    assert all(result.ok for result in answer.results)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("projects/none/artifacts/x/versions/1", "PROJECT_NOT_FOUND"),
        ("projects/demo/artifacts/none/versions/1", "ARTIFACT_NOT_FOUND"),
        (f"{ARTIFACT}/versions/7", "VERSION_NOT_FOUND"),
        (f"{ARTIFACT}/versions/none", "REF_NOT_FOUND"),
    ],
)
def test_what_does_not_exist_is_told_to_those_who_may_know(
    stubs: Stubs, name: str, reason: str
) -> None:
    write(stubs, write_requests(FILES))

    failed = refused(
        stubs.transfers.ReadVersion(
            transfer_pb.ReadVersionRequest(name=name), timeout=10
        )
    )

    assert (failed.code, failed.reason) == ("NOT_FOUND", reason)
