# SPDX-License-Identifier: Apache-2.0
"""Which codec a chunk gets: what the artifact's policy allows, tried on a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core import codecs
from strongroom_server.core.codecs import Buffer, Codec
from strongroom_server.core.records import Kind

#: The policy that depends on the artifact's kind.
AUTO: Final = "auto"
#: What a codec must save of the plaintext: less is not worth the reading time.
MIN_SAVING: Final = 0.08
#: Smaller chunks stay as they are: there is nothing to win.
MIN_BYTES: Final = 2048
#: Smaller chunks are no deltas: their base would cost a request for little.
MIN_DELTA_BYTES: Final = 256 * 1024
_SAMPLE_PIECE_BYTES: Final = 32 * 1024
_SAMPLE_PIECES: Final = 8
_SMALL_SAMPLE_BYTES: Final = 8 * 1024
#: Widths that are tried where nothing tells what a chunk holds.
_WIDTHS: Final = (2, 4)


class CodecChoice(StrEnum):
    """What an artifact's policy allows."""

    RAW = "raw"
    COMPACT = "compact"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A codec; `width` is that of a number for GROUPED and DELTA."""

    codec: Codec
    width: int = 1


STORED: Final = Chosen(Codec.RAW)


def choice_of(policy: str, kind: Kind) -> CodecChoice:
    """Return what a policy means for an artifact of a kind.

    Args:
        policy: "raw", "compact", "delta" or "auto".
        kind: With "auto", checkpoints are stored as deltas, since they are many,
            alike and seldom read; everything else is compact.

    Raises:
        InvalidArgumentError: There is no such policy.
    """
    if policy == AUTO:
        return CodecChoice.DELTA if kind is Kind.CHECKPOINT else CodecChoice.COMPACT
    try:
        return CodecChoice(policy)
    except ValueError as error:
        shown = policy[:100]
        message = f"codec {shown!r} is none of raw, compact, delta and auto"
        raise InvalidArgumentError(
            message, reason=Reason.ARGUMENT_INVALID, codec=shown
        ) from error


def choose(plaintext: Buffer, widths: Sequence[int] = ()) -> Chosen:
    """Return the codec that makes a chunk smallest without a base.

    Tried on a sample; RAW, unless another one saves more than `MIN_SAVING`.

    Args:
        plaintext: The chunk.
        widths: Bytes of its numbers, if they are known to be floating point.
    """
    if len(plaintext) < MIN_BYTES:
        return STORED
    sample = _sample(plaintext)
    candidates = [Chosen(Codec.ZSTD)]
    # Small chunks that nobody knows are seldom numbers, and there may be many.
    if widths or len(plaintext) >= MIN_DELTA_BYTES:
        candidates += [Chosen(Codec.GROUPED, width) for width in widths or _WIDTHS]
    best, size = _smallest(sample, candidates)
    return best if size < (1 - MIN_SAVING) * len(sample) else STORED


def choose_delta(
    plaintext: Buffer, base: Buffer, other: Chosen, widths: Sequence[int] = ()
) -> Chosen:
    """Return DELTA if the difference to a base is worth it, else `other`.

    It must save `MIN_SAVING` of the plaintext beyond what `other` does, since who
    reads a delta reads the base as well.
    """
    sample, base_sample = _sample(plaintext), _sample(base)
    candidates = [Chosen(Codec.DELTA, width) for width in widths or (1, *_WIDTHS)]
    best, size = _smallest(sample, candidates, base_sample)
    without = len(codecs.encode(other.codec, sample, width=other.width))
    return best if size < without - MIN_SAVING * len(sample) else other


def _smallest(
    sample: bytes, candidates: Sequence[Chosen], base: bytes | None = None
) -> tuple[Chosen, int]:
    sizes = [
        len(codecs.encode(item.codec, sample, width=item.width, base=base))
        for item in candidates
    ]
    size = min(sizes)
    return candidates[sizes.index(size)], size


def _sample(plaintext: Buffer) -> bytes:
    """Return pieces of a chunk from all over it, or all of a small one."""
    source = memoryview(plaintext)
    if len(source) <= _SAMPLE_PIECE_BYTES * _SAMPLE_PIECES:
        # There may be a million small chunks: what is tried costs time as well.
        return bytes(source[: max(len(source) // 4, _SMALL_SAMPLE_BYTES)])
    # Pieces start at multiples of every number's width.
    stride = len(source) // _SAMPLE_PIECES & ~0xF
    return b"".join(
        source[start : start + _SAMPLE_PIECE_BYTES]
        for start in range(0, stride * _SAMPLE_PIECES, stride)
    )
