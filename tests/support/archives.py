# SPDX-License-Identifier: Apache-2.0
"""Model files as their writers make them: GGUF by its specification, torch's zip."""

import struct
import zlib
from collections.abc import Mapping, Sequence

F32, F16, Q4_0, BF16 = 0, 1, 2, 30


def gguf_string(text: str, order: str = "<") -> bytes:
    data = text.encode()
    return struct.pack(order + "Q", len(data)) + data


def gguf_value(key: str, kind: int, data: bytes, order: str = "<") -> bytes:
    return gguf_string(key, order) + struct.pack(order + "I", kind) + data


def gguf_array(key: str, kind: int, items: Sequence[bytes], order: str = "<") -> bytes:
    head = struct.pack(order + "IQ", kind, len(items))
    return gguf_value(key, 9, head + b"".join(items), order)


def gguf_file(
    tensors: Mapping[str, tuple[int, bytes]],
    values: Sequence[bytes] = (),
    *,
    version: int = 3,
    order: str = "<",
    alignment: int = 32,
) -> bytes:
    """Return a file with these tensors, each of a type and bytes, in this order."""
    head = b"GGUF" + struct.pack(order + "IQQ", version, len(tensors), len(values))
    head += b"".join(values)
    body = b""
    for name, (kind, data) in tensors.items():
        head += gguf_string(name, order)
        head += struct.pack(order + "IQQIQ", 2, 1, len(data), kind, len(body))
        body += data + bytes(-len(data) % alignment)
    return head + bytes(-len(head) % alignment) + body


def torch_file(
    records: Mapping[str, bytes], *, archive: str = "model", zip64: bool = False
) -> bytes:
    """Return what `torch.save` writes: stored members, sizes only behind the data.

    Laid out as its PyTorchStreamWriter (over miniz) does: flags 0x0808, no sizes in
    local headers, data aligned to 64 bytes by an extra field `FB`, a descriptor with
    signature behind each member that is not empty.
    """
    result, central = bytearray(), bytearray()
    for name, data in records.items():
        path = f"{archive}/{name}".encode()
        flags = 0x0808 if data else 0x0800
        offset = len(result)
        # The extra field's own header has 4 bytes.
        padding = -(offset + 30 + len(path) + 4) % 64
        extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        result += struct.pack(
            "<4s5H3I2H", b"PK\3\4", 0, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra)
        )
        result += path + extra
        assert len(result) % 64 == 0
        result += data
        crc = zlib.crc32(data)
        if data:
            sizes = "<4sI2Q" if zip64 else "<4s3I"
            result += struct.pack(sizes, b"PK\7\10", crc, len(data), len(data))
        central += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 0, 0, flags, 0, 0, 0, crc, len(data), len(data),
            len(path), 0, 0, 0, 0, 0, offset,
        ) + path  # fmt: skip
    place = len(result)
    end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, len(records), len(records), len(central), place, 0
    )
    return bytes(result + central + end)
