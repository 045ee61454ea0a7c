# SPDX-License-Identifier: Apache-2.0
"""Upload records as stored: one writer a number, and one chain."""

import pytest

from strongroom.errors import ConflictError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_keys import MemoryKeyService
from strongroom_server.core.upload_record import UploadRecord
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.upload_records import UploadLog, UploadRecords
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.samples import ARTIFACT_ID, file_entry, keys_of

KEYS = keys_of()
REQUEST = "r-1"


def records_on(blobs: MemoryBlobStore | FaultyBlobStore) -> UploadRecords:
    entropy = SystemEntropy()
    keyring = Keyring(
        KEYS.scope.store,
        blobs=blobs,
        key_service=MemoryKeyService(entropy=entropy),
        clock=SystemClock(),
        entropy=entropy,
    )
    return UploadRecords(blobs=blobs, keyring=keyring, entropy=entropy)


def add(
    blobs: MemoryBlobStore | FaultyBlobStore,
    log: UploadLog,
    *paths: str,
    ended: bool = False,
) -> None:
    """Record that files have become durable."""
    record = UploadRecord(
        ARTIFACT_ID,
        REQUEST,
        "0a" * 16,
        log.after,
        log.after_digest,
        ended,
        0,
        tuple(file_entry(path) for path in paths),
        None,
    )
    records_on(blobs).add(KEYS, log, record)


def opened(blobs: MemoryBlobStore) -> UploadLog:
    return records_on(blobs).open(KEYS, ARTIFACT_ID, REQUEST)


def paths_of(log: UploadLog) -> list[str]:
    return [entry.path for entry in log.state.files]


def test_records_add_up() -> None:
    bucket = MemoryBlobStore()
    log = opened(bucket)
    add(bucket, log, "a", "b")
    add(bucket, log, "c", ended=True)

    again = opened(bucket)

    assert paths_of(again) == ["a", "b", "c"]
    assert (again.next_number, again.after) == (2, 1)
    assert not again.contested
    add(bucket, again, "d")
    assert paths_of(opened(bucket)) == ["a", "b", "c", "d"]


def test_a_record_that_another_one_stood_for_is_not_gone_on_from() -> None:
    bucket, other = MemoryBlobStore(), MemoryBlobStore()
    log = opened(bucket)
    add(bucket, log, "a")
    add(bucket, log, "c")
    # The same upload in a copy of the store: good records, of another chain.
    add(other, opened(other), "b")
    (first, _), (_, alien) = bucket.objects()[0], other.objects()[0]
    bucket.corrupt(first.key, first.version_id, alien)

    again = opened(bucket)

    assert paths_of(again) == []
    assert again.contested
    (stored,) = records_on(bucket).live(KEYS)
    assert stored.request_id == REQUEST


def test_a_record_over_a_delete_marker_is_another_attempts() -> None:
    bucket = MemoryBlobStore()
    older, newer = opened(bucket), opened(bucket)
    add(bucket, older, "a")
    bucket.add_delete_marker(bucket.objects()[0][0].key)

    with pytest.raises(ConflictError) as caught:
        add(bucket, newer, "b")

    assert caught.value.reason is Reason.UPLOAD_CONFLICT
    assert (newer.next_number, newer.after) == (0, -1)
    assert paths_of(opened(bucket)) == ["a"]


def test_records_of_attempts_that_ended_are_passed() -> None:
    bucket = MemoryBlobStore()
    older, newer = opened(bucket), opened(bucket)
    add(bucket, older, "a", ended=True)

    add(bucket, newer, "b")

    assert (newer.next_number, newer.after) == (2, 1)
    assert paths_of(opened(bucket)) == ["b"]


def test_a_record_whose_answer_was_lost_is_the_writers_own() -> None:
    bucket = MemoryBlobStore()
    faulty, log = FaultyBlobStore(bucket), opened(bucket)
    faulty.queue("put_new", Fault.ANSWER_LOST)

    add(faulty, log, "a")

    assert (log.next_number, log.after) == (1, 0)
    assert paths_of(opened(bucket)) == ["a"]
