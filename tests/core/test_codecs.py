# SPDX-License-Identifier: Apache-2.0
"""Codecs: they give back what came in, and never more than was promised."""

import tracemalloc

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from strongroom_server.core.codecs import Codec, CodecError, decode, encode
from tests.support.properties import QUICK

MIB = 1024 * 1024


@QUICK
@given(st.sampled_from(Codec), st.binary(max_size=2000))
def test_a_chunk_decodes_to_what_was_encoded(codec: Codec, data: bytes) -> None:
    assert decode(codec, encode(codec, data), len(data)) == data


@QUICK
@given(st.integers(-1, 300), st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_decode_to_the_promised_length_or_not_at_all(
    codec: int, data: bytes, size_bytes: int
) -> None:
    try:
        found = decode(codec, data, size_bytes)
    except CodecError:
        return
    assert len(found) == size_bytes


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("wrong", [-1, 1])
def test_another_length_than_promised_is_refused(codec: Codec, wrong: int) -> None:
    encoded = encode(codec, bytes(1000))

    with pytest.raises(CodecError):
        decode(codec, encoded, 1000 + wrong)


def test_a_bomb_is_refused_and_takes_no_memory() -> None:
    bomb = zstd.compress(bytes(512 * MIB), level=1)
    tracemalloc.start()

    with pytest.raises(CodecError):
        decode(Codec.ZSTD, bomb, MIB)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bomb) < MIB
    assert peak < 4 * MIB


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"x",
        lambda data: data + zstd.compress(b""),
        lambda data: data[:-1],
        lambda data: b"",
    ],
)
def test_what_is_not_exactly_one_frame_is_refused(change: object) -> None:
    assert callable(change)

    with pytest.raises(CodecError):
        decode(Codec.ZSTD, change(zstd.compress(b"weights" * 100)), 700)
