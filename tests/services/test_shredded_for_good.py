# SPDX-License-Identifier: Apache-2.0
"""What an attacker may have kept, or plants, brings nothing that was shredded back."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import dsse, layout, shred_receipt, tombstone
from strongroom_server.core.tombstone import Tombstone
from strongroom_server.core.verify_records import StoreFinding
from strongroom_server.ports import BlobVersion, WrappedKey
from strongroom_server.services.shredding import Approval
from tests.support.world import CALLER, World, memory_world

DEAD = ProjectName("dead")
GONE = ArtifactName("dead", "model")
SECRET = b"the secret weights" * 100


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world() as made:
        made.push({"a": SECRET}, GONE)
        yield made


def shred(world: World, name: str = "dead") -> bytes:
    return world.shredding.shred(
        ProjectName(name),
        reason="",
        request_id="r",
        caller=CALLER,
        approval=Approval("ap-1", ("operator:bob",)),
    )


def put_back(world: World, kept: list[tuple[BlobVersion, bytes]]) -> MemoryBlobStore:
    """Return a bucket with all that was kept, and nothing else."""
    bucket = MemoryBlobStore()
    for item, data in kept:
        if bucket.objects() and any(
            found.key == item.key for found, _ in bucket.objects()
        ):
            bucket.overwrite(item.key, data)
        else:
            bucket.put_new(item.key, data)
    return bucket


def test_all_objects_from_before_open_nothing_without_the_kek(world: World) -> None:
    kept = world.bucket.objects()
    index = world.index
    shred(world)

    # The whole bucket as it was: slots too, and no tombstone.
    before = replace(world.reopened(blobs=put_back(world, kept)), index=index)

    with pytest.raises(PreconditionError) as caught:
        before.pull("1", GONE)
    assert caught.value.reason in {Reason.KEK_MISSING, Reason.KEY_SHREDDED}


def test_old_slots_in_the_bucket_of_today_open_nothing(world: World) -> None:
    slots = [pair for pair in world.bucket.objects() if pair[0].key.startswith("keys/")]
    shred(world)
    for item, data in slots:
        if not world.keys(item.key):
            world.bucket.put_new(item.key, data)
    fresh = world.reopened()

    with pytest.raises(PreconditionError) as caught:
        fresh.pull("1", GONE)
    assert caught.value.reason is Reason.KEY_SHREDDED
    assert shred(fresh) == world.shredding.receipt(DEAD)


def test_all_that_vault_lets_a_server_do_opens_no_slot(world: World) -> None:
    scope = world.repository.projects.get(DEAD).scope
    _, data = next(
        pair
        for pair in world.bucket.objects()
        if pair[0].key == layout.slot_key(scope.domain, 0, 0)
    )
    slot, _ = world.repository.keyring.slots.open_bytes(scope, data)
    shred(world)
    keys = world.key_service

    for call in (
        lambda: keys.unwrap(slot.kek, scope.kek_context, slot.wrapped_master),
        lambda: keys.rewrap(
            slot.kek, [WrappedKey(scope.kek_context, slot.wrapped_master)]
        ),
        lambda: keys.generate(slot.kek, scope.kek_context),
    ):
        with pytest.raises(PreconditionError) as caught:
            call()
        assert caught.value.reason is Reason.KEK_MISSING
    # The server may make a KEK of any name: it is another one, and opens nothing.
    keys.create_kek(slot.kek)
    with pytest.raises(StrongroomError) as refused:
        keys.unwrap(slot.kek, scope.kek_context, slot.wrapped_master)
    assert refused.value.reason is Reason.KEY_SLOT_CORRUPT
    with pytest.raises(PreconditionError) as shredded:
        world.reopened().pull("1", GONE)
    assert shredded.value.reason is Reason.KEY_SHREDDED


def test_vault_of_yesterday_opens_nothing_on_a_server_that_looks(world: World) -> None:
    kept = dict(world.key_service._keks)
    slots = [pair for pair in world.bucket.objects() if pair[0].key.startswith("keys/")]
    shred(world)
    world.key_service._keks.update(kept)
    for item, data in slots:
        if not world.keys(item.key):
            world.bucket.put_new(item.key, data)
    fresh = world.reopened()
    fresh.repository.shreds.refresh()  # as a server does before it serves

    with pytest.raises(PreconditionError) as caught:
        fresh.pull("1", GONE)
    assert caught.value.reason is Reason.KEY_SHREDDED


def test_a_planted_tombstone_kills_nothing_and_is_told(world: World) -> None:
    scope = world.repository.projects.get(DEAD).scope
    world.push({"a": b"1"}, ArtifactName("other", "model"))
    shred(world, "other")
    genuine = next(
        data for item, data in world.bucket.objects() if layout.is_tombstone(item.key)
    )
    unsigned = tombstone.format_tombstone(
        tombstone.format_payload(Tombstone(scope, world.clock.now(), b"")), ()
    )
    planted = {
        layout.tombstone_key(scope.project, 0): b"junk",
        layout.tombstone_key(scope.project, 1): unsigned,
        layout.tombstone_key(scope.project, 2): genuine,
    }
    for key, data in planted.items():
        world.bucket.put_new(key, data)
    fresh = world.reopened()

    assert fresh.repository.shreds.refresh() == 1
    assert fresh.pull("1", GONE) == {"a": SECRET}
    told = {
        item.object
        for item in fresh.store_verification.verify(None)
        if isinstance(item, StoreFinding)
    }
    assert told == set(planted)


def test_what_is_planted_stands_in_no_shredding_s_way(world: World) -> None:
    project = world.repository.projects.id_of(DEAD)
    for number in range(3):
        world.bucket.put_new(layout.tombstone_key(project, number), b"junk")
        world.bucket.put_new(layout.receipt_key(project, number), b"junk")

    receipt = shred(world)

    assert world.reopened().shredding.receipt(DEAD) == receipt
    with pytest.raises(PreconditionError):
        world.reopened().pull("1", GONE)


def test_hiding_a_tombstone_hides_nothing(world: World) -> None:
    shred(world)
    for key in world.keys("shreds/"):
        world.bucket.add_delete_marker(key)
    fresh = world.reopened()

    with pytest.raises(PreconditionError) as caught:
        fresh.pull("1", GONE)
    assert caught.value.reason is Reason.KEY_SHREDDED


def test_keys_that_are_still_in_memory_are_of_no_use(world: World) -> None:
    other = world.reopened()
    other.pull("1", GONE)
    keyring = other.repository.keyring
    scope = other.repository.projects.get(DEAD).scope
    shred(world)
    (found,) = world.repository.keyring.graves.all()

    # As a reader does that comes between a burial and what is forgotten behind it.
    keyring.graves.bury(found)

    assert len(keyring._cache) > 1
    for use in (keyring.open, keyring.open_newest):
        with pytest.raises(PreconditionError) as caught:
            use(scope)
        assert caught.value.reason is Reason.KEY_SHREDDED


@pytest.mark.parametrize("place", [10, 200, -200])
def test_an_altered_receipt_is_refused(world: World, place: int) -> None:
    receipt = shred(world)
    altered = bytearray(receipt)
    altered[place] ^= 1

    with pytest.raises(StrongroomError):
        shred_receipt.verify_receipt(bytes(altered), world.signer.public_keys())


def test_a_receipt_of_another_store_s_keys_is_refused(world: World) -> None:
    receipt = shred(world)
    with memory_world() as other:
        with pytest.raises(StrongroomError) as caught:
            shred_receipt.verify_receipt(receipt, other.signer.public_keys())
        assert caught.value.reason is Reason.SIGNATURE_INVALID

    classic = {
        key_id: key
        for key_id, key in world.signer.public_keys().items()
        if "pq" not in key_id
    }
    with pytest.raises(StrongroomError) as caught:
        shred_receipt.verify_receipt(receipt, classic)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_receipt_that_one_kind_of_key_signed_is_refused(world: World) -> None:
    payload, _ = dsse.parse_envelope(
        shred(world), shred_receipt.PAYLOAD_TYPE, max_bytes=10**7
    )
    both = world.signer.sign(shred_receipt.signing_input(payload))
    keys = world.signer.public_keys()
    assert shred_receipt.verify_receipt(
        shred_receipt.format_receipt(payload, both), keys
    )

    for signatures in (both[:1], both[1:], ()):
        with pytest.raises(StrongroomError) as caught:
            shred_receipt.verify_receipt(
                shred_receipt.format_receipt(payload, signatures), keys
            )
        assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_tombstone_is_no_receipt_and_a_receipt_no_tombstone(world: World) -> None:
    receipt = shred(world)
    project = world.repository.projects.id_of(DEAD)
    keys = world.signer.public_keys()
    stored = next(
        data for item, data in world.bucket.objects() if layout.is_tombstone(item.key)
    )
    with pytest.raises(StrongroomError):
        shred_receipt.verify_receipt(stored, keys)
    with pytest.raises(StrongroomError):
        tombstone.verify_tombstone(
            receipt,
            layout.tombstone_key(project, 0),
            world.repository.keyring.store,
            keys,
        )


def test_the_bucket_tells_no_name_of_what_died(world: World) -> None:
    shred(world)

    for item, data in world.bucket.objects():
        if item.key.startswith("shreds/"):
            assert b"model" not in data
            assert b"dead" not in data


def test_public_keys_survive_a_file() -> None:
    with memory_world() as world:
        keys = dict(world.signer.public_keys())

        assert shred_receipt.parse_keys(shred_receipt.format_keys(keys)) == keys
        for junk in (b"", b"[]", b"{}", b'{"type":"strongroom-signing-keys"}'):
            with pytest.raises(ValueError, match=r"signing-keys|Expecting"):
                shred_receipt.parse_keys(junk)
