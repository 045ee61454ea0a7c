# SPDX-License-Identifier: Apache-2.0
"""What hinders a server from reading files by itself, and what comes of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom._channel.methods import WRITE_VERSION
from strongroom._shared.lane import LaneWrite
from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import InvalidArgumentError, StrongroomError
from strongroom.format.lanes import LANE_HEADER
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemorySettings,
    lane_calls,
    running_shared_memory,
    sources,
)
from tests.client.engine import Engine
from tests.client.trees import MIB, read_tree, write_tree
from tests.rpc.engine import serving_world
from tests.support.cutting_proxy import Plan, cutting_proxy

CONTENT = bytes(range(256)) * (3 * MIB // 256)
PARENT = "projects/demo/artifacts/raw"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Path]]:
    """A server that shares memory, and its data socket."""
    memory = SharedMemorySettings(tmp_path_factory.mktemp("handing") / "data.sock")
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        yield Engine(world, server), memory.socket


@pytest.fixture
def settings(served: tuple[Engine, Path], tmp_path: Path) -> ClientSettings:
    engine, socket = served
    return replace(engine.settings(tmp_path / "certificates"), shared_socket=socket)


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    with Client(settings) as connected:
        yield connected


def refused_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its list of file systems is another one than the client's."""
    monkeypatch.setattr(sources, "is_local", lambda _descriptor: False)


def lost_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client hands over never comes."""
    monkeypatch.setattr(lane_calls, "SOURCE_WAIT_S", 0.05)
    monkeypatch.setattr(LaneWrite, "hand_over", lambda _self, _descriptor: 1)


def gone_at_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lane is closed when it is wanted."""

    def fail(self: LaneWrite, descriptor: int) -> int:
        self._lane.close()
        monkeypatch.undo()
        return self.hand_over(descriptor)

    monkeypatch.setattr(LaneWrite, "hand_over", fail)


HINDRANCES = [refused_by_the_server, lost_on_the_way, gone_at_the_client]


@pytest.mark.parametrize("hinder", HINDRANCES)
def test_a_push_that_cannot_hand_over_sends(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hinder: object
) -> None:
    name = f"demo/push-{hinder.__name__.replace('_', '-')}"  # type: ignore[attr-defined]
    tree = write_tree(tmp_path / "in", {"a": CONTENT, "b": CONTENT[::-1], "c": b"c"})
    hinder(monkeypatch)  # type: ignore[operator]
    pushed = client.push(tree, name)

    assert pushed.version.number == 1
    assert client.read_bytes(f"{name}/a") == CONTENT
    assert client.read_bytes(f"{name}/b") == CONTENT[::-1]
    assert client.verify(name).damaged_count == 0


@pytest.mark.parametrize("hinder", HINDRANCES)
def test_a_part_that_cannot_be_handed_over_is_sent(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hinder: object
) -> None:
    name = f"demo/part-{hinder.__name__.replace('_', '-')}"  # type: ignore[attr-defined]
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    draft = client.draft(name)
    hinder(monkeypatch)  # type: ignore[operator]
    draft.put_many([("path", path), ("bytes", CONTENT[::-1])])
    draft.commit()

    assert client.read_bytes(f"{name}/path") == CONTENT
    assert client.read_bytes(f"{name}/bytes") == CONTENT[::-1]


@pytest.mark.parametrize("answer_bytes", [3_400, 3_600, 4_000, 5_000])
def test_a_connection_that_breaks_between_files_goes_on(
    served: tuple[Engine, Path],
    settings: ClientSettings,
    tmp_path: Path,
    answer_bytes: int,
) -> None:
    engine, socket = served
    files = {f"{number:02}": CONTENT[number : number + MIB] for number in range(40)}
    tree = write_tree(tmp_path / "in", files)
    with cutting_proxy(f"http://{engine.endpoint}") as proxy:
        proxy.plans.append(Plan(answer_bytes=answer_bytes))
        endpoint = proxy.endpoint.removeprefix("http://")
        cut = engine.settings(tmp_path / "proxied", endpoint=endpoint)
        with Client(replace(cut, shared_socket=socket)) as client:
            pushed = client.push(tree, f"demo/cut-{answer_bytes}")
            assert client.shared_memory.handed_bytes > 0
        assert proxy.connection_count > 1
    with Client(settings) as client:
        client.pull(pushed.version.name, tmp_path / "out")
        assert len(list(client.list_versions(f"demo/cut-{answer_bytes}"))) == 1
    assert read_tree(tmp_path / "out") == files


def test_who_takes_the_same_push_up_again_goes_on_behind_what_was_handed_over(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "in", {"a": CONTENT, "b": CONTENT[::-1]})
    first = client.push(tree, "demo/taken-up")
    again = client.push(tree, "demo/taken-up", upload_id=first.upload_id)

    assert again.version == first.version


def answers(
    client: Client, item: pb.TransferItem, headers: tuple[tuple[str, bytes], ...] = ()
) -> list[pb.WriteVersionResponse]:
    """Send one item, as a client that is not ours would."""

    def requests() -> Iterator[pb.WriteVersionRequest]:
        start = pb.WriteStart(parent=PARENT, request_id="r" * 36, resumable=True)
        yield pb.WriteVersionRequest(start=start)
        yield pb.WriteVersionRequest(items=pb.TransferItems(items=[item]))

    with client._caller.exchange(WRITE_VERSION, requests(), headers) as stream:
        return list(stream)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (pb.FileSource(path="a", size_bytes=-1, source=1), "below zero"),
        (pb.FileSource(path="a", offset_bytes=-1, source=1), "below zero"),
        (pb.FileSource(path="a", size_bytes=2**62, source=1), "changed"),
        (pb.FileSource(path="../a", size_bytes=3, source=1), "PATH_MALFORMED"),
    ],
)
def test_what_is_said_of_a_file_is_checked(
    client: Client, tmp_path: Path, source: pb.FileSource, problem: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    source.modify_time_ns = path.stat().st_mtime_ns
    lane = client._caller.lanes.begin_write()
    assert lane is not None
    with path.open("rb") as file:
        lane.hand_over(file.fileno())
    headers = ((LANE_HEADER, lane.name),)

    with pytest.raises(StrongroomError) as caught:
        answers(client, pb.TransferItem(source=source), headers)
    lane.end()

    assert problem in f"{caught.value.reason.value}: {caught.value}"


@pytest.mark.parametrize("token", [b"", b"x" * 40])
def test_without_a_lane_of_the_server_nothing_is_taken(
    client: Client, token: bytes
) -> None:
    headers = ((LANE_HEADER, token),) if token else ()
    item = pb.TransferItem(source=pb.FileSource(path="a", source=1))

    with pytest.raises(InvalidArgumentError, match="no lane"):
        answers(client, item, headers)
