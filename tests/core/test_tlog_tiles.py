# SPDX-License-Identifier: Apache-2.0
"""Tiles and bundles lie where the specification says, and hold what it says."""

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.merkle import Tree, leaf_hash, node_hash
from strongroom_server.core.tlog_tiles import (
    bundle_path,
    bundles,
    decode_bundle,
    encode_bundle,
    tile_bytes,
    tile_path,
    tiles,
)


def test_paths_are_those_of_the_specification() -> None:
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path(2, 0, 17) == "tile/2/000.p/17"
    assert bundle_path(1000) == "tile/entries/x001/000"
    assert bundle_path(5, 112) == "tile/entries/005.p/112"


def test_a_log_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    found = list(tiles(70_000))

    assert [sum(1 for level, *_ in found if level == height) for height in range(4)] \
        == [274, 2, 1, 0]  # fmt: skip
    partial = [item for item in found if item[2] < 256]
    assert partial == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert list(tiles(256)) == [(0, 0, 256), (1, 0, 1)]
    assert list(tiles(0)) == []
    assert list(bundles(600)) == [(0, 256), (1, 256), (2, 88)]


def test_a_tile_holds_the_roots_of_the_tiles_below_it() -> None:
    tree = Tree()
    for number in range(600):
        tree.append(leaf_hash(str(number).encode()))
    below = tile_bytes(tree, 0, 1, 256)
    row = [below[start : start + 32] for start in range(0, len(below), 32)]
    assert row[0] == leaf_hash(b"256")
    while len(row) > 1:
        row = [node_hash(*pair) for pair in zip(row[::2], row[1::2], strict=True)]

    assert tile_bytes(tree, 1, 0, 2)[32:] == row[0]
    assert len(tile_bytes(tree, 0, 2, 88)) == 88 * 32


def test_a_bundle_reads_back() -> None:
    entries = [b"", b"a", b"x" * 65_535]

    data = encode_bundle(entries)

    assert data[:5] == b"\0\0\0\1a"
    assert list(decode_bundle(data, first=0, count=3)) == entries


@pytest.mark.parametrize(
    ("data", "index"),
    [(b"", 256), (b"\0\1a", 257), (b"\0\1a\0", 257), (b"\0\1a\0\2b", 257),
     (b"\0\1a\0\1b\0\1c", 258), (b"\0\1a\0\1b\0", 258)],
)  # fmt: skip
def test_a_damaged_bundle_names_the_first_bad_entry(data: bytes, index: int) -> None:
    with pytest.raises(IntegrityError, match=f"audit entry {index} ") as error:
        list(decode_bundle(data, first=256, count=2))

    assert error.value.reason is Reason.AUDIT_CORRUPT
