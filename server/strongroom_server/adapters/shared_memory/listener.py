# SPDX-License-Identifier: Apache-2.0
"""The data socket: readers of this machine connect, and each gets a lane.

One thread serves them all: it greets, takes in what readers give back, and notices
when one is gone, however it went.
"""

import json
import logging
import os
import selectors
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import (
    InvalidArgumentError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.lanes import (
    MAX_ADDRESS_BYTES,
    TOKEN_BYTES,
    LaneKind,
    LaneMessage,
)
from strongroom_server.adapters.shared_memory.lane import Lane, Shared
from strongroom_server.adapters.shared_memory.lane_calls import LaneRead, LaneWrite
from strongroom_server.adapters.shared_memory.mappings import Mappings
from strongroom_server.adapters.shared_memory.segments import (
    SEGMENT_BYTES,
    MemoryPool,
    check_sealing,
)
from strongroom_server.ports import Entropy

#: Readers at the same time.
MAX_LANES: Final = 256
#: How often mappings are asked whether they may still be read.
CHECK_S: Final = 1.0
_BACKLOG: Final = 64
#: struct ucred of SO_PEERCRED: pid, uid, gid.
_CREDENTIALS: Final = struct.Struct("=iII")

_LOG: Final = logging.getLogger("strongroom_server.adapters.shared_memory")


@dataclass(frozen=True, slots=True)
class SharedMemorySettings:
    """Where readers connect, who may, and how much memory they get.

    Attributes:
        socket: The path of the data socket.
        uids: Users beside the server's own whose processes may connect.
        ring_bytes: Memory that reads pass through, for all readers together.
        mapped_bytes: Memory for whole files, for all readers together.
    """

    socket: Path
    uids: tuple[int, ...] = ()
    ring_bytes: int = 256 * 1024 * 1024
    mapped_bytes: int = 1024 * 1024 * 1024


@contextmanager
def running_shared_memory(
    settings: SharedMemorySettings, *, entropy: Entropy
) -> Iterator["SharedMemoryServer"]:
    """Listen on the data socket for as long as the context lasts.

    Raises:
        InvalidArgumentError: The socket cannot be listened on, or another server
            does (SETTING_INVALID).
        PreconditionError: The kernel cannot seal memory (SETTING_INVALID).
    """
    try:
        check_sealing()
    except OSError as error:
        message = "this kernel cannot seal memory so that readers only read it"
        raise PreconditionError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Linux 5.1 or newer can; or leave [shared_memory] out.",
        ) from error
    with ExitStack() as stack:
        listener = stack.enter_context(_listening(settings))
        server = SharedMemoryServer(settings, listener, entropy)
        thread = threading.Thread(target=server.run, name="lanes", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.stop)
        yield server


class SharedMemoryServer:
    """See `ports.SharedMemory`."""

    def __init__(
        self, settings: SharedMemorySettings, listener: socket.socket, entropy: Entropy
    ) -> None:
        self._uids = {os.geteuid(), *settings.uids}
        self._shared = Shared(
            MemoryPool(settings.ring_bytes), Mappings(settings.mapped_bytes)
        )
        self._entropy = entropy
        self._listener = listener
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._lanes: dict[bytes, Lane] = {}
        self._lane_count = 0
        self._wake_here, self._wake_there = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._is_welcoming = True
        self._selector.register(self._wake_here, selectors.EVENT_READ, None)

    @property
    def lane_count(self) -> int:
        """How many readers are connected."""
        return len(self._lanes)

    @property
    def used_bytes(self) -> int:
        """How much memory is shared with readers now, or kept for them."""
        return self._shared.segments.used_bytes + self._shared.mappings.pool.used_bytes

    def begin(self, token: bytes, number: int, principal: str) -> LaneRead | None:
        """See `ports.SharedMemory`."""
        with self._lock:
            lane = self._lanes.get(token)
        return lane.begin(number, principal) if lane is not None else None

    def begin_write(
        self, token: bytes, number: int, principal: str
    ) -> LaneWrite | None:
        """See `ports.SharedMemory`."""
        with self._lock:
            lane = self._lanes.get(token)
        return lane.begin_write(number, principal) if lane is not None else None

    def run(self) -> None:
        """Serve readers until `stop`."""
        is_running = True
        while is_running:
            try:
                self._heed_descriptors()
                for key, _ in self._selector.select(CHECK_S):
                    if key.fileobj is self._wake_here:
                        is_running = False
                    elif isinstance(key.data, Lane):
                        self._receive(key.data)
                    else:
                        self._accept()
                self._shared.mappings.check_alive()
            except OSError as error:
                # Nothing of one reader's may end the thread that serves all of them,
                # and has them let go of what was shredded.
                _warn("lanes failed", cause=error.strerror)
                self._pause.wait(CHECK_S)
        for lane in tuple(self._lanes.values()):
            self._close(lane)
        self._shared.mappings.close()
        self._selector.close()
        self._wake_here.close()
        self._wake_there.close()

    def stop(self) -> None:
        """Hang up on all readers, and end `run`."""
        self._wake_there.send(b"!")

    def _heed_descriptors(self) -> None:
        """Let nobody in while what they may bring could not be closed."""
        is_welcoming = not self._shared.closing.is_stuck
        if is_welcoming == self._is_welcoming:
            return
        if is_welcoming:
            self._selector.register(self._listener, selectors.EVENT_READ, None)
        else:
            _warn("no more readers", cause="descriptors of readers do not close")
            self._selector.unregister(self._listener)
        self._is_welcoming = is_welcoming

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # The reader is gone already, or no descriptor is left.
            return
        connection.settimeout(0)
        uid = _uid_of(connection)
        cause = self._refusal(uid)
        if cause:
            _warn("reader refused", uid=uid, cause=cause)
            self._shared.closing.hang_up(connection)
            return
        self._lane_count += 1
        token = self._entropy.token_bytes(TOKEN_BYTES)
        lane = Lane(self._lane_count, connection, token, self._shared)
        welcome = LaneMessage(LaneKind.WELCOME, value=SEGMENT_BYTES, token=token)
        with self._lock:
            self._lanes[token] = lane
        try:
            self._selector.register(connection, selectors.EVENT_READ, lane)
        except OSError:
            with self._lock:
                del self._lanes[token]
            lane.close()
            raise
        with suppress(OSError):  # One that is gone is found by reading from it.
            connection.send(welcome.encode())

    def _refusal(self, uid: int) -> str:
        """Say why a reader gets no lane, or nothing if it gets one."""
        if uid not in self._uids:
            return "its user is not in [shared_memory] uids"
        return "too many readers" if len(self._lanes) >= MAX_LANES else ""

    def _receive(self, lane: Lane) -> None:
        try:
            is_there = lane.receive()
        except StrongroomError as error:
            _warn("reader hung up on", cause=error.message)
            is_there = False
        if not is_there:
            self._close(lane)

    def _close(self, lane: Lane) -> None:
        self._selector.unregister(lane.connection)
        lane.close()
        with self._lock:
            del self._lanes[lane.token]


@contextmanager
def _listening(settings: SharedMemorySettings) -> Iterator[socket.socket]:
    path = settings.socket
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        _short(path) as address,
    ):
        try:
            _remove_stale(path, address)
            listener.bind(address)
            # Who may connect, SO_PEERCRED decides; its own user needs no other right.
            path.chmod(0o666 if settings.uids else 0o600)
            listener.listen(_BACKLOG)
        except OSError as error:
            message = f"cannot listen on the data socket {path}: {error.strerror}"
            raise InvalidArgumentError(
                message,
                reason=Reason.SETTING_INVALID,
                hint="Its directory must exist, and no other server may use it.",
                path=path,
            ) from error
        listener.settimeout(0)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Name a path in the bytes that a socket's address has."""
    if len(bytes(path)) <= MAX_ADDRESS_BYTES:
        yield str(path)
        return
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        message = f"the folder of the data socket {path} cannot be used"
        raise InvalidArgumentError(
            message, reason=Reason.SETTING_INVALID, path=path
        ) from error
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _remove_stale(path: Path, address: str) -> None:
    """Remove the socket of a server that is gone; of one that is there, complain."""
    if not path.exists() or not stat.S_ISSOCK(path.lstat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink()


def _warn(event: str, **facts: object) -> None:
    _LOG.warning("%s", json.dumps({"event": event, **facts}))


def _uid_of(connection: socket.socket) -> int:
    size = _CREDENTIALS.size
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    return int(uid)
