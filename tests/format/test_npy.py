# SPDX-License-Identifier: Apache-2.0
"""Cuts of .npy files that numpy wrote."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from strongroom.format.chunking import CHUNK_BYTES, ElementKind
from strongroom.format.npy import parse_element
from tests.support.cutting import chunks_of, cut_file

MIB = 1024 * 1024


def npy_file(array: npt.NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, array, version)
    return target.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_data_is_cut_from_its_own_start(version: tuple[int, int]) -> None:
    array = np.arange(5 * MIB, dtype=np.float32)
    data = npy_file(array, version)

    cuts = cut_file("x.npy", data, [3, MIB])

    chunks = chunks_of(data, cuts)
    assert [len(chunk) for chunk in chunks] == [128, CHUNK_BYTES, 4 * MIB]
    assert chunks[1] + chunks[2] == array.tobytes()
    assert [(cut.label, cut.element) for cut in cuts] == [
        ("\0header", None),
        ("\x000", ElementKind(4, is_float=True)),
        (f"\0{CHUNK_BYTES}", ElementKind(4, is_float=True)),
    ]


def test_appended_rows_leave_full_chunks_alone() -> None:
    before = npy_file(np.zeros((9, MIB), np.uint16))
    after = npy_file(np.zeros((1009, MIB // 64), np.uint16))

    old = chunks_of(before, cut_file("x.npy", before))
    new = chunks_of(after, cut_file("x.npy", after))

    assert old[0] != new[0]
    assert old[1] == new[1]


def test_a_small_file_is_one_chunk() -> None:
    data = npy_file(np.zeros(1000))

    assert [cut.end for cut in cut_file("x.npy", data)] == [len(data)]


@pytest.mark.parametrize(
    ("dtype", "element"),
    [
        ("<f8", ElementKind(8, is_float=True)),
        (">f2", ElementKind(2, is_float=True)),
        ("<c8", ElementKind(4, is_float=True)),
        ("<c16", ElementKind(8, is_float=True)),
        ("|b1", ElementKind(1, is_float=False)),
        ("<i4", ElementKind(4, is_float=False)),
        ("|u1", ElementKind(1, is_float=False)),
        ("<M8[s]", ElementKind(8, is_float=False)),
        ("|S5", None),
        ("<U3", None),
        ("|V2", None),
        ([("a", "<f4"), ("b", "<i2")], None),
    ],
)
def test_elements_are_what_the_header_says(
    dtype: str | list[tuple[str, str]], element: ElementKind | None
) -> None:
    header = npy_file(np.zeros(2, np.dtype(dtype)))[:128]

    assert parse_element(header) == element


@pytest.mark.parametrize(
    "head",
    [
        b"\x93NUMPY\4\0\0\0",
        b"\x93NUMPY\2\0\xff\xff\xff\xff",
        b"\x93NUMPY\2\0\0\0\xf0\0",
    ],
    ids=["another version", "4 GiB of header", "15 MiB of header"],
)
def test_what_is_no_array_is_cut_every_16_mib(head: bytes) -> None:
    data = head.ljust(20 * MIB, b"\0")

    assert [cut.end for cut in cut_file("x.npy", data)] == [16 * MIB, 20 * MIB]
