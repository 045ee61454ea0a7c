# SPDX-License-Identifier: Apache-2.0
"""Weights that look like a model's, and the same after some steps of training."""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.uint16]


def weights(count: int, *, seed: int = 0, steps: int = 0) -> Weights:
    """Return bfloat16 numbers; each step moves all of them a little."""
    rng = np.random.default_rng(seed)
    master = rng.standard_normal(count, np.float32) * np.float32(0.02)
    for _ in range(steps):
        master += rng.standard_normal(count, np.float32) * np.float32(3e-5)
    return ((master.view(np.uint32) + 0x8000) >> 16).astype(np.uint16)


def weights_file(tensors: Mapping[str, Weights]) -> bytes:
    """Return a safetensors file with these tensors, of dtype BF16, in this order."""
    header = {}
    position = 0
    for name, tensor in tensors.items():
        end = position + tensor.nbytes
        header[name] = {
            "dtype": "BF16",
            "shape": [tensor.size],
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header).encode()
    parts = [tensor.tobytes() for tensor in tensors.values()]
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
