# SPDX-License-Identifier: Apache-2.0
"""Stores, projects and keyrings: opened once, never started over, never confused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import canonical
from strongroom_server.core.filetable import PageRef
from strongroom_server.core.manifest import MAX_MANIFEST_BYTES, Manifest
from strongroom_server.core.scope import Scope
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.named_blobs import put_by_digest
from strongroom_server.repository.store import open_store
from strongroom_server.repository.timed import CACHE_TTL_S, MAX_CACHED
from tests.support.clock import ManualClock
from tests.support.damage import one_bit_flipped
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.samples import filled
from tests.support.world import World, memory_world


def remove(world: World, prefix: str) -> None:
    for item, _ in list(world.bucket.objects()):
        if item.key.startswith(prefix):
            world.bucket.delete_version(item.key, item.version_id)


def reason_of_reopening(world: World) -> Reason:
    with pytest.raises(StrongroomError) as caught:
        world.reopened()
    return caught.value.reason


def test_a_bucket_becomes_a_store_once(world: World) -> None:
    stored = world.keys()

    assert world.reopened().repository.keyring.store == world.repository.keyring.store
    assert world.keys() == stored


def test_a_store_without_its_record_is_not_started_over(world: World) -> None:
    world.push({"a": b"1"})
    remove(world, "strongroom.json")

    assert reason_of_reopening(world) is Reason.RECORD_CORRUPT
    assert world.keys("strongroom.json") == []


def test_a_store_without_its_key_slots_is_not_started_over(world: World) -> None:
    world.push({"a": b"1"})
    remove(world, "keys/")

    assert reason_of_reopening(world) is Reason.KEY_SLOT_MISSING


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"format": 2}, Reason.FORMAT_UNSUPPORTED),
        ({"type": "other"}, Reason.RECORD_CORRUPT),
        ({"store": "00"}, Reason.RECORD_CORRUPT),
        ({"store": "zz"}, Reason.RECORD_CORRUPT),
        ({"store": 5}, Reason.RECORD_CORRUPT),
        ({"more": 5}, Reason.RECORD_CORRUPT),
    ],
)
def test_a_store_record_that_is_none_is_refused(
    world: World, body: dict[str, object], reason: Reason
) -> None:
    item, data = next(
        item for item in world.bucket.objects() if item[0].key == "strongroom.json"
    )
    good = canonical.decode_object(data, 1000)
    world.bucket.corrupt(item.key, item.version_id, canonical.encode(good | body))

    assert reason_of_reopening(world) is reason


class Meanwhile(FaultyBlobStore):
    """A store that another server makes between the first look and the second."""

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        found = list(super().first_versions(prefix, start_after=start_after))
        if not self.calls[1:]:
            World(blobs=self._store)
        yield from found


def test_a_store_that_another_server_made_meanwhile_is_opened() -> None:
    blobs = MemoryBlobStore()

    store = open_store(Meanwhile(blobs), SystemEntropy())

    assert store == open_store(blobs, SystemEntropy())


def test_a_project_whose_record_is_gone_is_damage_and_not_absent(world: World) -> None:
    world.push({"a": b"1"})
    remove(world, "projects/")
    fresh = world.reopened()

    with pytest.raises(IntegrityError) as caught:
        fresh.push({"a": b"2"})

    assert caught.value.reason is Reason.RECORD_CORRUPT


def test_projects_that_change_places_are_told(world: World) -> None:
    for name in ("one", "two"):
        world.push({"a": b"1"}, ArtifactName(name, "a"))
    first, second = [
        item for item in world.bucket.objects() if item[0].key.startswith("projects/")
    ]
    world.bucket.corrupt(first[0].key, first[0].version_id, second[1])

    with pytest.raises(IntegrityError):
        world.reopened().artifacts.list_projects(page_size=0, page_token="")


@pytest.mark.parametrize("kind", ["projects/", "keys/"])
def test_a_damaged_object_is_told(world: World, kind: str) -> None:
    world.push({"a": b"1"})
    for item, data in list(world.bucket.objects()):
        if item.key.startswith(kind):
            damaged = one_bit_flipped(data, 8 * (len(data) // 2))
            world.bucket.corrupt(item.key, item.version_id, damaged)

    with pytest.raises(IntegrityError):
        world.reopened().push({"a": b"2"})


def test_an_index_segment_that_is_gone_keeps_nobody_from_reading(world: World) -> None:
    world.push({"a": b"1"})
    remove(world, "index/")

    assert world.reopened().pull() == {"a": b"1"}


def test_a_damaged_index_segment_keeps_nobody_from_writing(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"1", "b": b"2"})
    first = next(
        item for item in world.bucket.objects() if item[0].key.startswith("index/")
    )
    damaged = one_bit_flipped(first[1], 8 * (len(first[1]) // 2))
    world.bucket.corrupt(first[0].key, first[0].version_id, damaged)
    fresh = world.reopened()

    fresh.push({"a": b"3", "b": b"2"})

    assert fresh.pull() == {"a": b"3", "b": b"2"}
    assert fresh.repository.chunk_index.damaged_segments == 1


def test_keys_are_forgotten_after_their_time_and_asked_for_again() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        world.push({"a": b"1"})
        fresh = world.reopened()
        fresh.pull()
        world.key_service.seal()

        assert fresh.pull() == {"a": b"1"}
        clock.advance(CACHE_TTL_S)
        with pytest.raises(UnavailableError) as caught:
            fresh.pull()
        assert caught.value.reason is Reason.KEY_SERVICE_SEALED
        world.key_service.unseal()
        assert fresh.pull() == {"a": b"1"}


def test_names_can_be_sealed_for_the_audit_log_while_vault_is_away(
    world: World,
) -> None:
    world.key_service.seal()
    keyring = world.repository.keyring

    assert keyring.resource_id("projects/demo") == keyring.resource_id("projects/demo")
    assert keyring.seal_name("projects/demo") != keyring.seal_name("projects/demo")


def test_the_keyring_keeps_a_bounded_number_of_keys(world: World) -> None:
    keyring = world.repository.keyring
    for number in range(MAX_CACHED + 5):
        domain = filled(str(number), 18)
        scope = Scope(keyring.store, filled("project", 18), domain, 0)
        keyring.create(scope)
        keyring.open(scope)

    assert len(keyring._cache) == MAX_CACHED


def test_a_shredded_kek_takes_its_project_with_it_and_no_other(world: World) -> None:
    world.push({"a": b"1"}, ArtifactName("one", "a"))
    world.push({"a": b"2"}, ArtifactName("two", "a"))
    project = world.artifacts.list_projects(page_size=1, page_token="").items[0]
    kek = next(kek for kek in world.key_service._keks if project.project_id in kek)
    world.key_service.delete_kek(kek)
    fresh = world.reopened()

    with pytest.raises(PreconditionError) as caught:
        fresh.pull(artifact=ArtifactName("one", "a"))

    assert caught.value.reason is Reason.KEK_MISSING
    assert fresh.pull(artifact=ArtifactName("two", "a")) == {"a": b"2"}


def test_a_lost_answer_to_a_write_by_digest_is_found_again() -> None:
    blobs = FaultyBlobStore(MemoryBlobStore())
    blobs.queue("put_new", Fault.ANSWER_LOST)

    version = put_by_digest(blobs, "k", b"data")

    assert blobs.get("k", version_id=version, max_bytes=4) == b"data"
    assert blobs.calls.count("put_new") == 2


def test_a_write_by_digest_gives_up_in_the_end() -> None:
    blobs = FaultyBlobStore(MemoryBlobStore())
    blobs.queue("put_new", *[Fault.UNAVAILABLE] * 3)

    with pytest.raises(UnavailableError):
        put_by_digest(blobs, "k", b"data")


@pytest.mark.parametrize("there", [b"other", b"dat", b"data and more"])
def test_other_bytes_under_a_digest_are_told(there: bytes) -> None:
    blobs = MemoryBlobStore()
    blobs.put_new("k", there)

    with pytest.raises(IntegrityError) as caught:
        put_by_digest(blobs, "k", b"data")

    assert caught.value.reason is Reason.DIGEST_MISMATCH


def test_a_manifest_that_could_not_be_read_back_is_not_written(world: World) -> None:
    world.push({"a": b"1"})
    project = world.repository.artifact(ArtifactName("demo", "minilm")).scope
    page = PageRef("p" * 4000, "q" * 4000, 1, 0, ())
    count = MAX_MANIFEST_BYTES // 8000
    manifest = Manifest(filled("a", 18), "sha256:" + "0" * 64, 1, 0, (page,) * count)
    before = world.keys()

    with pytest.raises(ExhaustedError) as caught:
        world.repository.manifests.store(project, manifest)

    assert caught.value.reason is Reason.TOO_LARGE
    assert world.keys() == before


class ListedStore(MemoryBlobStore):
    """Keeps where listings of index segments began, and counts reads."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []
        self.read_count = 0

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        if prefix.startswith("index/"):
            self.listed.append(start_after)
        return super().first_versions(prefix, start_after=start_after)

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        self.read_count += 1
        return super().get(key, version_id=version_id, max_bytes=max_bytes)


def test_old_index_segments_are_not_listed_again() -> None:
    clock, blobs = ManualClock(), ListedStore()
    with ThreadPoolExecutor(4) as executor:
        world = World(blobs=blobs, clock=clock, executor=executor)
        for number in range(3):
            world.push({"a": b"%d" % number})
            clock.advance(7200)
        segments = world.keys("index/")

        world.push({"a": b"4"})
        blobs.listed.clear()
        fresh = world.reopened()
        assert fresh.push({"b": b"1"}).version.stored_bytes > 0
        fresh.push({"b": b"2"})

        first, second = blobs.listed
        assert first == ""
        assert segments[-1] < second < world.keys("index/")[3]


def test_segments_from_a_clock_that_is_ahead_hide_no_later_ones() -> None:
    ahead = ManualClock()
    ahead.advance(10 * 86_400)
    with memory_world(clock=ManualClock()) as world:
        other = World(
            blobs=world.blobs,
            key_service=world.key_service,
            signer=world.signer,
            clock=ahead,
            executor=world.executor,
        )
        data = filled("data", 100_000)
        other.push({"a": b"1"})
        world.push({"a": b"2"})
        other.push({"b": data})

        assert world.push({"c": data}).version.stored_bytes < 10_000


def test_projects_that_are_known_are_not_read_again() -> None:
    blobs = ListedStore()
    with ThreadPoolExecutor(4) as executor:
        world = World(blobs=blobs, executor=executor)
        for number in range(3):
            world.push({"a": b"1"}, ArtifactName(f"p{number}", "a"))
        fresh = world.reopened()
        first = fresh.artifacts.list_projects(page_size=0, page_token="")
        read_count = blobs.read_count

        assert fresh.artifacts.list_projects(page_size=0, page_token="") == first
        assert len(first.items) == 3
        assert blobs.read_count == read_count


def test_keys_that_nobody_asks_for_are_forgotten_too() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        world.push({"a": b"1"}, ArtifactName("one", "a"))
        clock.advance(CACHE_TTL_S)
        world.push({"a": b"1"}, ArtifactName("two", "a"))

        assert len(world.repository.keyring._cache) == 1
