# SPDX-License-Identifier: Apache-2.0
"""Codecs: they give back what came in, and never more than was promised."""

import struct
import tracemalloc

import numpy as np
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from strongroom_server.core import grouped
from strongroom_server.core.codecs import Codec, CodecError, decode, encode
from tests.support.properties import QUICK
from tests.support.samples import filled

MIB = 1024 * 1024


def base_for(codec: Codec, size_bytes: int) -> bytes | None:
    """A base for a delta, none for all others."""
    return filled("base", size_bytes) if codec is Codec.DELTA else None


@QUICK
@given(
    st.sampled_from(Codec),
    st.binary(max_size=2000),
    st.sampled_from(grouped.WIDTHS),
)
def test_a_chunk_decodes_to_what_was_encoded(
    codec: Codec, data: bytes, width: int
) -> None:
    base = base_for(codec, len(data))
    encoded = encode(codec, data, width=width, base=base)

    assert decode(codec, encoded, len(data), base) == data


@QUICK
@given(st.integers(-1, 300), st.binary(max_size=200), st.integers(-1, 300))
def test_any_bytes_decode_to_the_promised_length_or_not_at_all(
    codec: int, data: bytes, size_bytes: int
) -> None:
    base = filled("base", max(size_bytes, 0)) if codec == Codec.DELTA else None
    try:
        found = decode(codec, data, size_bytes, base)
    except CodecError:
        return
    assert len(found) == size_bytes


@QUICK
@given(st.binary(max_size=200), st.sampled_from(grouped.WIDTHS), st.integers(0, 300))
def test_any_bytes_behind_a_grouped_header_are_decoded_or_refused(
    data: bytes, width: int, size_bytes: int
) -> None:
    try:
        found = decode(Codec.GROUPED, bytes([1, width]) + data, size_bytes)
    except CodecError:
        return
    assert len(found) == size_bytes


@pytest.mark.parametrize("width", grouped.WIDTHS)
@pytest.mark.parametrize("extra", [0, 1, 3, 7])
def test_numbers_of_each_width_come_back_over_many_pieces(
    width: int, extra: int
) -> None:
    numbers = (np.random.default_rng(1).standard_normal(400_000) * 9).tobytes()
    data = numbers[: 2 * grouped.PIECE_BYTES + 8 * 1000] + bytes(extra)
    base = filled("base", len(data))

    for codec, other in ((Codec.GROUPED, None), (Codec.DELTA, base)):
        encoded = encode(codec, data, width=width, base=other)
        assert decode(codec, encoded, len(data), other) == data


def test_weights_and_steps_of_them_become_as_small_as_they_should() -> None:
    rng = np.random.default_rng(2)
    weights = (rng.standard_normal(1_000_000) * 0.02).astype(np.float32)
    stepped = weights + rng.standard_normal(weights.size).astype(np.float32) * 3e-5
    first, second = as_bfloat16(weights), as_bfloat16(stepped)

    compact = encode(Codec.GROUPED, first, width=2)
    step = encode(Codec.DELTA, second, width=2, base=first)

    assert len(compact) < 0.67 * len(first)
    assert len(step) < 0.19 * len(second)


def as_bfloat16(numbers: NDArray[np.float32]) -> bytes:
    """Round numbers to bfloat16."""
    return ((numbers.view(np.uint32) + 0x8000) >> 16).astype("<u2").tobytes()


def test_a_grouped_chunk_is_as_the_format_says() -> None:
    # 0x3F80 is 1.0 in bfloat16; rotated left it is 0x7F00.
    data = bytes.fromhex("803f" * 3 + "ff")

    assert encode(Codec.GROUPED, data, width=2) == bytes.fromhex(
        "0102" + "00000003" + "00000003" + "000000" + "7f7f7f" + "ff"
    )


@pytest.mark.parametrize(
    ("problem", "encoded"),
    [
        ("another version", "0202" + "00000002" * 2 + "00007f7f"),
        ("another width", "0103" + "00000002" * 2 + "00007f7f"),
        ("no width", "01"),
        ("a plane too many bytes long", "0102" + "0000000300000002" + "0000007f7f"),
        ("a plane too short", "0102" + "0000000100000002" + "007f7f"),
        ("a length cut short", "0102" + "00000002" + "0000"),
        ("bytes behind the end", "0102" + "00000002" * 2 + "00007f7f" + "00"),
        ("bytes missing", "0102" + "00000002" * 2 + "00007f"),
    ],
)
def test_a_malformed_grouped_chunk_is_refused(problem: str, encoded: str) -> None:
    assert problem
    with pytest.raises(CodecError):
        decode(Codec.GROUPED, bytes.fromhex(encoded), 4)
    good = bytes.fromhex("0102" + "00000002" * 2 + "00007f7f")
    assert decode(Codec.GROUPED, good, 4) == bytes.fromhex("803f803f")


def framed(frame: bytes) -> bytes:
    """A grouped chunk whose only plane is a frame."""
    return struct.pack(">BBI", 1, 1, len(frame)) + frame


def frame_of(data: bytes, *, window_log: int = 20) -> bytes:
    """Compress without telling the length first, so that the window is asked for."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: window_log}
    compressor = zstd.ZstdCompressor(options=options)
    half = len(data) // 2
    return compressor.compress(data[:half]) + compressor.compress(
        data[half:], mode=zstd.ZstdCompressor.FLUSH_FRAME
    )


def unended(data: bytes) -> bytes:
    """A frame that gives all of the bytes, and has no last block."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 20}
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(data, mode=zstd.ZstdCompressor.FLUSH_BLOCK)


def with_checksum(data: bytes) -> bytes:
    """A frame that ends in four bytes of checksum."""
    options: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}
    return zstd.compress(data, options=options)


PLANE = bytes(1000)
BAD_FRAMES = {
    "a byte behind the frame": zstd.compress(PLANE) + b"\0",
    "a second frame": zstd.compress(PLANE) + zstd.compress(b""),
    "an unended frame": unended(PLANE),
    "a frame without its checksum": with_checksum(PLANE)[:-4],
    "a window above 1 MiB": frame_of(PLANE, window_log=21),
    "a byte too many": zstd.compress(PLANE + b"\0"),
    "a byte too few": zstd.compress(PLANE[1:]),
    "no frame": b"\0" * 20,
}


@pytest.mark.parametrize("problem", BAD_FRAMES)
def test_a_plane_is_exactly_one_frame_with_a_small_window(problem: str) -> None:
    assert decode(Codec.GROUPED, framed(zstd.compress(PLANE)), 1000) == PLANE
    assert decode(Codec.GROUPED, framed(frame_of(PLANE)), 1000) == PLANE
    assert decode(Codec.GROUPED, framed(with_checksum(PLANE)), 1000) == PLANE

    with pytest.raises(CodecError):
        decode(Codec.GROUPED, framed(BAD_FRAMES[problem]), 1000)


def test_a_plane_that_is_a_bomb_is_refused_and_takes_no_memory() -> None:
    bomb = zstd.compress(bytes(512 * MIB), level=1)
    header = struct.pack(">BBI", 1, 1, len(bomb))
    tracemalloc.start()

    with pytest.raises(CodecError):
        decode(Codec.GROUPED, header + bomb, MIB)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MIB


@pytest.mark.parametrize("codec", [Codec.RAW, Codec.ZSTD, Codec.GROUPED])
def test_only_a_delta_has_a_base_and_each_has_one(codec: Codec) -> None:
    encoded = encode(codec, bytes(100))

    with pytest.raises(CodecError):
        decode(codec, encoded, 100, bytes(100))
    with pytest.raises(CodecError):
        decode(Codec.DELTA, encoded, 100)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("wrong", [-1, 1])
def test_another_length_than_promised_is_refused(codec: Codec, wrong: int) -> None:
    encoded = encode(codec, bytes(1000), base=base_for(codec, 1000))

    with pytest.raises(CodecError):
        decode(codec, encoded, 1000 + wrong, base_for(codec, 1000 + wrong))


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
