# SPDX-License-Identifier: Apache-2.0
"""A server that lies: nothing wrong is handed out, written, or believed."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from strongroom.client import Client
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InternalError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
)
from strongroom.format.digest import VersionDigester
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import artifact_service_pb2_grpc as artifact_grpc
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2_grpc as transfer_grpc
from tests.client.engine import write_settings
from tests.client.trees import MIB, leftovers, write_tree
from tests.rpc.authority import DEVELOPER, Authority

NAME = "projects/demo/artifacts/lies/versions/1"
GOOD = b"good bytes" * 1000
DIGEST = "sha256:" + hashlib.sha256(GOOD).hexdigest()


def version_digest() -> str:
    digester = VersionDigester()
    digester.add("file", len(GOOD), DIGEST)
    return digester.digest()


def version(digest: str = "") -> artifact_pb.Version:
    return artifact_pb.Version(
        name=NAME,
        number=1,
        digest=digest or version_digest(),
        file_count=1,
        size_bytes=len(GOOD),
    )


def start(
    path: str = "file", size: int = len(GOOD), digest: str = DIGEST
) -> pb.TransferItem:
    return pb.TransferItem(
        start=pb.FileStart(path=path, size_bytes=size, digest=digest)
    )


def block(data: bytes = GOOD, offset: int = 0) -> pb.TransferItem:
    return pb.TransferItem(block=pb.Block(offset_bytes=offset, data=data))


END = pb.TransferItem(end=pb.FileEnd(digest=DIGEST))
HONEST = (start(), block(), END)


class Lies(
    transfer_grpc.TransferServiceServicer, artifact_grpc.ArtifactServiceServicer
):
    """Answers what the test says."""

    def __init__(self) -> None:
        self.version = version()
        self.items: Iterable[pb.TransferItem] = HONEST
        self.file = artifact_pb.File(path="file", size_bytes=len(GOOD), digest=DIGEST)
        self.next_page_token = ""
        self.found = pb.FoundFiles()
        self.position = pb.WritePosition()
        self.result: Callable[[], Sequence[pb.WriteVersionResponse]] = list

    def ReadVersion(  # noqa: N802 - gRPC's name
        self, request: pb.ReadVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadVersionResponse]:
        yield pb.ReadVersionResponse(version=self.version)
        items = iter(self.items)
        first = list(itertools.islice(items, 100))
        yield pb.ReadVersionResponse(items=pb.TransferItems(items=first))
        for item in items:
            yield pb.ReadVersionResponse(items=pb.TransferItems(items=[item]))

    def WriteVersion(  # noqa: N802 - gRPC's name
        self,
        request_iterator: Iterator[pb.WriteVersionRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.WriteVersionResponse]:
        next(request_iterator)
        yield pb.WriteVersionResponse(position=self.position)
        for _ in request_iterator:
            continue
        yield from self.result()

    def _unused(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise NotImplementedError

    CreateProject = ListProjects = ListArtifacts = GetArtifact = _unused
    CreateArtifact = ListReaders = _unused
    GetVersion = ListVersions = ListJournalEntries = DiffVersions = MoveRef = _unused
    DeleteVersion = UndeleteVersion = SetHold = SetPolicy = _unused
    ExplainRetention = CommitDraft = DiscardDraft = GetLineage = _unused

    def ReadFiles(self, requests: Any, context: Any) -> Any:  # noqa: ANN401, N802
        next(requests)
        yield pb.ReadFilesResponse(version=self.version)
        yield from (pb.ReadFilesResponse(found=self.found) for _ in requests)

    def ListFiles(  # noqa: N802 - gRPC's name
        self, request: artifact_pb.ListFilesRequest, context: grpc.ServicerContext
    ) -> artifact_pb.ListFilesResponse:
        return artifact_pb.ListFilesResponse(
            version=self.version,
            files=[self.file],
            next_page_token=self.next_page_token,
        )


@contextmanager
def lying(folder: Path) -> Iterator[tuple[Client, Lies]]:
    authority = Authority()
    shown = authority.issue("dns:localhost", "ip:127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(shown.private_key_pem, shown.chain_pem)],
        authority.ca_pem,
        True,  # noqa: FBT003
    )
    lies = Lies()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        transfer_grpc.add_TransferServiceServicer_to_server(lies, server)
        artifact_grpc.add_ArtifactServiceServicer_to_server(lies, server)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        settings = write_settings(
            folder / "certificates",
            endpoint=f"127.0.0.1:{port}",
            ca_pem=authority.ca_pem,
            certificate=authority.issue(DEVELOPER),
        )
        with Client(settings) as client:
            yield client, lies
        server.stop(0).wait()


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[tuple[Client, Lies]]:
    with lying(tmp_path) as pair:
        yield pair


def test_an_honest_answer_is_written(liar: tuple[Client, Lies], tmp_path: Path) -> None:
    liar[0].pull("demo/lies", tmp_path / "out")

    assert (tmp_path / "out/file").read_bytes() == GOOD


LYING_ITEMS: dict[str, tuple[pb.TransferItem, ...]] = {
    "other bytes": (start(), block(b"evil bytes" * 1000), END),
    "too few bytes": (start(), block(GOOD[:-1]), END),
    "too many bytes": (start(), block(), block(b"x", len(GOOD)), END),
    "a gap": (start(), block(GOOD[:10]), block(GOOD[20:], 20), END),
    "bytes twice": (start(), block(), block(), END),
    "no end": (start(), block()),
    "no start": (block(), END),
    "an end alone": (END,),
    "nothing": (),
    "a file inside a file": (start(), start("other"), END),
    "a file twice": (*HONEST, *HONEST),
    "files out of order": (*HONEST, start("a"), block(), END),
    "a file too many": (*HONEST, start("other"), block(), END),
    "a file that escapes": (start("../evil"), block(), END),
    "an absolute file": (start("/tmp/evil"), block(), END),  # noqa: S108 - never made
    "a negative size": (start(size=-1), END),
    "an unknown item": (start(), pb.TransferItem(), block(), END),
    "no digest": (start(digest=""), block(), END),
}


@pytest.mark.parametrize("name", LYING_ITEMS)
def test_a_pull_of_lies_writes_nothing(
    liar: tuple[Client, Lies], tmp_path: Path, name: str
) -> None:
    client, lies = liar
    lies.items = LYING_ITEMS[name]

    with pytest.raises(StrongroomError) as caught:
        client.pull("demo/lies", tmp_path / "out")

    assert isinstance(
        caught.value, IntegrityError | InvalidArgumentError | InternalError
    )
    assert not caught.value.retriable
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()
    assert leftovers(tmp_path) == []


def test_files_that_are_not_the_versions_are_refused(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    client, lies = liar
    lies.version = version("sha256:" + "0" * 64)

    with pytest.raises(IntegrityError) as caught:
        client.pull("demo/lies", tmp_path / "out")

    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("selector", ["2", "sha256:00000000", "sha256:" + "0" * 64])
@pytest.mark.parametrize("path", ["", "/file"])
def test_another_version_than_the_one_asked_for_is_refused(
    liar: tuple[Client, Lies], tmp_path: Path, selector: str, path: str
) -> None:
    client, _ = liar
    uri = f"demo/lies@{selector}{path}"

    with pytest.raises(IntegrityError, match="asked for") as caught:
        client.pull(uri, tmp_path / "out")

    assert caught.value.reason is Reason.MANIFEST_CORRUPT
    assert not (tmp_path / "out").exists()
    for ask in (client.open, lambda uri: list(client.list_files(uri))):
        with pytest.raises(IntegrityError, match="asked for"):
            ask(uri)


@pytest.mark.parametrize(
    "name",
    ["projects/demo/artifacts/other/versions/1", f"{NAME}0", f"{NAME[:-1]}latest"],
)
def test_a_version_of_another_name_is_refused(
    liar: tuple[Client, Lies], tmp_path: Path, name: str
) -> None:
    client, lies = liar
    lies.version.name = name

    with pytest.raises(IntegrityError, match="asked for"):
        client.pull("demo/lies", tmp_path / "out")


def test_the_version_asked_for_by_its_digest_is_believed(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    liar[0].pull(f"demo/lies@{version_digest()[:20]}", tmp_path / "out")

    assert (tmp_path / "out/file").read_bytes() == GOOD


def test_a_server_that_never_stops_sending_is_stopped(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    client, lies = liar
    empty = "sha256:" + hashlib.sha256().hexdigest()

    def files() -> Iterator[pb.TransferItem]:
        for number in itertools.count():
            yield start(f"{number:020}", 0, empty)
            yield END

    lies.items = files()

    with pytest.raises(IntegrityError, match="more than"):
        client.pull("demo/lies", tmp_path / "out")
    assert leftovers(tmp_path) == []


def test_a_file_larger_than_its_version_is_refused_at_its_start(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    client, lies = liar
    lies.items = (start(size=2**50),)

    with pytest.raises(IntegrityError, match="more than"):
        client.pull("demo/lies", tmp_path / "out")


def test_a_file_that_was_not_asked_for_is_refused(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    with pytest.raises(IntegrityError, match="not asked for"):
        liar[0].pull("demo/lies/dir/", tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["other bytes", "too few bytes", "a gap", "bytes twice", "nothing"]
)
def test_an_open_file_hands_out_no_lies(liar: tuple[Client, Lies], name: str) -> None:
    client, lies = liar
    lies.items = LYING_ITEMS[name]

    with pytest.raises(IntegrityError):
        client.read_bytes("demo/lies/file")


def test_a_file_that_was_refused_is_not_handed_out_later(
    liar: tuple[Client, Lies],
) -> None:
    client, lies = liar
    lies.items = LYING_ITEMS["other bytes"]
    with client.open("demo/lies/file") as file:
        with pytest.raises(IntegrityError):
            file.read()

        with pytest.raises(ValueError, match="closed"):
            file.read()


def test_a_listing_of_another_file_is_not_opened(liar: tuple[Client, Lies]) -> None:
    client, lies = liar
    lies.file.path = "another"

    with pytest.raises(StrongroomError, match="has no file 'file'"):
        client.open("demo/lies/file")


def test_a_push_that_was_stored_otherwise_is_an_error(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    client, lies = liar
    lies.result = lambda: [
        pb.WriteVersionResponse(result=pb.WriteResult(version=version()))
    ]
    tree = write_tree(tmp_path / "in", {"other": bytes(MIB)})

    with pytest.raises(IntegrityError) as caught:
        client.push(tree, "demo/lies")

    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_a_push_without_an_answer_is_an_error(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"file": b"1"})

    with pytest.raises(InternalError, match="without a version"):
        liar[0].push(tree, "demo/lies")


@pytest.mark.parametrize(
    "position",
    [
        pb.WritePosition(file_count=-1),
        pb.WritePosition(file_count=1, last_path="another", received_bytes=5),
        pb.WritePosition(file_count=3, last_path="b", received_bytes=10),
        pb.WritePosition(
            file_count=1,
            last_path="a",
            received_bytes=4,
            modes_digest=hashlib.sha256().digest(),
        ),
        pb.WritePosition(
            file_count=1,
            last_path="a",
            received_bytes=5,
            modes_digest=hashlib.sha256(b"a\n").digest(),
        ),
        pb.WritePosition(open_path="b", offset_bytes=1, received_bytes=1),
        pb.WritePosition(open_path="a", offset_bytes=6, received_bytes=6),
        pb.WritePosition(open_path="a", offset_bytes=-1, received_bytes=-1),
        pb.WritePosition(offset_bytes=1, received_bytes=1),
    ],
)
def test_a_position_that_does_not_fit_the_source_ends_the_push(
    liar: tuple[Client, Lies], tmp_path: Path, position: pb.WritePosition
) -> None:
    client, lies = liar
    lies.position = position
    tree = write_tree(tmp_path / "in", {"a": b"12345", "b": b"12345"})

    with pytest.raises(ConflictError) as caught:
        client.push(tree, "demo/lies")

    assert caught.value.reason is Reason.SOURCE_CHANGED


def test_a_listing_without_an_end_does_not_keep_a_push(
    liar: tuple[Client, Lies], tmp_path: Path
) -> None:
    client, lies = liar
    lies.next_page_token = "again"
    tree = write_tree(tmp_path / "in", {"zzz": bytes(5 * MIB)})

    with pytest.raises(InternalError, match="without a version"):
        client.push(tree, "demo/lies")
