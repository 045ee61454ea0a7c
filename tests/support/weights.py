# SPDX-License-Identifier: Apache-2.0
"""Safetensors files of bytes, small enough for a test and cut like big ones."""

import json
from collections.abc import Mapping


def safetensors_file(tensors: Mapping[str, bytes]) -> bytes:
    """Return a file whose tensors, of dtype U8, lie in this order."""
    header = safetensors_header({name: len(data) for name, data in tensors.items()})
    return header + b"".join(tensors.values())


def safetensors_header(sizes: Mapping[str, int]) -> bytes:
    """Return the first bytes of a file whose tensors have these sizes."""
    header = {}
    position = 0
    for name, size in sizes.items():
        end = position + size
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text
