# SPDX-License-Identifier: Apache-2.0
"""Safetensors files of bytes, small enough for a test and cut like big ones."""

import json
from collections.abc import Mapping


def safetensors_file(tensors: Mapping[str, bytes]) -> bytes:
    """Return a file whose tensors, of dtype U8, lie in this order."""
    header = {}
    position = 0
    for name, data in tensors.items():
        end = position + len(data)
        header[name] = {
            "dtype": "U8",
            "shape": [len(data)],
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(tensors.values())
