# SPDX-License-Identifier: Apache-2.0
"""A file's digest, whatever its chunks are, and no thread that stays."""

import hashlib
import threading

import pytest

from strongroom_server.repository.ordered_hash import INLINE_BYTES, OrderedHash
from tests.support.samples import filled


def threads() -> list[str]:
    return [item.name for item in threading.enumerate() if item.name == "sha256"]


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
    made = OrderedHash()

    for chunk in chunks:
        made.update(bytearray(chunk))

    assert made.digest() == hashlib.sha256(b"".join(chunks)).digest()
    assert made.digest() == hashlib.sha256(b"".join(chunks)).digest()
    assert not threads()


def test_what_is_given_up_leaves_no_thread() -> None:
    made = OrderedHash()
    for _ in range(5):
        made.update(bytearray(INLINE_BYTES))

    made.close()

    assert not threads()
