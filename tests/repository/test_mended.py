# SPDX-License-Identifier: Apache-2.0
"""Mend statements that are signed, and must not be believed all the same."""

import hashlib

import pytest

from strongroom_server.core import canonical, layout, mend_statement
from strongroom_server.core.mend_statement import MendStatement
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.mended import MendedPacks
from tests.support.copies import flip, stored
from tests.support.samples import filled
from tests.support.world import World

MIB = 1024 * 1024


@pytest.fixture
def broken(world: World) -> list[tuple[BlobVersion, bytes]]:
    """Two packs, each with a bit flipped, and the bytes that they have now."""
    world.push({"a": filled("a", 5 * MIB), "b": filled("b", 5 * MIB)})
    for item, data in list(stored(world, "packs/"))[:2]:
        flip(world, item, data, 8 * MIB)
    return list(stored(world, "packs/"))[:2]


def statement_of(
    world: World, of: tuple[BlobVersion, bytes], *on: BlobVersion
) -> MendStatement:
    item, data = of
    return MendStatement(
        world.repository.keyring.store,
        item.key[-64:],
        hashlib.sha256(data).hexdigest(),
        (),
        tuple(sorted((other.key[-64:], other.version_id) for other in on)),
    )


def believed(world: World, of: tuple[BlobVersion, bytes]) -> bool:
    return MendedPacks(world.repository).is_mended(of[0].key[-64:], of[1])


def test_packs_that_stand_for_each_other_stand_for_nothing(
    world: World, broken: list[tuple[BlobVersion, bytes]]
) -> None:
    one, two = broken
    world.repository.repairs.state(statement_of(world, one, two[0]))
    world.repository.repairs.state(statement_of(world, two, one[0]))
    assert not believed(world, one)
    assert not believed(world, two)

    # One way round is no circle.
    world.repository.repairs.state(statement_of(world, two))

    assert believed(world, two)
    assert believed(world, one)


def test_who_else_signed_a_statement_must_be_known(
    world: World, broken: list[tuple[BlobVersion, bytes]]
) -> None:
    one = broken[0]
    world.repository.repairs.state(statement_of(world, one))
    ((stated, data),) = stored(world, layout.MENDED)
    body = canonical.decode_object(data, mend_statement.MAX_STATEMENT_BYTES)
    stranger = {
        **body["signatures"][0],
        "keyid": "0" * len(body["signatures"][0]["keyid"]),
    }
    body["signatures"].append(stranger)
    assert believed(world, one)

    world.bucket.corrupt(stated.key, stated.version_id, canonical.encode(body))

    assert not believed(world, one)
