# SPDX-License-Identifier: Apache-2.0
"""Damage is named and not copied; who may need it waits, and the others go on."""

from collections.abc import Iterator

import pytest

from strongroom.format.names import ArtifactName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import dsse, journal, layout
from strongroom_server.core.scope import parse_id
from strongroom_server.repository.object_copies import add_copy
from tests.support.clock import ManualClock
from tests.support.replicas import Regions, shown, two_regions
from tests.support.samples import filled
from tests.support.world import ARTIFACT, World, memory_world

OTHER = ArtifactName("elsewhere", "model")
WEIGHTS = filled("weights", 300_000)


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world(clock=ManualClock()) as made:
        made.push({"a": b"1"})
        yield made


@pytest.fixture
def regions(world: World) -> Iterator[Regions]:
    with two_regions(world) as made:
        made.round()
        yield made


def newest(world: World, folder: str) -> tuple[str, str, bytes]:
    """Return key, version and bytes of what was stored last below a folder."""
    found = [item for item in world.bucket.objects() if item[0].key.startswith(folder)]
    item, data = max(found, key=lambda item: item[0].version_id)
    return item.key, item.version_id, data


def flipped(data: bytes) -> bytes:
    """Return bytes with a bit flipped in their middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("folder", ["packs/", "manifests/"])
def test_a_rotten_object_holds_back_its_project_and_no_other(
    world: World, regions: Regions, folder: str
) -> None:
    before = shown(world)
    world.push({"w": WEIGHTS})
    key, version_id, data = newest(world, folder)
    world.bucket.corrupt(key, version_id, flipped(data))
    world.push({"b": b"2"}, OTHER)

    report = regions.round()

    assert [item.key for item in report.findings] == [key]
    assert not report.is_complete
    found = shown(regions.opened())
    assert found[ARTIFACT.short] == before[ARTIFACT.short]
    assert found[OTHER.short] == {1: {"b": b"2"}}
    assert key not in {item.key for item, _ in regions.target.objects()}


def test_what_was_mended_from_a_copy_arrives_whole(
    world: World, regions: Regions
) -> None:
    world.push({"w": WEIGHTS})
    key, version_id, data = newest(world, "packs/")
    world.bucket.corrupt(key, version_id, flipped(data))
    regions.round()

    add_copy(world.bucket, SystemEntropy(), key, data)
    report = regions.round()

    assert report.is_complete
    assert not report.finding_count
    assert shown(regions.opened())[ARTIFACT.short][2] == {"w": WEIGHTS}


def test_garbage_whose_owner_nobody_knows_holds_back_everything(
    world: World, regions: Regions
) -> None:
    world.push({"w": WEIGHTS})
    key, version_id, data = newest(world, "packs/")
    world.bucket.corrupt(key, version_id, bytes(len(data)))
    world.push({"b": b"2"}, OTHER)

    report = regions.round()

    assert report.entry_count == 0
    assert shown(regions.opened()) == {ARTIFACT.short: {1: {"a": b"1"}}}


def test_damage_that_nobody_needs_any_more_holds_nobody_back(
    world: World, regions: Regions
) -> None:
    name = "ab" * 32
    world.bucket.put_new(layout.pack_key(name), b"garbage")
    world.bucket.put_new(layout.mended_key(name, bytes(8)), b"a statement")
    world.push({"b": b"2"})

    report = regions.round()

    assert {item.key for item in report.findings} >= {layout.pack_key(name)}
    assert report.is_complete
    assert shown(regions.opened()) == shown(world)


@pytest.mark.parametrize("change", [flipped, lambda _: b"", lambda data: data[:-1]])
def test_a_rotten_entry_ends_its_journal_there_and_no_other(
    world: World, regions: Regions, change: object
) -> None:
    assert callable(change)
    world.push({"a": b"2"})
    key, version_id, data = newest(world, "journals/")
    world.push({"a": b"3"})
    world.push({"b": b"2"}, OTHER)
    world.bucket.corrupt(key, version_id, change(data))

    report = regions.round()

    assert [item.key for item in report.findings] == [key]
    assert not report.is_complete
    found = shown(regions.opened())
    assert list(found[ARTIFACT.short]) == [1]
    assert found[OTHER.short] == {1: {"b": b"2"}}

    add_copy(world.bucket, SystemEntropy(), key, data)
    assert regions.round().is_complete
    assert shown(regions.opened())[ARTIFACT.short] == {
        1: {"a": b"1"},
        2: {"a": b"2"},
        3: {"a": b"3"},
    }


def test_an_entry_of_another_place_is_not_copied(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"2"})
    key, _, data = newest(world, "journals/")
    prefix, _, number = key.rpartition("/")
    planted = f"{prefix}/{int(number) + 1:020d}"
    world.bucket.put_new(planted, data)

    report = regions.round()

    assert [item.key for item in report.findings] == [planted]
    assert list(shown(regions.opened())[ARTIFACT.short]) == [1, 2]


def test_an_entry_that_names_another_one_before_it_is_not_copied(
    world: World, regions: Regions
) -> None:
    key, _, data = newest(world, "journals/")
    place, number = key.rpartition("/")[0], int(key.rpartition("/")[2])
    store = world.repository.keyring.store
    _, project, artifact = place.split("/")
    found = journal.EntryPlace(
        store,
        parse_id(project),
        parse_id(artifact),
        number + 1,
        b"x" * 32,
    )
    payload, _ = dsse.parse_envelope(data, journal.PAYLOAD_TYPE, max_bytes=len(data))
    sealed = payload[journal.HEADER.size :]
    forged = journal.format_payload(found, sealed)
    signatures = world.signer.sign(journal.signing_input(forged))
    planted = f"{place}/{number + 1:020d}"
    world.bucket.put_new(planted, journal.format_entry(forged, signatures))

    report = regions.round()

    assert [item.key for item in report.findings] == [planted]
    assert planted not in {item.key for item, _ in regions.target.objects()}


def test_with_public_keys_only_what_the_stores_servers_signed_is_taken(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"2"})
    key, _, data = newest(world, "journals/")
    payload, _ = dsse.parse_envelope(data, journal.PAYLOAD_TYPE, max_bytes=len(data))
    place, number = key.rpartition("/")[0], int(key.rpartition("/")[2])
    _, project, artifact = place.split("/")
    sealed = payload[journal.HEADER.size :]
    forged = journal.format_payload(
        journal.EntryPlace(
            world.repository.keyring.store,
            parse_id(project),
            parse_id(artifact),
            number + 1,
            journal.entry_digest(data),
        ),
        sealed,
    )
    # Somebody else's keys, under the names of ours.
    others = MemorySigner(entropy=SystemEntropy())
    signatures = others.sign(journal.signing_input(forged))
    planted = f"{place}/{number + 1:020d}"
    world.bucket.put_new(planted, journal.format_entry(forged, signatures))
    regions.public_keys = world.signer.public_keys()

    report = regions.fresh().round()

    assert [item.key for item in report.findings] == [planted]
    assert planted not in {item.key for item, _ in regions.target.objects()}
    assert list(shown(regions.opened())[ARTIFACT.short]) == [1, 2]


def test_what_somebody_put_into_the_replica_is_told_and_not_taken(
    world: World, regions: Regions
) -> None:
    world.push({"w": WEIGHTS})
    pack, _, _ = newest(world, "packs/")
    regions.target.put_new(pack, b"garbage")

    report = regions.round()

    assert [item.key for item in report.findings] == [pack]
    assert list(shown(regions.opened())[ARTIFACT.short]) == [1]


def test_an_entry_that_somebody_wrote_to_the_replica_is_told(
    world: World, regions: Regions
) -> None:
    replica = regions.opened()
    replica.push({"a": b"written to the replica"})

    report = regions.round()

    assert report.finding_count == 1
    assert "the primary has not" in report.findings[0].problem


def test_a_lost_object_of_the_replica_is_copied_anew(
    world: World, regions: Regions
) -> None:
    world.push({"w": WEIGHTS})
    regions.round()
    for item, _ in regions.target.objects():
        if item.key.startswith(("packs/", "manifests/", "keys/", "projects/")):
            regions.target.delete_version(item.key, item.version_id)

    report = regions.fresh().round()

    assert report.is_complete
    assert shown(regions.opened()) == shown(world)
