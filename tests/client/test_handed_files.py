# SPDX-License-Identifier: Apache-2.0
"""Pushes of files that the server reads by itself: the same versions, checks, ends."""

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import ConflictError, NotFoundError, Reason
from strongroom.values import Progress
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from tests.client.engine import Engine
from tests.client.trees import MIB, write_tree
from tests.contract.shared_memory_world import until
from tests.rpc.engine import serving_world

DICE = random.Random(11)
LARGE = DICE.randbytes(20 * MIB + 4321)
FILES = {
    "a/large.bin": LARGE,
    "a/small": b"small",
    "b/exactly": DICE.randbytes(MIB),
    "b/less": DICE.randbytes(MIB - 1),
    "empty": b"",
    **{f"many/{number:02}": DICE.randbytes(MIB + number) for number in range(12)},
}
HANDED_BYTES = sum(len(data) for data in FILES.values() if len(data) >= MIB)


@pytest.fixture(scope="module")
def sharing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Engine, SharedMemoryServer, Path]]:
    """A server that shares memory."""
    folder = tmp_path_factory.mktemp("handed")
    memory = SharedMemorySettings(folder / "data.sock")
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        yield Engine(world, server), shared, memory.socket


@pytest.fixture
def settings(
    sharing: tuple[Engine, SharedMemoryServer, Path], tmp_path: Path
) -> ClientSettings:
    engine, _, socket = sharing
    return replace(engine.settings(tmp_path / "certificates"), shared_socket=socket)


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    with Client(settings) as connected:
        yield connected


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_large_files_are_handed_over_and_the_version_is_the_same(
    client: Client, settings: ClientSettings, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "tree", FILES)
    (tree / "b/exactly").chmod(0o755)
    heard: list[Progress] = []
    result = client.push(tree, "demo/handed", progress=heard.append)

    assert client.shared_memory.handed_bytes == HANDED_BYTES
    assert result.sent_bytes == sum(map(len, FILES.values()))
    assert heard[-1].done_bytes == heard[-1].total_bytes == result.sent_bytes
    assert [item.done_bytes for item in heard] == sorted(
        item.done_bytes for item in heard
    )
    with Client(replace(settings, shared_socket=Path())) as plain:
        sent = plain.push(tree, "demo/sent")
        assert plain.shared_memory.handed_bytes == 0
        assert sent.version.digest == result.version.digest
        plain.pull("demo/handed@1", tmp_path / "pulled")
    for path, data in FILES.items():
        assert (tmp_path / "pulled" / path).read_bytes() == data
    assert (tmp_path / "pulled/b/exactly").stat().st_mode & 0o100
    found = {file.path: file.digest for file in client.list_files("demo/handed@1")}
    assert found["a/large.bin"] == f"sha256:{hashlib.sha256(LARGE).hexdigest()}"


def test_a_second_push_of_the_same_hands_over_nothing(
    client: Client, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "tree", {"large.bin": LARGE})
    os.utime(tree / "large.bin", (1, 1))
    client.push(tree, "demo/again")
    handed = client.shared_memory.handed_bytes
    result = client.push(tree, "demo/again")

    assert result.unchanged
    assert result.same_bytes == len(LARGE)
    assert client.shared_memory.handed_bytes == handed == len(LARGE)


def test_parts_of_drafts_hand_over_paths_and_buffers(
    client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    path.chmod(0o755)
    draft = client.draft("demo/drafted")
    with path.open("rb") as opened:
        part = draft.put_many(
            [
                ("path", path),
                ("bytes", FILES["b/exactly"]),
                ("small", b"small"),
                ("opened", opened),
            ]
        )
    assert part.sent_bytes == 2 * len(LARGE) + MIB + 5
    version = draft.commit().version

    assert client.shared_memory.handed_bytes == len(LARGE) + MIB
    assert client.read_bytes("demo/drafted/path") == LARGE
    assert client.read_bytes("demo/drafted/opened") == LARGE
    assert client.read_bytes("demo/drafted/bytes") == FILES["b/exactly"]
    files = {file.path: file for file in client.list_files(version.name)}
    assert files["path"].executable
    assert not files["bytes"].executable


def test_nothing_stays_open_behind_pushes(
    client: Client,
    sharing: tuple[Engine, SharedMemoryServer, Path],
    tmp_path: Path,
) -> None:
    tree = write_tree(tmp_path / "tree", FILES)
    client.push(tree, "demo/open")
    before = open_files()
    for round_number in range(3):
        (tree / "a/large.bin").write_bytes(LARGE[: -1 - round_number])
        client.push(tree, "demo/open")

    until(lambda: open_files() <= before)


@pytest.mark.parametrize("size_bytes", [MIB, 256 * MIB])
def test_a_file_that_changes_while_the_server_reads_it_is_refused_by_name(
    client: Client, tmp_path: Path, size_bytes: int
) -> None:
    tree = write_tree(tmp_path / "tree", {"first": FILES["b/exactly"]})
    changing = tree / "then.bin"
    changing.touch()
    os.truncate(changing, 200 * MIB)

    def change(progress: Progress) -> None:
        # The first is taken, so the second is handed over and being read.
        if progress.done_bytes == MIB:
            os.truncate(changing, size_bytes)

    with pytest.raises(ConflictError, match=r"then\.bin") as caught:
        client.push(tree, "demo/changed", progress=change)

    assert caught.value.reason is Reason.SOURCE_CHANGED
    with pytest.raises(NotFoundError):
        client.show("demo/changed")
