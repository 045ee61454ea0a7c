# SPDX-License-Identifier: Apache-2.0
"""References to chunks of every kind, and JSON that may stand where they should."""

from typing import Any

from hypothesis import strategies as st

from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.cobblestone import encrypted_size
from strongroom_server.core.codecs import Codec
from strongroom_server.core.suites import BY_WRITER, SUITES
from tests.support.samples import filled, raw_ref


@st.composite
def chunk_refs(draw: st.DrawFn) -> ChunkRef:
    """Where an imagined chunk lies, of any codec."""
    suite, codec = draw(st.sampled_from(sorted(SUITES))), draw(st.integers(0, 3))
    plain = draw(st.integers(1, 16 * 1024 * 1024))
    encoded = plain if codec == 0 else draw(st.integers(0, plain))
    number = draw(st.integers(0, 20))
    base = raw_ref(number + 30, plain, suite) if codec == Codec.DELTA else None
    return ChunkRef(
        filled(f"chunk {number}", 32),
        suite,
        codec,
        draw(st.integers(0, 2**24 - 1)),
        filled(f"pack {number % 3}", 32).hex(),
        f"version {number % 2}",
        draw(st.integers(64, 1000)),
        encrypted_size(encoded, SUITES[suite].segment_bytes),
        plain,
        base,
    )


def page_chunks() -> st.SearchStrategy[ChunkRef]:
    """Where an imagined page of a file table lies: the server stores them all."""
    return chunk_refs().filter(lambda ref: not ref.suite & BY_WRITER)


#: Small values of every type.
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70) | st.text("a0", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(["packs", "files", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)
