# SPDX-License-Identifier: Apache-2.0
"""How chunks are encoded: as the policy says, alone or against one chunk of before.

What is compressed is one chunk by itself, or its difference to one other chunk of
the same artifact; never several files together, so that the stored size of one
file says nothing about another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom_server.core import codec_choice, codecs
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Buffer, Codec
from strongroom_server.repository.packs import Encoded, Encoding

#: Returns the plaintext of a chunk that a delta may be made to; None if it cannot be
#: read, or must not be one. Runs on the executor.
ReadBase = Callable[[ChunkRef], Buffer | None]


@dataclass(frozen=True, slots=True)
class ChunkHint:
    """What is known of a chunk beside its bytes.

    Attributes:
        widths: Bytes of its numbers, if it is known to be floating point.
        base: A stored chunk that it may be alike to; no delta itself.
    """

    widths: Sequence[int] = ()
    base: ChunkRef | None = None


NO_HINT: Final = ChunkHint()


class ChunkEncoder:
    """Chooses the encoding of chunks. Safe to use from many threads.

    Args:
        choice: What the policy allows.
        read_base: Reads what deltas are made to.
    """

    def __init__(self, choice: CodecChoice, read_base: ReadBase) -> None:
        self._choice = choice
        self._read_base = read_base

    def encoding(self, size_bytes: int, hint: ChunkHint) -> Encoding | None:
        """Return how a chunk of a file is encoded; None if it stays as it is."""
        if self._choice is CodecChoice.RAW or size_bytes < codec_choice.MIN_BYTES:
            return None
        base = hint.base if self._choice is CodecChoice.DELTA else None
        if base is None or size_bytes < codec_choice.MIN_DELTA_BYTES:
            return Encoding(partial(_encode, widths=hint.widths), size_bytes)
        # The base as it is stored, decrypted and decoded, and what becomes of it.
        return Encoding(
            partial(self._encode_delta, base=base, widths=hint.widths), 4 * size_bytes
        )

    def _encode_delta(
        self, plaintext: Buffer, *, base: ChunkRef, widths: Sequence[int]
    ) -> Encoded:
        """Encode a chunk, as a delta if its base can be read and is worth it."""
        if base.plain_bytes != len(plaintext):
            return _encode(plaintext, widths=widths)
        base_plaintext = self._read_base(base)
        if base_plaintext is None:
            return _encode(plaintext, widths=widths)
        without = codec_choice.choose(plaintext, widths)
        chosen = codec_choice.choose_delta(plaintext, base_plaintext, without, widths)
        if chosen.codec is not Codec.DELTA:
            return _encode_as(plaintext, chosen)
        data = codecs.encode(
            Codec.DELTA, plaintext, width=chosen.width, base=base_plaintext
        )
        return Encoded(data, Codec.DELTA, base)


def _encode(plaintext: Buffer, *, widths: Sequence[int]) -> Encoded:
    return _encode_as(plaintext, codec_choice.choose(plaintext, widths))


def _encode_as(plaintext: Buffer, chosen: codec_choice.Chosen) -> Encoded:
    """Encode a chunk; it stays as it is if that saves too little of all of it."""
    data = codecs.encode(chosen.codec, plaintext, width=chosen.width)
    if len(data) > (1 - codec_choice.MIN_SAVING) * len(plaintext):
        return Encoded(plaintext)
    return Encoded(data, chosen.codec)
