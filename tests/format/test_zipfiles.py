# SPDX-License-Identifier: Apache-2.0
"""Cuts of archives that zipfile and numpy wrote, and of torch's layout.

torch is not needed: `torch_file` lays its archives out by hand.
"""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
import pytest

from strongroom.format.chunking import CHUNK_BYTES, JOIN_BYTES, Cut
from tests.support.archives import torch_file
from tests.support.cutting import chunks_of, cut_file, labelled

MIB = 1024 * 1024
RNG = np.random.default_rng(3)
KEPT = RNG.bytes(20 * MIB + 5)


class OnlyForwards(io.BytesIO):
    """A target that cannot seek, so that sizes come behind the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError(offset, whence)


def zip_file(
    members: Mapping[str, bytes],
    *,
    method: int = zipfile.ZIP_STORED,
    target: io.BytesIO | None = None,
    zip64: bool = False,
) -> bytes:
    target = target or io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(data)
    return target.getvalue()


def sizes(cuts: list[Cut]) -> list[int]:
    starts = [0, *(cut.end for cut in cuts)]
    return [cut.end - start for cut, start in zip(cuts, starts, strict=False)]


@pytest.mark.parametrize("zip64", [False, True])
def test_big_members_are_cut_from_their_own_start(zip64: bool) -> None:
    data = zip_file({"a": b"x" * 10, "kept": KEPT, "b": b"y" * 9}, zip64=zip64)

    found = labelled(data, cut_file("x.zip", data))

    assert list(found)[:3] == ["a\0+", "kept\x000", f"kept\0{CHUNK_BYTES}"]
    assert found["kept\x000"] == KEPT[:CHUNK_BYTES]
    assert found[f"kept\0{CHUNK_BYTES}"] == KEPT[CHUNK_BYTES:]
    assert b"".join(found.values()) == data


@pytest.mark.parametrize("zip64", [False, True])
def test_sizes_behind_the_data_are_found(zip64: bool) -> None:
    members = {"a": b"x" * 10, "empty": b"", "kept": KEPT, "b": b"y" * 9}
    data = zip_file(members, target=OnlyForwards(), zip64=zip64)

    cuts = cut_file("x.zip", data)

    found = labelled(data, cuts)
    assert found["kept\x000"] == KEPT[:CHUNK_BYTES]
    tail = found[f"kept\0{CHUNK_BYTES}"]
    assert tail.startswith(KEPT[CHUNK_BYTES:])
    assert tail[len(KEPT) - CHUNK_BYTES :][:4] == b"PK\7\x08"
    assert len(tail) - (len(KEPT) - CHUNK_BYTES) == (24 if zip64 else 16)


def test_small_members_are_joined() -> None:
    data = zip_file({f"{n:03}": RNG.bytes(100_000) for n in range(30)})

    cuts = cut_file("x.zip", data)

    header = 30 + 3
    assert sizes(cuts)[:2] == [11 * (header + 100_000)] * 2
    assert [cut.label for cut in cuts] == ["000\0+", "011\0+", cuts[-1].label]
    assert cuts[-1].label.startswith("@")


def test_arrays_of_an_npz_keep_their_chunks() -> None:
    def npz(small: int) -> bytes:
        target = io.BytesIO()
        array = np.frombuffer(KEPT[: 20 * MIB], np.float32)
        np.savez(target, small=np.zeros(small), kept=array)
        return target.getvalue()

    before, after = npz(10), npz(MIB)

    old = labelled(before, cut_file("x.npz", before))
    new = labelled(after, cut_file("x.npz", after))

    for label in ("kept.npy\x000", f"kept.npy\0{CHUNK_BYTES}"):
        assert old[label] == new[label]


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("size", [JOIN_BYTES, CHUNK_BYTES, CHUNK_BYTES - 9, 20 * MIB])
def test_tensors_that_torch_saved_are_cut_from_their_own_start(
    size: int, zip64: bool
) -> None:
    records = {
        "data.pkl": b"pickle" * 90,
        "byteorder": b"little",
        "empty": b"",
        "data/0": KEPT[:size],
        "data/1": b"bias" * 99,
        "data/2": KEPT[: 2 * MIB],
        "version": b"3\n",
    }
    data = torch_file(records, zip64=zip64)

    cuts = cut_file("m.pt", data)

    found = labelled(data, cuts)
    assert found["model/data.pkl\0+"].startswith(b"PK\3\4")
    first = found["model/data/0\x000"]
    assert first[:size] == KEPT[: min(size, CHUNK_BYTES)]
    assert len(first) <= CHUNK_BYTES
    assert (f"model/data/0\0{CHUNK_BYTES}" in found) == (size > CHUNK_BYTES)
    assert found["model/data/2\x000"][: 2 * MIB] == KEPT[: 2 * MIB]
    assert b"".join(found.values()) == data


def test_a_tensor_keeps_its_chunks_when_others_come_before_it() -> None:
    before = torch_file({"data.pkl": b"1" * 90, "data/0": KEPT}, zip64=False)
    after = torch_file(
        {"data.pkl": b"1" * 999, "a": b"2" * 2 * MIB, "data/0": KEPT}, zip64=False
    )

    old = labelled(before, cut_file("m.pt", before))
    new = labelled(after, cut_file("m.pt", after))

    for label in ("model/data/0\x000", f"model/data/0\0{CHUNK_BYTES}"):
        assert old[label] == new[label]


@pytest.mark.parametrize("size", [2 * MIB, 33 * MIB])
@pytest.mark.parametrize(
    "steps", [[1024], [MIB, 7], [64, 3 * MIB, 1]], ids=["small", "odd", "mixed"]
)
def test_cuts_do_not_depend_on_slices(size: int, steps: list[int]) -> None:
    body = RNG.bytes(size)
    data = torch_file({"a": b"1" * 100, "data/0": body, "b": b"2" * 500_000})

    cuts = cut_file("m.pt", data, [*steps, 100_000])

    assert cuts == cut_file("m.pt", data, [len(data)])


@pytest.mark.parametrize("short", [1, 2, 3, 4])
def test_the_last_bytes_that_are_looked_at_count(short: int) -> None:
    data = torch_file({"small": KEPT[: JOIN_BYTES - short], "big": KEPT[: 2 * MIB]})

    cuts = cut_file("m.pt", data)

    labels = ["model/small\0+", "model/big\0+", "model/big\x000"]
    assert [cut.label for cut in cuts][:3] == labels


@pytest.mark.parametrize("size", [CHUNK_BYTES, CHUNK_BYTES - 2])
def test_a_descriptor_without_room_starts_the_next_chunk(size: int) -> None:
    data = torch_file({"a": KEPT[:size], "b": b"b"})

    cuts = cut_file("m.pt", data)

    assert sizes(cuts)[1] == size
    assert [cut.label for cut in cuts[:2]] == ["model/a\0+", "model/a\x000"]
    assert len(cuts) == 3
    assert data[cuts[1].end :].startswith(b"PK\7\x08")


@pytest.mark.parametrize("inside", range(-1, 18))
def test_a_descriptor_may_come_in_two_slices(inside: int) -> None:
    data = torch_file({"a": KEPT[: 2 * MIB], "b": b"b" * 500})
    place = data.index(b"PK\7\x08") + inside

    cuts = cut_file("m.pt", data, [place, 1, len(data)])

    assert cuts == cut_file("m.pt", data, [len(data)])
    assert cuts[1].label == "model/a\x000"
    assert cuts[1].end == data.index(b"PK\7\x08") + 16


def test_members_end_behind_so_many() -> None:
    header = b"PK\3\4" + bytes(26)
    data = header * 200_000

    whole = cut_file("x.zip", data)
    # One that follows is read no more, however big it is.
    more = data + zip_file({"kept": KEPT[: 2 * MIB]})
    longer = cut_file("x.zip", more)

    assert whole[-1].label == f"@{whole[-2].end}"
    assert longer == [*whole[:-1], Cut(len(more), f"@{whole[-2].end}")]


@pytest.mark.parametrize(("marks", "ends"), [(50_000, True), (50_001, False)])
def test_so_many_marks_may_be_no_end(marks: int, ends: bool) -> None:
    body = b"PK\7\x08" * marks + bytes(JOIN_BYTES)
    data = torch_file({"a": body, "b": b"b"})

    cuts = cut_file("m.pt", data)

    assert ("model/a\x000" in [cut.label for cut in cuts]) == ends


def test_an_archive_within_an_archive_does_not_end_it() -> None:
    inner = torch_file({"data/0": KEPT[: 2 * MIB], "data/1": KEPT[: 2 * MIB]})
    data = torch_file({"inner.pt": inner, "x": b"y"})

    found = labelled(data, cut_file("m.pt", data))

    assert found["model/inner.pt\x000"].startswith(inner)


def test_a_descriptor_of_another_size_does_not_end_a_member() -> None:
    fake = b"PK\7\x08" + bytes(4) + (5).to_bytes(4, "little") * 2
    body = KEPT[:MIB] + fake + KEPT[:MIB]
    data = torch_file({"data/0": body})

    found = labelled(data, cut_file("m.pt", data))

    assert found["model/data/0\x000"].startswith(body)


def test_compressed_members_are_cut_as_they_are() -> None:
    members = {"a": RNG.bytes(2 * MIB), "b": RNG.bytes(3 * MIB)}
    known = zip_file(members, method=zipfile.ZIP_DEFLATED)
    streamed = zip_file(members, method=zipfile.ZIP_DEFLATED, target=OnlyForwards())

    large = zip_file(members, method=zipfile.ZIP_DEFLATED, zip64=True)

    for data in (known, streamed, large):
        found = labelled(data, cut_file("x.zip", data))
        assert {"a\x000", "b\x000"} <= set(found)
    kept = labelled(known, cut_file("x", known))["a\x000"]
    assert kept in streamed
    assert kept == labelled(large, cut_file("x", large))["a\x000"]


def masked(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[7] |= 0x20
    return bytes(changed)


def test_an_archive_with_masked_headers_is_cut_every_16_mib() -> None:
    data = masked(zip_file({"kept": KEPT}))

    assert [cut.end for cut in cut_file("x.zip", data)] == [CHUNK_BYTES, len(data)]


def test_a_member_that_never_ends_is_cut_from_its_own_start() -> None:
    whole = torch_file({"data/0": KEPT})
    data = whole[: whole.rindex(b"PK\7\x08")]

    cuts = cut_file("m.pt", data)

    assert sizes(cuts) == [64, CHUNK_BYTES, len(data) - CHUNK_BYTES - 64]


def test_a_member_longer_than_the_file_is_cut_from_the_last_cut_on() -> None:
    data = zip_file({"a": b"1" * 2 * MIB, "b": b"2" * 2 * MIB})[: 3 * MIB]

    cuts = cut_file("x.zip", data)

    start = 30 + 1 + 2 * MIB
    assert [cut.end for cut in cuts] == [31, start, len(data)]
    assert cuts[-1].label == f"@{start}"


def test_no_chunk_of_an_archive_is_longer_than_16_mib() -> None:
    data = zip_file({f"{n}": RNG.bytes(n * 300_000) for n in range(12)})

    chunks = chunks_of(data, cut_file("x.zip", data))

    assert max(map(len, chunks)) <= CHUNK_BYTES
    assert b"".join(chunks) == data
