# SPDX-License-Identifier: Apache-2.0
"""Whoever holds the bucket can deny service, but never change what is read.

Every kind of stored object is flipped, cut short, extended, emptied, replaced by
every other object of its kind, replayed and hidden. A reader without any cache
gets a typed integrity error, or exactly what was written; nothing in between.
"""

import random
from collections.abc import Iterator

import pytest

from strongroom.errors import IntegrityError, Reason
from tests.security.subject import (
    REASONS,
    Subject,
    always,
    cut_at,
    journal_keys,
    read_keys,
)
from tests.support.damage import one_byte_changed
from tests.support.world import ARTIFACT


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    made = Subject()
    yield made
    made.executor.shutdown()


@pytest.mark.parametrize("folder", sorted(REASONS))
def test_a_flipped_byte_is_refused(subject: Subject, folder: str) -> None:
    positions = random.Random(11)
    for key in subject.keys(folder):
        size = len(subject.data(key))
        tries = {0, size - 1, *(positions.randrange(size) for _ in range(12))}
        for position in tries:

            def flip(data: bytes, at: int = position) -> bytes:
                return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]

            outcome = subject.attack(key, flip)

            # Padding and directory of a pack are not part of any chunk.
            must = folder != "packs" and key in read_keys(subject, folder)
            assert outcome == "refused" or not must, (key, position)


@pytest.mark.parametrize("folder", sorted(REASONS))
def test_a_truncated_extended_or_emptied_object_is_refused(
    subject: Subject, folder: str
) -> None:
    for key in read_keys(subject, folder):
        size = len(subject.data(key))
        for end in (0, 1, size // 2, size - 1):
            outcome = subject.attack(key, cut_at(end))
            harmless = folder == "packs" and end > size // 2
            assert outcome == "refused" or harmless, (key, end)
        outcome = subject.attack(key, lambda data: data + b"\0")
        # What lies behind a pack's last chunk is not part of any chunk.
        assert outcome == "refused" or folder == "packs", key


@pytest.mark.parametrize("folder", sorted(REASONS))
def test_an_object_in_another_ones_place_is_refused(
    subject: Subject, folder: str
) -> None:
    for key in read_keys(subject, folder):
        for other in subject.keys(folder):
            if other != key:
                swapped = subject.data(other)
                assert subject.attack(key, always(swapped)) == "refused"


@pytest.mark.parametrize(
    "folder", ["strongroom.json", "keys", "projects", "manifests", "packs"]
)
def test_a_deleted_object_is_missed(subject: Subject, folder: str) -> None:
    assert read_keys(subject, folder)


def test_a_deleted_journal_entry_is_missed(subject: Subject) -> None:
    for key in journal_keys(subject)[:-1]:
        assert subject.attack(key, None) == "refused"


def test_every_kind_of_object_was_attacked(subject: Subject) -> None:
    kinds = {item.key.split("/")[0] for item, _ in subject.memory.objects()}

    assert kinds == set(REASONS)


def test_a_delete_marker_or_an_overwrite_changes_nothing(subject: Subject) -> None:
    """Reads are pinned: what lies over an object is not looked at."""
    fresh = Subject()
    for key in sorted({item.key for item, _ in fresh.memory.objects()}):
        fresh.memory.overwrite(key, b"garbage")
        fresh.memory.add_delete_marker(key)

    assert fresh.look() == fresh.seen
    fresh.executor.shutdown()


def test_an_older_entry_replayed_at_the_end_is_refused(subject: Subject) -> None:
    own = journal_keys(subject)
    for older in own[:-1]:
        data = subject.data(older)
        assert subject.attack(own[-1], always(data)) == "refused"


def test_a_warm_server_notices_a_rewound_journal() -> None:
    subject = Subject()
    last = journal_keys(subject)[-1]
    assert subject.world.artifacts.get_artifact(ARTIFACT).latest_version == 2

    subject.blobs.hide(last)

    with pytest.raises(IntegrityError) as caught:
        subject.world.artifacts.get_artifact(ARTIFACT)
    assert caught.value.reason is Reason.JOURNAL_REWOUND
    subject.executor.shutdown()


def test_a_pack_that_is_gone_is_not_shared_again() -> None:
    subject = Subject()
    world = subject.world
    noise = world.pull("2")
    packs = subject.keys("packs")
    for key in packs:
        subject.blobs.hide(key)

    result = world.push({**noise, "c.txt": b"new"})

    # Every byte of the new version was stored again, so it can be read back
    # although everything that it could have shared is gone.
    assert result.version.stored_bytes > 5_000_000
    assert world.reopened().pull("3") == {**noise, "c.txt": b"new"}
    subject.executor.shutdown()


def test_a_damaged_index_segment_costs_bytes_and_nothing_else() -> None:
    subject = Subject()
    for key in subject.keys("index"):
        subject.blobs.alter(key, one_byte_changed)
    fresh = subject.world.reopened()

    fresh.push({"new": b"file"})

    assert fresh.pull() == {"new": b"file"}
    assert fresh.repository.chunk_index.damaged_segments > 0
    subject.executor.shutdown()


def test_a_store_whose_record_is_gone_is_not_started_anew() -> None:
    subject = Subject()
    subject.blobs.hide("strongroom.json")

    with pytest.raises(IntegrityError):
        subject.world.reopened()

    subject.blobs.restore()
    assert subject.look() == subject.seen
    subject.executor.shutdown()


def test_an_entry_written_over_a_delete_marker_is_not_acknowledged() -> None:
    """A conditional write succeeds over a delete marker; only the first counts."""
    subject = Subject()
    theirs = subject.world.reopened()
    ours = subject.world
    assert ours.artifacts.get_artifact(ARTIFACT).latest_version == 2
    written = set(subject.keys("journals"))
    theirs.push({"x": b"theirs"})
    (fresh,) = set(subject.keys("journals")) - written
    subject.memory.add_delete_marker(fresh)

    result = ours.push({"x": b"ours"})

    assert result.version.number == 4
    assert subject.world.reopened().pull("3") == {"x": b"theirs"}
    assert subject.world.reopened().pull("4") == {"x": b"ours"}
    subject.executor.shutdown()
