# SPDX-License-Identifier: Apache-2.0
"""Vectors for where chunks end: GGUF, NumPy arrays, zip archives, and by content.

Files are told in pieces: bytes in base64, one byte many times, and SHAKE-256 of a
label.
"""

import base64
import hashlib
import re
import struct
from collections.abc import Iterator
from typing import Any, Final

from strongroom.format.chunking import Cut, Cutter, cut_rest
from strongroom.format.window import Window
from strongroom_server.core.cdc import CdcCutter
from tests.support.archives import (
    F16,
    F32,
    gguf_file,
    gguf_string,
    gguf_value,
    torch_file,
)
from tests.support.cutting import AnyCutter, cut_all
from tests.support.samples import SCOPE, keys_of
from tests.vectors.key_cases import Case, scope_fields, text_of

_MIB: Final = 1024 * 1024
_RUN: Final = re.compile(rb"(.)\1{200,}", re.DOTALL)

#: ["base64", text], ["repeat", byte, count] or ["shake256", label, count].
Piece = list[Any]


def bytes_of(pieces: list[Piece]) -> bytes:
    """Return a file that is told in pieces."""
    parts = []
    for kind, *values in pieces:
        match kind:
            case "base64":
                parts.append(base64.b64decode(values[0]))
            case "repeat":
                parts.append(bytes([values[0]]) * values[1])
            case "shake256":
                parts.append(hashlib.shake_256(values[0].encode()).digest(values[1]))
            case _:
                raise ValueError(kind)
    return b"".join(parts)


def ends_of(cutter: AnyCutter, data: bytes) -> list[int]:
    """Return where a cutter cuts a file."""
    return [cut.end for cut in cut_all(cutter, data)]


def _pieces(data: bytes) -> list[Piece]:
    """Tell a file that is mostly long runs of one byte."""
    pieces: list[Piece] = []
    position = 0
    for run in _RUN.finditer(data):
        if run.start() > position:
            pieces.append(["base64", text_of(data[position : run.start()])])
        pieces.append(["repeat", run[0][0], run.end() - run.start()])
        position = run.end()
    if position < len(data):
        pieces.append(["base64", text_of(data[position:])])
    return pieces


def _case(name: str, pieces: list[Piece], *, by: str, error: str = "") -> Case:
    data = bytes_of(pieces)
    case: Case = {
        "name": name,
        "expect": "invalid" if error else "valid",
        "reason": f"{name}: stored like any other file" if error else name,
        "by": by,
        "path": "file",
        "pieces": pieces,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    if by == "content":
        key = keys_of().cut_key()
        ends = ends_of(CdcCutter(key, len(data)), data)
        return case | {"scope": scope_fields(SCOPE), "result": ends}
    if error:
        return case | {"error": error}
    return case | {"result": ends_of(Cutter("file", len(data)), data)}


def file_cuts() -> list[Case]:
    """Return cases of files with the ends of their chunks."""
    good = {**_ggufs(), **_arrays(), **_archives()}
    return [
        *[_case(name, _pieces(data), by="format") for name, data in good.items()],
        *[
            _case(name, _pieces(data), by="format", error="ValueError")
            for name, data in _malformed().items()
        ],
        *[_case(name, pieces, by="content") for name, pieces in _by_content().items()],
    ]


def _ggufs() -> dict[str, bytes]:
    tensors = {
        "small": (F32, bytes(100)),
        "large": (F16, bytes(3 * _MIB)),
        "odd": (99, bytes(_MIB + 5)),
        "last": (F32, bytes(17 * _MIB)),
    }
    text = gguf_value("general.name", 8, (5).to_bytes(8, "little") + b"model")
    aligned = gguf_value("general.alignment", 4, (4096).to_bytes(4, "little"))
    return {
        "GGUF version 3": gguf_file(tensors, [text]),
        "GGUF version 2, aligned to 4096": gguf_file(
            tensors, [aligned], version=2, alignment=4096
        ),
        "GGUF, big-endian": gguf_file(tensors, order=">"),
        "GGUF, cut short within its last tensor": gguf_file(tensors)[: -2 * _MIB],
        "GGUF whose tensors begin behind its end": _far_gguf(),
        "GGUF whose header tells its last tensor first": _turned_gguf(),
        "GGUF of at most 1 MiB": gguf_file({"a": (F32, bytes(1000))}),
    }


def _far_gguf() -> bytes:
    """A header that is well-formed, and a tensor that is not in the file."""
    data = gguf_file({"a": (F32, bytes(8)), "b": (F32, bytes(20 * _MIB))})
    return data.replace((32).to_bytes(8, "little"), (2**40).to_bytes(8, "little"))


def _turned_gguf() -> bytes:
    """A header that names its tensors in another order than they lie in."""
    data = gguf_file({"a": (F32, bytes(2 * _MIB)), "b": (F32, bytes(3 * _MIB))})
    one, two = (
        gguf_string(name) + struct.pack("<IQQIQ", 2, 1, size * _MIB, F32, offset)
        for name, size, offset in (("a", 2, 0), ("b", 3, 2 * _MIB))
    )
    assert one + two in data
    return data.replace(one + two, two + one)


def _arrays() -> dict[str, bytes]:
    return {
        "NumPy version 1": _array(1, 20 * _MIB),
        "NumPy version 2": _array(2, 2 * _MIB),
        "NumPy version 3": _array(3, 16 * _MIB),
        "NumPy, a header of almost 1 MiB": _array(2, 0, padding=_MIB - 200),
    }


def _array(version: int, size: int, *, padding: int = 0) -> bytes:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % (size // 4)
    text += b" " * padding + b"\n"
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    head = b"\x93NUMPY" + bytes([version, 0]) + length + text
    return head + bytes(max(size, _MIB + 1 - len(head)))


def _archives() -> dict[str, bytes]:
    records = {
        "data.pkl": bytes(300),
        "data/0": bytes(3 * _MIB),
        "data/1": bytes(_MIB - 1),
        "data/2": bytes(17 * _MIB),
        "version": b"3\n",
    }
    mark = b"PK\7\10" + struct.pack("<IQQ", 0, 5, _MIB)
    whole = _zip({"a": bytes(_MIB), "b": bytes(10), "c": bytes(2 * _MIB)})
    return {
        "zip as torch.save writes it": torch_file(records),
        "zip with descriptors of 64 bits": torch_file(records, zip64=True),
        "zip with sizes in its headers": whole,
        "zip with sizes in ZIP64 fields": _zip({"a": bytes(2 * _MIB)}, zip64=True),
        "zip with a mark that ends no member": torch_file(
            {"a": bytes(_MIB) + b"PK\7\10" + bytes(_MIB)}
        ),
        "zip with a mark of another length than the data's": torch_file(
            {"a": bytes(_MIB) + mark + bytes(_MIB)}
        ),
        "zip whose second member ends behind the file": whole[:-_MIB],
        "zip whose data comes without an end": torch_file({"a": bytes(40 * _MIB)})[
            : 33 * _MIB
        ],
    }


def _zip(members: dict[str, bytes], *, zip64: bool = False, flags: int = 0) -> bytes:
    """Local headers and data, with nothing behind them."""
    result = b""
    for name, data in members.items():
        size = len(data)
        extra = b""
        if zip64:
            extra = b"\1\0\x10\0" + size.to_bytes(8, "little") * 2
            size = 2**32 - 1
        numbers = (20, flags, 0, 0, 0)
        result += b"PK\3\4" + b"".join(n.to_bytes(2, "little") for n in numbers)
        result += b"".join(n.to_bytes(4, "little") for n in (0, size, size))
        result += len(name).to_bytes(2, "little") + len(extra).to_bytes(2, "little")
        result += name.encode() + extra + data
    return result


def _malformed() -> dict[str, bytes]:
    good = gguf_file({"a": (F32, bytes(2 * _MIB))})
    array, archive = _array(1, 2 * _MIB), _zip({"a": bytes(2 * _MIB)})
    odd = gguf_value("general.alignment", 4, bytes(4))
    unknown = gguf_value("x", 13, bytes(4))
    nested = gguf_value("x", 9, (9).to_bytes(4, "little") + bytes(8))
    return {
        "GGUF version 4": good[:4] + b"\4" + good[5:],
        "GGUF of too many tensors": good[:8] + b"\xff\xff\xff" + good[11:],
        "GGUF of too many values": good[:16] + b"\x11\x27" + good[18:],
        "GGUF aligned to nothing": gguf_file({"a": (F32, bytes(2 * _MIB))}, [odd]),
        "GGUF with a value of no type": gguf_file(
            {"a": (F32, bytes(2 * _MIB))}, [unknown]
        ),
        "GGUF with an array of arrays": gguf_file(
            {"a": (F32, bytes(2 * _MIB))}, [nested]
        ),
        "NumPy version 4": array[:6] + b"\4" + array[7:],
        "NumPy with a header above 1 MiB": _array(2, 3 * _MIB, padding=_MIB),
        "zip with a masked header": _zip({"a": bytes(2 * _MIB)}, flags=1 << 13),
        "zip whose first member ends behind the file": archive[:-1],
    }


def _by_content() -> dict[str, list[Piece]]:
    whole: Piece = ["shake256", "cuts", 40 * _MIB]
    return {
        "by content: random bytes": [whole],
        "by content: the same behind 100,001 others": [
            ["shake256", "others", 100_001],
            whole,
        ],
        "by content: zeros": [["repeat", 0, 33 * _MIB]],
        "by content: at most 4 MiB": [["shake256", "cuts", 4 * _MIB]],
        "by content: nothing": [],
    }


def strict_ends(data: bytes) -> list[int]:
    """Return where a file is cut by its format.

    Raises:
        ValueError: No format tells even its first cut.
    """
    cutter = Cutter("file", len(data), rest=_refuse_from_the_start)
    return ends_of(cutter, data)


def _refuse_from_the_start(window: Window) -> Iterator[Cut]:
    if window.start == 0:
        message = "no format tells the first cut"
        raise ValueError(message)
    return cut_rest(window)
