# SPDX-License-Identifier: Apache-2.0
"""Servers that come and go on one bucket and one Vault."""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.adapters.memory_keys import MemoryKeyService
from strongroom_server.core.suites import DEFAULT_SUITE
from strongroom_server.repository.repository import (
    Repository,
    open_keyring,
    open_repository,
)
from strongroom_server.services.artifacts import Artifacts
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.refs import Refs
from strongroom_server.services.retention import Retention
from strongroom_server.services.sweeping import Sweeping
from strongroom_server.services.uploads import Uploads
from tests.simulation.bucket import Bucket
from tests.simulation.faults import Fault, Faults
from tests.simulation.model import check_error
from tests.simulation.ports import (
    START,
    Ports,
    SimBlobs,
    SimClock,
    SimEntropy,
    SimIndex,
    SimRemover,
    SimVault,
)
from tests.simulation.schedule import Call, CrashError, Scheduler
from tests.simulation.workers import SimExecutor

_WORKERS: Final = (1, 2, 4)
_PAGE_SIZES: Final = (1, 2, 5, 1000)


@dataclass(frozen=True, slots=True)
class Engine:
    """The use cases of one server that has started."""

    repository: Repository
    uploads: Uploads
    downloads: Downloads
    artifacts: Artifacts
    refs: Refs
    retention: Retention
    sweeping: Sweeping


class Server:
    """One process, from its start to its crash."""

    def __init__(self, world: "Machines", slot: int, index: SimIndex) -> None:
        self.dead = False
        self.slot = slot
        self.index = index
        self.engine: Engine | None = None
        self.clock = SimClock(world.scheduler)
        self._world = world
        ports = Ports(world.scheduler, world.faults, self)
        index.ports = ports
        self.vault = SimVault(ports, world.keys)
        self.blobs = SimBlobs(ports, world.bucket, world.page_size)
        self.remover = SimRemover(ports, world.bucket)
        self.executor = SimExecutor(world.scheduler, self, world.workers)

    def crash(self) -> None:
        """End at once; another one starts in its place."""
        self.dead = True
        self._world.scheduler.release(self)
        self._world.restart(self)

    def open(self) -> Engine:
        """Start."""
        keyring = open_keyring(
            blobs=self.blobs,
            key_service=self.vault,
            clock=self.clock,
            entropy=self._world.entropy,
        )
        repository = open_repository(
            keyring=keyring,
            blobs=self.blobs,
            signer=self.vault,
            index=self.index,
            clock=self.clock,
            entropy=self._world.entropy,
            executor=self.executor,
            suite=DEFAULT_SUITE,
        )
        return Engine(
            repository,
            Uploads(repository),
            Downloads(repository),
            Artifacts(repository),
            Refs(repository),
            Retention(repository),
            Sweeping(repository, self.remover),
        )


class Machines:
    """The servers of one seed, and what they share."""

    def __init__(
        self,
        random: Random,
        scheduler: Scheduler,
        bucket: Bucket,
        keks: dict[str, bytes],
        counts: Counter[str],
    ) -> None:
        self.random = random
        self.scheduler = scheduler
        self.bucket = bucket
        self.entropy = SimEntropy(random)
        self.keys = MemoryKeyService(entropy=self.entropy)
        self.keys._keks = dict(keks)
        self.faults = Faults(random, counts)
        self.calls: Counter[str] = Counter()
        self.workers = random.choice(_WORKERS)
        self.page_size = random.choice(_PAGE_SIZES)
        #: What the index of a server holds that starts for the first time.
        self.index: dict[bytes, bytes] = {}
        self.servers: list[Server] = []

    def start(self, count: int) -> None:
        """Begin to start so many servers."""
        for slot in range(count):
            self.servers.append(Server(self, slot, SimIndex(self.index)))
            self._boot(slot)

    def pick(self) -> Server:
        """Return any server, started or not."""
        return self.servers[int(self.random.random() * len(self.servers))]

    def restart(self, server: Server) -> None:
        """Let a new process take the place of one that is gone.

        Its index is what the old one left, or nothing, or what the disk had of it.
        """
        index = SimIndex()
        draw = self.random.random()
        if draw < 0.7:
            index = server.index
        if draw < 0.3:
            index.lose_newest(1 + int(self.random.random() * 3))
        self.servers[server.slot] = Server(self, server.slot, index)
        self._boot(server.slot)

    def fresh(self) -> Server:
        """Return a new process with an empty index, beside the others."""
        return Server(self, -1, SimIndex())

    def disturb(self) -> None:
        """Let the adversary, or an operator, do one thing behind the servers' back."""
        fault = self.faults.draw("meanwhile")
        server = self.pick()
        match fault:
            case Fault.INDEX_DELETED:
                server.index.clear()
            case Fault.CLOCK_JUMP:
                server.clock.wrong_s = (self.random.random() * 2 - 1) * 900
            case Fault.DELETE_MARKER | Fault.OVERWRITE:
                self._cover(b"{}" if fault is Fault.OVERWRITE else None)
            case _:
                return
        self.faults.count(fault)
        self.scheduler.note(fault.name)

    def _cover(self, data: bytes | None) -> None:
        """Put something over any object, more often over the entry written last."""
        keys = self.bucket.keys()
        if not keys:
            return
        key = keys[int(self.random.random() * len(keys))]
        last = self.bucket.last_key
        if last in keys and self.random.random() < 0.5:
            key = last
        self.bucket.add(key, data, START.timestamp() + self.scheduler.now_s)

    def heal(self) -> None:
        """Let no fault strike from now on."""
        self.faults.stop()
        for server in self.servers:
            server.vault.heal()

    def _boot(self, slot: int) -> None:
        server = self.servers[slot]

        def run() -> None:
            task = self.scheduler.running()
            while True:
                call = task.call = Call(self.scheduler.now_s)
                try:
                    server.engine = server.open()
                except CrashError:
                    return
                except StrongroomError as error:
                    check_error(error, call, self.scheduler.now_s)
                    self.scheduler.sleep(1.0)
                else:
                    return

        self.scheduler.spawn(f"boot{slot}", run, process=server)
