# SPDX-License-Identifier: Apache-2.0
"""A file's digest, whatever its chunks are, and no thread that stays."""

import hashlib
import threading

import pytest

from strongroom_server.repository import ordered_hash
from strongroom_server.repository.ordered_hash import INLINE_BYTES, OrderedHash
from tests.support.samples import filled


def threads() -> set[threading.Thread]:
    return {item for item in threading.enumerate() if item.name == "sha256"}


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [1],
        [INLINE_BYTES - 1, 5],
        [INLINE_BYTES, 5, INLINE_BYTES + 1],
        [5, INLINE_BYTES * 2] * 6,
    ],
)
def test_it_is_the_digest_of_all_chunks_in_order(sizes: list[int]) -> None:
    chunks = [filled(str(number), size) for number, size in enumerate(sizes)]
    before = threads()
    made = OrderedHash()

    for chunk in chunks:
        made.update(bytearray(chunk))

    assert made.digest() == hashlib.sha256(b"".join(chunks)).digest()
    assert made.digest() == hashlib.sha256(b"".join(chunks)).digest()
    assert threads() <= before


def test_what_is_given_up_leaves_no_thread() -> None:
    before = threads()
    made = OrderedHash()
    for _ in range(5):
        made.update(bytearray(INLINE_BYTES))

    made.close()

    assert threads() <= before


def test_without_a_thread_to_be_had_it_can_still_be_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_self: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    made = OrderedHash()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            made.update(bytearray(INLINE_BYTES))

    made.close()


def test_a_thread_without_work_ends_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordered_hash, "IDLE_S", 0.01)
    before = threads()
    made = OrderedHash()
    chunk = filled("chunk", INLINE_BYTES)

    for _ in range(2):
        made.update(chunk)
        for thread in threads() - before:
            thread.join(10)
        assert threads() <= before

    assert made.digest() == hashlib.sha256(chunk + chunk).digest()
