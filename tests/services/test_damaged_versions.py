# SPDX-License-Identifier: Apache-2.0
"""Damaged versions: named in every error, and never taken for "unchanged"."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom.format.names import VersionName
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.services.probes import StoreProbe
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.tampering import TamperingBlobStore
from tests.support.world import ARTIFACT, World

FILES = {"a.txt": b"alpha", "run.sh": b"#!/bin/sh\n"}
FIRST = VersionName(ARTIFACT, "1")
#: Each kind of object that a version needs, from the largest of them.
FOLDERS = {
    "packs/": Reason.CHUNK_MISSING,
    "manifests/": Reason.MANIFEST_MISSING,
}


@pytest.fixture
def blobs() -> TamperingBlobStore:
    return TamperingBlobStore(MemoryBlobStore())


@pytest.fixture
def world(blobs: TamperingBlobStore) -> Iterator[World]:
    with ThreadPoolExecutor(4) as executor:
        made = World(blobs=blobs, executor=executor)
        made.push(FILES)
        yield made.reopened()


def keys_below(blobs: TamperingBlobStore, folder: str) -> list[str]:
    return [item.key for item in blobs.first_versions(folder)]


READS: dict[str, Callable[[World], object]] = {
    "pull": lambda world: world.pull(),
    "pull of a file": lambda world: world.pull(paths=("a.txt",)),
    "list": lambda world: world.artifacts.list_files(
        FIRST, path="", page_size=0, page_token=""
    ),
}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("read", ["pull", "pull of a file", "list"])
def test_an_object_that_is_gone_is_said_to_hit_the_version(
    world: World, blobs: TamperingBlobStore, read: str, folder: str
) -> None:
    for key in keys_below(blobs, folder):
        blobs.hide(key)

    with pytest.raises(IntegrityError) as caught:
        READS[read](world)

    assert caught.value.reason is FOLDERS[folder]
    assert "demo/minilm@1" in caught.value.message
    assert caught.value.metadata["version"] == "demo/minilm@1"
    assert "demo/minilm@1" in caught.value.hint


@pytest.mark.parametrize("folder", FOLDERS)
def test_pushing_a_damaged_version_again_makes_one_that_can_be_read(
    world: World, blobs: TamperingBlobStore, folder: str
) -> None:
    for key in keys_below(blobs, folder):
        blobs.hide(key)

    pushed = world.push(FILES)

    assert not pushed.unchanged
    assert pushed.version.number == 2
    assert world.reopened().pull() == FILES
    # And now it is whole, so it is not stored a third time.
    assert world.push(FILES).unchanged


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_store_that_cannot_be_asked_is_not_called_unsuitable(count: int) -> None:
    faulty = FaultyBlobStore(MemoryBlobStore(SystemClock()))
    faulty.queue("put_new", *[Fault.NONE] * (count - 1), Fault.UNAVAILABLE)

    with ThreadPoolExecutor(8) as executor:
        probe = StoreProbe(
            blobs=faulty,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            executor=executor,
        )
        with pytest.raises(UnavailableError) as caught:
            probe.require()
        faulty.queue("put_new", Fault.UNAVAILABLE)
        first, *others = probe.run()

    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert not first.ok
    assert "versioning" not in first.hint
    assert all(item.ok for item in others)
