# SPDX-License-Identifier: Apache-2.0
"""Attack: pushes, `same` files, resumes, deletes and sweeps, step by step in any order.

Every acknowledged version must be readable afterwards, whatever was condemned.
"""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import StrongroomError
from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.services.uploads import Upload, UploadStart
from tests.support.clock import ManualClock
from tests.support.sweeps import Sweeper, delete, digest_of, set_policy, undelete
from tests.support.world import ARTIFACT, CALLER, World

FRESH = ArtifactName("demo", "fresh")
ROUNDS = 10


class Fight:
    """One store, two servers, and who acts on it."""

    def __init__(self, seed: int, executor: ThreadPoolExecutor) -> None:
        self.random = random.Random(seed)
        clock = ManualClock()
        world = World(blobs=MemoryBlobStore(clock), clock=clock, executor=executor)
        size = self.random.choice([1000, 300_000])
        self.old = {name: self.random.randbytes(size) for name in "ab"}
        self.new = {"c": self.random.randbytes(size)}
        world.push(self.old)
        world.push(self.new)
        codec = self.random.choice(["auto", "delta", "compact"])
        set_policy(world, ArtifactPolicy(trash_days=0, codec=codec))
        self.worlds = [world, world.reopened()]
        self.acknowledged: list[tuple[ArtifactName, int]] = []

    def run(self) -> None:
        acting = [self._push() for _ in range(self.random.choice([1, 2]))]
        acting += [self._delete(), self._sweep(), self._sweep()]
        waiting = [self._sweep() for _ in range(3)]
        while acting:
            actor = self.random.choice(acting)
            try:
                for _ in range(self.random.choice([1, 1, 1, 5])):
                    next(actor)
            except (StopIteration, StrongroomError):
                acting.remove(actor)
                if waiting:
                    acting.append(waiting.pop())
        self._check()

    def _check(self) -> None:
        fresh = self.worlds[0].reopened()
        for artifact, number in self.acknowledged:
            assert fresh.pull(str(number), artifact) == self.old
        assert fresh.pull("2") == self.new
        _, report = fresh.verify()
        assert report.damaged_count == 0

    def _push(self) -> Iterator[None]:
        world = self.random.choice(self.worlds)
        artifact = self.random.choice([ARTIFACT, FRESH])
        same = artifact == ARTIFACT and self.random.random() < 0.5
        start = UploadStart(
            artifact,
            None,
            "",
            {},
            str(uuid.uuid4()),
            may_create_project=True,
            resumable=self.random.random() < 0.5,
            base_version=1,
        )
        upload = world.uploads.begin(start, caller=CALLER)
        for _ in upload.resume():
            yield
        yield
        digester = VersionDigester()
        for path, data in self.old.items():
            _send(upload, path, data, same=same)
            digester.add(path, len(data), digest_of(data))
            yield
        with upload:
            result = upload.commit(file_count=2, digest=digester.digest())
        if (artifact, result.version.number) != (ARTIFACT, 1):  # that one is deleted
            self.acknowledged.append((artifact, result.version.number))

    def _delete(self) -> Iterator[None]:
        yield
        delete(self.worlds[0], 1)
        yield
        if self.random.random() < 0.3:
            undelete(self.worlds[0], 1)
            self.acknowledged.append((ARTIFACT, 1))

    def _sweep(self) -> Iterator[None]:
        yield
        sweeper = Sweeper(self.random.choice(self.worlds))
        plan = sweeper.plan()
        yield
        data = sweeper.sweeping.encode(plan)
        for _ in sweeper.sweeping.apply(
            data, reason="a reason", request_id=str(uuid.uuid4()), caller=CALLER
        ):
            yield


def _send(upload: Upload, path: str, data: bytes, *, same: bool) -> None:
    if same:
        upload.same_file(
            path, size_bytes=len(data), executable=False, digest=digest_of(data)
        )
        return
    upload.start_file(path, size_bytes=len(data), executable=False)
    upload.write(data, offset_bytes=0)
    upload.end_file(digest_of(data))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_is_acknowledged_stays_whatever_is_swept_meanwhile(seed: int) -> None:
    with ThreadPoolExecutor(4) as executor:
        for part in range(5):
            Fight(seed * 100 + part, executor).run()
