# SPDX-License-Identifier: Apache-2.0
"""`strongroom bench`, wired: grants of central's, S3 by its URLs, memory, a GPU.

It reads as a sidecar does, with the caller's own certificate: neither a credential of
the store nor one of Vault is needed.
"""

import mmap
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strongroom.format.names import VersionName
from strongroom_server.adapters.central import CentralChannel, CentralGrants
from strongroom_server.adapters.certificate_files import CertificateFiles
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.pack_urls import HttpPacks, PackConnections
from strongroom_server.adapters.shared_memory.segments import create_memory
from strongroom_server.ports import Clock
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.rpc.certificates import CertificateKeeper
from strongroom_server.services.stage_timing import StageTime, StageTiming

HAND_OVER: Final = "hand-over"
PIN: Final = "pin"
_PIECE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who measures, and against which server.

    Attributes:
        endpoint: `host:port` of central.
        cert_file: PEM: the certificate, then its chain.
        key_file: PEM: its private key.
        ca_file: PEM: the authorities of the server.
        store_ca_file: Those of the store; the machine's own if None.
    """

    endpoint: str
    cert_file: Path
    key_file: Path
    ca_file: Path
    store_ca_file: Path | None = None


def measure_stages(
    caller: Caller,
    name: VersionName,
    path: str,
    *,
    max_bytes: int,
    thread_count: int,
) -> Iterator[StageTime]:
    """Yield what each stage of reading takes, in the order of reading.

    Args:
        caller: Who measures.
        name: The version that is read.
        path: A file of it, or a directory with a trailing slash; "" for all.
        max_bytes: How much is held in memory at most.
        thread_count: How many threads each stage has, hand-over and pin excepted.

    Raises:
        StrongroomError: As of readers; and if the certificate cannot be used.
    """
    clock = SystemClock()
    files = CertificateFiles(
        cert_file=caller.cert_file, key_file=caller.key_file, ca_file=caller.ca_file
    )
    with ExitStack() as stack:
        keeper = CertificateKeeper(files, clock=clock)
        channel = CentralChannel(caller.endpoint, lambda: keeper.current)
        stack.callback(channel.close)
        connections = PackConnections(clock, ca_file=caller.store_ca_file)
        stack.callback(connections.close)
        threads = stack.enter_context(ThreadPoolExecutor(thread_count, "bench"))
        timing = StageTiming(
            GrantBook(CentralGrants(channel), clock=clock, executor=threads),
            fetcher=HttpPacks(connections),
            executor=threads,
            clock=clock,
        )
        yield from timing.measure(name, [path] if path else [], max_bytes=max_bytes)
    yield hand_over(max_bytes, clock)
    yield pin(max_bytes, clock)


def hand_over(size_bytes: int, clock: Clock) -> StageTime:
    """Hand memory over a socket, map it, and copy every byte out of it."""
    target, done = bytearray(_PIECE_BYTES), 0
    descriptor, memory = create_memory("strongroom-bench", _PIECE_BYTES)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with closing(memory), closing(near), closing(far):
        began_s = clock.monotonic()
        try:
            socket.send_fds(near, [b"."], [descriptor])
        finally:
            os.close(descriptor)
        _, (received, *_), _, _ = socket.recv_fds(far, 1, 1)
        try:
            mapped = mmap.mmap(received, _PIECE_BYTES, prot=mmap.PROT_READ)
        finally:
            os.close(received)
        with closing(mapped), memoryview(mapped) as view:
            while done < size_bytes:
                target[:] = view
                done += _PIECE_BYTES
        seconds = clock.monotonic() - began_s
    return StageTime(HAND_OVER, done, seconds, "shared memory, copied out, 1 thread")


def pin(size_bytes: int, clock: Clock) -> StageTime:
    """Copy locked memory to a GPU, if there is one."""
    try:
        import torch  # noqa: PLC0415 - an extra of its own, and slow to import
    except ImportError:
        return StageTime(PIN, 0, 0.0, "torch is not installed here")
    if not torch.cuda.is_available():
        return StageTime(PIN, 0, 0.0, "no GPU is here")
    return _pin(torch, size_bytes, clock)


def _pin(torch: Any, size_bytes: int, clock: Clock) -> StageTime:  # noqa: ANN401
    source = torch.empty(_PIECE_BYTES, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(_PIECE_BYTES, dtype=torch.uint8, device="cuda")
    target.copy_(source, non_blocking=True)
    torch.cuda.synchronize()
    began_s, done = clock.monotonic(), 0
    while done < size_bytes:
        target.copy_(source, non_blocking=True)
        done += _PIECE_BYTES
    torch.cuda.synchronize()
    seconds = clock.monotonic() - began_s
    return StageTime(PIN, done, seconds, f"to {torch.cuda.get_device_name()}, 1 thread")
