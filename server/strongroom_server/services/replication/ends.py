# SPDX-License-Identifier: Apache-2.0
"""Both ends of a replication, and what a round has moved so far."""

import threading
from concurrent.futures import Executor
from dataclasses import dataclass, field

from strongroom_server.core.keyless_checks import KeylessChecks
from strongroom_server.ports import Clock, VersionedBlobs
from strongroom_server.repository.throttle import Throttle
from strongroom_server.services.replication.findings import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Where is copied from and to, and by what means.

    Attributes:
        source: The primary's bucket; nothing is written there.
        target: The replica's bucket; nothing is removed there.
        clock: Time.
        executor: Its threads read and store.
        throttle: Keeps the rate at which the source is read.
    """

    source: VersionedBlobs
    target: VersionedBlobs
    clock: Clock
    executor: Executor
    throttle: Throttle


@dataclass(slots=True)
class Tally:
    """What a round has moved. Safe to use from many threads."""

    object_count: int = 0
    entry_count: int = 0
    size_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, size_bytes: int, *, is_entry: bool = False) -> None:
        """Count an object that was stored in the replica."""
        with self._lock:
            self.size_bytes += size_bytes
            if is_entry:
                self.entry_count += 1
            else:
                self.object_count += 1


@dataclass(frozen=True, slots=True)
class Work:
    """What the parts of a round share: ends, checks of the store, findings, tally."""

    ends: Ends
    checks: KeylessChecks
    findings: Findings
    tally: Tally
