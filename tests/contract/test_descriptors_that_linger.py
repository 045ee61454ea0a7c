# SPDX-License-Identifier: Apache-2.0
"""Descriptors whose last close does not end: the lanes of others go on."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import UnavailableError
from strongroom.format.lanes import LaneKind, LaneMessage
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    closing,
    file_systems,
    listener,
    running_shared_memory,
)
from tests.contract.shared_memory_world import MIB, begin, settings_of, until

SOURCE = LaneMessage(LaneKind.SOURCE, 1, 1).encode()
ENDED = LaneMessage(LaneKind.ENDED, 1).encode()


@pytest.fixture
def settings(tmp_path: Path) -> SharedMemorySettings:
    return settings_of(tmp_path)


@pytest.fixture
def server(settings: SharedMemorySettings) -> Iterator[SharedMemoryServer]:
    with running_shared_memory(settings, entropy=SystemEntropy()) as running:
        yield running


@pytest.fixture
def peers() -> Iterator[list[socket.socket]]:
    """The other ends; once they are closed, nothing lingers any more."""
    peers: list[socket.socket] = []
    yield peers
    for peer in peers:
        peer.close()


def lingering(peers: list[socket.socket]) -> socket.socket:
    """Return a socket that has bytes for a peer which never reads: an hour of it."""
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        sender = socket.create_connection(waiting.getsockname())
        peers.append(waiting.accept()[0])
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    sender.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.send(bytes(MIB))
    return sender


class Gate:
    """Where the server's thread can be held, so that its `close` is the last one."""

    def __init__(self, server: SharedMemoryServer) -> None:
        self._check = server._shared.mappings.check_alive
        self._is_open, self._is_reached = threading.Event(), threading.Event()
        self._is_open.set()

    def pass_through(self) -> None:
        self._is_reached.set()
        self._is_open.wait()
        self._check()

    def __enter__(self) -> None:
        self._is_open.clear()
        self._is_reached.clear()
        assert self._is_reached.wait(5)

    def __exit__(self, *_: object) -> None:
        self._is_open.set()


@pytest.fixture
def gate(server: SharedMemoryServer, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setattr(listener, "CHECK_S", 0.02)
    gate = Gate(server)
    monkeypatch.setattr(server._shared.mappings, "check_alive", gate.pass_through)
    return gate


def hand_over(
    lane: Lane, messages: list[bytes], peers: list[socket.socket], gate: Gate
) -> None:
    """Send some messages, the last one with a descriptor that lingers."""
    with gate, lingering(peers) as sender:
        for message in messages[:-1]:
            lane._connection.send(message)
        socket.send_fds(lane._connection, messages[-1:], [sender.fileno()])


def check_serves(server: SharedMemoryServer, settings: SharedMemorySettings) -> None:
    lane = Lane(settings.socket)
    begin(server, lane).close()
    lane.close()


@pytest.mark.parametrize(
    "messages", [[SOURCE], [ENDED], [b"nonsense"], [b"nonsense", SOURCE]]
)
def test_what_never_closes_keeps_nobody_else_waiting(
    server: SharedMemoryServer,
    settings: SharedMemorySettings,
    peers: list[socket.socket],
    gate: Gate,
    messages: list[bytes],
) -> None:
    lane = Lane(settings.socket)
    hand_over(lane, messages, peers, gate)
    check_serves(server, settings)
    lane.close()
    until(lambda: not server.lane_count)
    check_serves(server, settings)


def test_with_too_many_that_do_not_close_nothing_more_is_taken_until_they_do(
    server: SharedMemoryServer,
    settings: SharedMemorySettings,
    peers: list[socket.socket],
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closing, "MAX_UNCLOSED", 2)
    other, neighbour = Lane(settings.socket), Lane(settings.socket)
    lane = Lane(settings.socket)
    hand_over(lane, [ENDED], peers, gate)
    until(lambda: server.lane_count == 2)

    # Lanes that are there go on; one that brings another descriptor does not.
    begin(server, neighbour).close()
    hand_over(other, [SOURCE], peers, gate)
    until(lambda: server.lane_count == 1)
    monkeypatch.setattr("strongroom._shared.lane._WAIT_S", 0.2)
    with pytest.raises(UnavailableError):
        Lane(settings.socket)
    monkeypatch.undo()
    while peers:
        peers.pop().close()
    until(lambda: not server._shared.closing._unclosed_count)
    check_serves(server, settings)
    for each in (lane, other, neighbour):
        each.close()


def test_files_are_known_by_their_mount_or_disk_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        number = file.fileno()
        assert file_systems.is_local(number)
        if not file_systems._disk_of(number):
            pytest.skip("the temporary folder lies on no disk of its own")
        # From another container: its mounts are not those of this process.
        monkeypatch.setattr(file_systems, "_mount_of", lambda _descriptor: "0")
        assert file_systems.is_local(number)
        monkeypatch.setattr(file_systems, "_disk_of", lambda _descriptor: "")
        assert not file_systems.is_local(number)
