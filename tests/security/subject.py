# SPDX-License-Identifier: Apache-2.0
"""A store with two projects and a few versions, and an attacker who holds the bucket.

A reader without any cache gets a typed error, or exactly what was written.
"""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from strongroom.errors import Reason
from strongroom.format.names import ArtifactName, ProjectName, RefName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from tests.security.attacks import RefusedError, outcome_of
from tests.support.tampering import TamperingBlobStore
from tests.support.world import ARTIFACT, CALLER, World

OTHER = ArtifactName("demo", "other")
FOREIGN = ArtifactName("elsewhere", "minilm")

#: What became of an attack that changed nothing of what is read.
UNHARMED: Final = "UNHARMED"
#: Which errors a reader may meet, by the folder of the object.
REASONS = {
    "strongroom.json": {Reason.RECORD_CORRUPT, Reason.KEY_SLOT_MISSING},
    "keys": {Reason.KEY_SLOT_CORRUPT, Reason.KEY_SLOT_MISSING},
    # A damaged header may name a key slot that does not exist.
    "projects": {Reason.RECORD_CORRUPT, Reason.KEY_SLOT_MISSING},
    "journals": {
        Reason.JOURNAL_CORRUPT,
        Reason.SIGNATURE_INVALID,
        Reason.RECORD_CORRUPT,
    },
    "manifests": {Reason.MANIFEST_CORRUPT, Reason.MANIFEST_MISSING},
    "packs": {Reason.CHUNK_CORRUPT, Reason.CHUNK_MISSING},
    "index": {Reason.RECORD_CORRUPT},
}


class Subject:
    """A store with two projects and a few versions, and what a reader should see."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(4)
        self.memory = MemoryBlobStore()
        self.blobs = TamperingBlobStore(self.memory)
        self.world = World(blobs=self.blobs, executor=self.executor)
        noise = random.Random(7)
        first = {"a.txt": b"alpha", "w/big.bin": noise.randbytes(5_000_000)}
        second = {**first, "a.txt": b"alpha two", "b.txt": noise.randbytes(3000)}
        self.world.push(first)
        self.world.push(second)
        self.world.push({"x": b"other"}, OTHER)
        self.world.push({"a.txt": b"foreign"}, FOREIGN)
        self.world.refs.move(
            RefName(ARTIFACT, "prod"),
            version="1",
            etag="",
            reason="",
            request_id="r1",
            validate_only=False,
            caller=CALLER,
        )
        self.seen = self.look()

    def look(self) -> object:
        """Read everything there is of the artifact with a fresh engine."""
        world = self.world.reopened()
        # No cache of any kind: not even the keys of the writer's process.
        versions = world.artifacts.list_versions(ARTIFACT, page_size=0, page_token="")
        journal = world.artifacts.list_journal(ARTIFACT, page_size=0, page_token="")
        files = {
            number: world.pull(str(number))
            for number in range(1, len(versions.items) + 1)
        }
        return versions, journal, files

    def keys(self, folder: str) -> list[str]:
        """Return the keys of one kind of object, each once."""
        return sorted(
            {
                item.key
                for item, _ in self.memory.objects()
                if item.key.split("/")[0] == folder
            }
        )

    def data(self, key: str) -> bytes:
        """Return an object's bytes."""
        return next(data for item, data in self.memory.objects() if item.key == key)

    def read_tampered(self, key: str, change: Callable[[bytes], bytes] | None) -> None:
        """Tamper with one object, or hide it, and read everything.

        Raises:
            RefusedError: The reader saw what was written (UNHARMED).
            StrongroomError: The reader was refused.
            AssertionError: The reader saw something else.
        """
        if change is None:
            self.blobs.hide(key)
        else:
            self.blobs.alter(key, change)
        try:
            seen = self.look()
        finally:
            self.blobs.restore()
        assert seen == self.seen, key
        raise RefusedError(UNHARMED)

    def attack(self, key: str, change: Callable[[bytes], bytes] | None) -> str:
        """Tamper with one object, read everything, and say how it went."""
        folder = key.split("/", maxsplit=1)[0]
        outcome = outcome_of(lambda: self.read_tampered(key, change))
        if outcome == UNHARMED:
            return "unharmed"
        allowed = REASONS[folder] | {Reason.FORMAT_UNSUPPORTED}
        assert outcome in allowed, (key, outcome)
        return "refused"


def always(data: bytes) -> Callable[[bytes], bytes]:
    """Return a change that puts other bytes in the place of any."""
    return lambda _: data


def cut_at(end: int) -> Callable[[bytes], bytes]:
    """Return a change that keeps only the first bytes."""
    return lambda data: data[:end]


def read_keys(subject: Subject, folder: str) -> list[str]:
    """Return the objects of a kind that a reader of the artifact reads.

    Found out by hiding each one. The last journal entry is read, too, but nobody
    who never saw it can miss it; see the test of a deleted tail below.
    """
    cache: dict[str, list[str]] = subject.__dict__.setdefault("read", {})
    if folder == "journals":
        return journal_keys(subject)
    if folder not in cache:
        cache[folder] = [
            key
            for key in subject.keys(folder)
            if subject.attack(key, None) == "refused"
        ]
    return cache[folder]


def journal_keys(subject: Subject) -> list[str]:
    """Return the keys of the artifact's journal, in order."""
    project = subject.world.repository.projects.get(ProjectName(ARTIFACT.project))
    journal = subject.world.repository.projects.journal_of(project, ARTIFACT)
    prefix = layout.journal_prefix(journal.project, journal.artifact)
    return [key for key in subject.keys("journals") if key.startswith(prefix)]
