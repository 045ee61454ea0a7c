# SPDX-License-Identifier: Apache-2.0
"""The index that forgets: the contract, its bound, and an engine that loses entries."""

import pytest

from strongroom_server.adapters.bounded_index import ITEM_BYTES, BoundedIndex
from tests.contract.index_suite import IndexSuite
from tests.support.world import ARTIFACT, World


class TestBoundedIndex(IndexSuite):
    @pytest.fixture
    def index(self) -> BoundedIndex:
        return BoundedIndex()


def test_what_was_put_first_is_forgotten_first() -> None:
    index = BoundedIndex(3 * (ITEM_BYTES + 2))
    for key in (b"a", b"b", b"c"):
        index.put_many({key: b"1"})
    index.put_many({b"a": b"2"})

    index.put_many({b"d": b"1"})

    assert list(index.scan(b"")) == [(b"a", b"2"), (b"c", b"1"), (b"d", b"1")]


def test_what_was_forgotten_or_replaced_makes_room() -> None:
    index = BoundedIndex(2 * (ITEM_BYTES + 2))
    index.put_many({b"a": b"1", b"b": b"1"})
    index.forget(b"a")
    for value in (b"2", b"3"):
        index.put_many({b"c": value})

    assert list(index.scan(b"")) == [(b"b", b"1"), (b"c", b"3")]


def test_what_was_put_last_stays_whatever_its_size() -> None:
    index = BoundedIndex(1)
    index.put_many({b"a": b"1"})

    index.put_many({b"b": b"1", b"c": b"1"})

    assert [key for key, _ in index.scan(b"")] == [b"b", b"c"]


def test_a_journal_whose_first_entries_were_forgotten_is_read_again() -> None:
    index = BoundedIndex(1)
    world = World(index=index)
    for number in range(4):
        world.push({"file": b"%d" % number})
    reopened = World(
        blobs=world.blobs,
        key_service=world.key_service,
        signer=world.signer,
        index=index,
        executor=world.executor,
    )

    history = reopened.repository.artifact(ARTIFACT).history

    assert len(list(index.scan(b"j"))) == 1
    assert [version.version for version in history.live_versions()] == [1, 2, 3, 4]
