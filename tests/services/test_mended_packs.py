# SPDX-License-Identifier: Apache-2.0
"""Packs that were mended chunk by chunk: no damage without keys, and nothing hidden."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import layout
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.core.signatures import PublicKey, Signature
from strongroom_server.core.verify_records import StoreFinding
from strongroom_server.ports import BlobVersion
from strongroom_server.repository import contents, mend_survey
from tests.services.test_repairing import checkpoints, mend
from tests.support.copies import flip, stored, verify_store
from tests.support.damage import one_bit_flipped
from tests.support.samples import filled
from tests.support.sweeps import Sweeper, delete, set_policy
from tests.support.world import ARTIFACT, World

MIB = 1024 * 1024
BIG = filled("big", 5 * MIB)
FIRST, SECOND = VersionName(ARTIFACT, "1"), VersionName(ARTIFACT, "2")


def keyless(world: World) -> list[StoreFinding]:
    return verify_store(world.reopened(), without_keys=True)[0]


def told(world: World) -> list[tuple[str, bool]]:
    """What a keyless verification tells: keys, and whether that is mended."""
    return [(item.object, item.mended) for item in keyless(world)]


def only(world: World, prefix: str) -> tuple[BlobVersion, bytes]:
    (found,) = stored(world, prefix)
    return found


@pytest.fixture
def broken(world: World) -> BlobVersion:
    """The pack of a big file, with a bit flipped."""
    world.push({"big": BIG})
    pack, data = next(stored(world, "packs/"))
    flip(world, pack, data, 8 * MIB)
    return pack


def mended(world: World, files: Mapping[str, bytes]) -> None:
    _, report = mend(world.reopened(), files)
    assert report.damaged_paths == ()


def mended_anew(world: World) -> tuple[BlobVersion, bytes]:
    """Mend the big file; return the pack that stands for the broken one."""
    before = set(world.keys("packs/"))
    mended(world, {"big": BIG})
    (spare,) = [item for item in stored(world, "packs/") if item[0].key not in before]
    return spare


def test_a_mended_pack_is_told_as_mended_and_is_no_damage(
    world: World, broken: BlobVersion
) -> None:
    assert told(world) == [(broken.key, False)]

    mended(world, {"big": BIG})

    findings, report = verify_store(world.reopened(), without_keys=True)
    assert [(item.object, item.mended) for item in findings] == [(broken.key, True)]
    assert not findings[0].repaired
    assert (report.damaged_count, report.repaired_count, report.mended_count) == (
        0, 0, 1,
    )  # fmt: skip
    assert verify_store(world.reopened())[0] == []


def test_a_mended_pack_that_goes_on_rotting_is_damaged_again(
    world: World, broken: BlobVersion
) -> None:
    mended(world, {"big": BIG})
    data = dict(world.bucket.objects())[broken]
    flip(world, broken, data, 8 * 2 * MIB)

    assert told(world) == [(broken.key, False)]

    # Nobody needs what is lost now either, and keys tell so.
    assert verify_store(world.reopened())[0] == []
    assert told(world) == [(broken.key, True)]


def test_without_what_replaces_it_a_pack_is_damaged(
    world: World, broken: BlobVersion
) -> None:
    spare, _ = mended_anew(world)

    world.bucket.delete_version(spare.key, spare.version_id)

    assert told(world) == [(broken.key, False)]


def test_what_replaces_a_pack_counts_by_its_digest_only(
    world: World, broken: BlobVersion
) -> None:
    spare, data = mended_anew(world)

    flip(world, spare, data, 8 * (len(data) - 200))

    assert sorted(told(world)) == sorted([(broken.key, False), (spare.key, False)])


def test_a_copy_of_what_replaces_a_pack_stands_for_it(
    world: World, broken: BlobVersion
) -> None:
    spare, data = mended_anew(world)
    world.repository.repairs.add_copy(spare.key, data)

    flip(world, spare, data, 8 * MIB)

    assert told(world) == [(broken.key, True)]


def gone(world: World, item: BlobVersion, _data: bytes) -> None:
    world.bucket.delete_version(item.key, item.version_id)


def rotten(world: World, item: BlobVersion, data: bytes) -> None:
    flip(world, item, data, 8 * (len(data) - 20))


@pytest.mark.parametrize("damage", [gone, rotten])
def test_without_the_record_that_says_where_a_pack_is_damaged(
    world: World,
    broken: BlobVersion,
    damage: Callable[[World, BlobVersion, bytes], None],
) -> None:
    mended(world, {"big": BIG})
    records = [
        item for item in stored(world, "repairs/") if "/mended/" not in item[0].key
    ]
    for record, data in records:
        damage(world, record, data)

    assert (broken.key, False) in told(world)
    assert verify_store(world.reopened())[1].damaged_count > 0


def test_a_copy_of_a_record_stands_for_it(world: World, broken: BlobVersion) -> None:
    mended(world, {"big": BIG})
    for record, data in list(stored(world, "repairs/")):
        if "/mended/" not in record.key:
            world.repository.repairs.add_copy(record.key, data)
            rotten(world, record, data)

    assert told(world) == [(broken.key, True)]
    assert world.reopened().pull() == {"big": BIG}


def test_a_statement_by_somebody_else_is_not_believed(
    world: World, broken: BlobVersion
) -> None:
    mended(world, {"big": BIG})
    statement, _ = only(world, layout.MENDED)
    (stated,) = world.repository.repairs.statements(broken.key[-64:])
    world.bucket.delete_version(statement.key, statement.version_id)
    ours = world.signer
    world.signer = MemorySigner(entropy=SystemEntropy())
    world.reopened().repository.repairs.state(stated)
    world.signer = ours

    assert (broken.key, False) in told(world)
    assert (broken.key, True) not in told(world)


def test_a_statement_of_another_pack_is_not_believed(world: World) -> None:
    files = {"a": BIG, "b": filled("b", 5 * MIB)}
    world.push(files)
    large = list(stored(world, "packs/"))[:2]
    garbage = bytes(1000)
    world.bucket.corrupt(large[0][0].key, large[0][0].version_id, garbage)
    mended(world, files)
    statement, data = only(world, layout.MENDED)
    world.bucket.corrupt(large[1][0].key, large[1][0].version_id, garbage)
    other = large[1][0].key

    nonce = statement.key.rpartition("/")[2]
    world.bucket.put_new(layout.mended_prefix(other[-64:]) + nonce, data)

    assert (other, False) in told(world)
    assert (other, True) not in told(world)


@pytest.mark.parametrize("place", [10, 500, 3000, -400, -10])
def test_a_statement_that_rots_is_told_and_not_believed(
    world: World, broken: BlobVersion, place: int
) -> None:
    mended(world, {"big": BIG})
    statement, data = only(world, layout.MENDED)
    world.bucket.corrupt(
        statement.key,
        statement.version_id,
        one_bit_flipped(data, 8 * (place % len(data))),
    )

    assert sorted(told(world)) == sorted([(broken.key, False), (statement.key, False)])


def test_what_another_version_misses_is_not_hidden(world: World) -> None:
    one, two = {"a": filled("a", 3000), "b": filled("b", 3000)}, filled("c", 9)
    world.push(one)
    pack = next(item for item in stored(world, "packs/") if len(item[1]) > 6000)
    world.push({"b": one["b"], "c": two})
    artifact, version = world.repository.version(FIRST)
    files = contents.files_of(world.repository, artifact, version)
    refs = [ref for entry in files for ref in entry.chunks]
    data = pack[1]
    for ref in refs:
        data = one_bit_flipped(data, 8 * (ref.offset_bytes + 100))
    world.bucket.corrupt(pack[0].key, pack[0].version_id, data)

    # The second version needs one of the two chunks, and has it again.
    _, report = mend(world.reopened(), one, SECOND)
    assert report.damaged_paths == ()
    assert world.reopened().pull("2") == {"b": one["b"], "c": two}

    assert told(world) == [(pack[0].key, False)]
    mended(world, one)
    assert told(world) == [(pack[0].key, True)]


def test_bytes_under_another_version_id_hold_nothing_that_is_needed(
    world: World,
) -> None:
    one = {"a": filled("a", 3000), "b": filled("b", 3000)}
    world.push(one)
    pack, data = next(item for item in stored(world, "packs/") if len(item[1]) > 6000)
    world.push({"a": one["a"]})
    artifact, version = world.repository.version(SECOND)
    (entry,) = contents.files_of(world.repository, artifact, version)
    # Version ids are pinned, so nobody finds there what is whole in it.
    world.bucket.delete_version(pack.key, pack.version_id)
    offset = entry.chunks[0].offset_bytes + 100
    world.bucket.put_new(pack.key, one_bit_flipped(data, 8 * offset))

    mend(world.reopened(), one, SECOND)
    assert told(world) == [(pack.key, False)]

    mended(world, one)
    assert told(world) == [(pack.key, True)]


def test_one_statement_may_rest_on_another(world: World) -> None:
    files = {"a": filled("a", 3000)}
    world.push(files)
    files["b"] = filled("b", 3000)
    world.push(files)
    both = VersionName(ARTIFACT, "2")
    packs = [item for item in stored(world, "packs/") if 3000 < len(item[1]) < 4096]
    before = set(world.keys("packs/"))
    artifact, version = world.repository.version(both)
    entries = list(contents.files_of(world.repository, artifact, version))
    for entry in entries:
        (ref,) = entry.chunks
        item, data = next(item for item in packs if ref.pack in item[0].key)
        flip(world, item, data, 8 * (ref.offset_bytes + 100))
    mend(world.reopened(), files, both)
    ((spare, data),) = [
        item for item in stored(world, "packs/") if item[0].key not in before
    ]
    keys = world.repository.keyring.open(artifact.scope)
    (place,) = world.repository.repairs.places(keys, entries[0].chunks[0])
    flip(world, spare, data, 8 * (place.ref.offset_bytes + 100))
    assert {mended for _, mended in told(world)} == {False}

    # The first version has one of the two chunks, so of the two packs one is asked
    # about; the other is whole since what it rests on is.
    mended(world, files)

    expected = [*(entry.chunks[0].pack for entry in entries), spare.key[-64:]]
    assert {key[-64:] for key, _ in told(world)} == set(expected)
    assert {mended for _, mended in told(world)} == {True}


def test_nothing_is_stated_while_a_version_cannot_be_read(
    world: World, broken: BlobVersion
) -> None:
    other = ArtifactName("demo", "other")
    world.push({"x": b"1"}, other)
    manifest = world.repository.version(VersionName(other, "1"))[1].manifest
    key = layout.manifest_key(manifest)
    item, data = only(world, key)
    flip(world, item, data, 8 * 100)

    mended(world, {"big": BIG})

    assert sorted(told(world)) == sorted([(broken.key, False), (key, False)])
    assert list(stored(world, layout.MENDED)) == []


def test_keys_prove_what_a_repair_could_not_state(
    world: World, broken: BlobVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(mend_survey, "MAX_STATED", 0)
        mended(world, {"big": BIG})
    assert told(world) == [(broken.key, False)]

    assert verify_store(world.reopened())[0] == []

    assert told(world) == [(broken.key, True)]
    statement, _ = only(world, layout.MENDED)
    assert verify_store(world.reopened())[0] == []
    assert only(world, layout.MENDED)[0] == statement


class MuteSigner(MemorySigner):
    """Knows the public keys, and does not sign."""

    def __init__(self, keys: MemorySigner, error: StrongroomError) -> None:
        self._keys = keys
        self._error = error

    def sign(self, message: bytes) -> Sequence[Signature]:
        raise self._error

    def public_keys(self) -> Mapping[str, PublicKey]:
        return self._keys.public_keys()


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("away"),
        PreconditionError("no", reason=Reason.KEK_ACCESS_DENIED),
    ],
    ids=["Vault is away", "signing is denied"],
)
def test_a_repair_that_nobody_signs_is_a_repair(
    world: World, broken: BlobVersion, error: StrongroomError
) -> None:
    ours = world.signer
    world.signer = MuteSigner(ours, error)
    mended(world, {"big": BIG})
    if isinstance(error, PreconditionError):
        assert verify_store(world.reopened())[0] == []
    world.signer = ours

    assert world.reopened().pull() == {"big": BIG}
    assert told(world) == [(broken.key, False)]
    assert verify_store(world.reopened())[0] == []
    assert told(world) == [(broken.key, True)]


def test_more_chunks_than_are_remembered_are_not_stated(
    world: World, broken: BlobVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mend_survey, "MAX_NEEDED", 0)
    mended(world, {"big": BIG})

    assert told(world) == [(broken.key, False)]


def test_what_mends_may_itself_have_been_mended(
    world: World, broken: BlobVersion
) -> None:
    spare, data = mended_anew(world)
    flip(world, spare, data, 8 * MIB)
    mended(world, {"big": BIG})

    assert sorted(told(world)) == sorted([(broken.key, True), (spare.key, True)])
    assert verify_store(world.reopened())[0] == []


def test_a_base_that_only_mended_deltas_needed_is_not_missed(world: World) -> None:
    files = checkpoints(world)
    base, data = next(stored(world, "packs/"))
    set_policy(world, ArtifactPolicy(trash_days=0))
    delete(world, 1)
    sweeper = Sweeper(world)
    for _ in range(3):
        sweeper.sweep()
    assert base.key in world.keys("packs/")
    flip(world, base, data, 8 * MIB)

    mend(world.reopened(), files[1], SECOND)
    assert (base.key, False) in told(world)
    mend(world.reopened(), files[2], VersionName(ARTIFACT, "3"))

    assert told(world) == [(base.key, True)]
    assert world.reopened().pull("3") == files[2]
