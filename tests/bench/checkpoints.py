# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as training writes them: bf16 safetensors, one step after another.

Made, not trained: normal values with a scale for each tensor, in the shapes of a
llama. Their exponents are spread like those of trained weights, which is what
compression feeds on; `cast_to_bf16` makes the same of weights that were trained.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from tests.bench.measuring import BenchError

#: The share of bytes whose tensors a fine-tuning touches (version 2).
CHANGED_SHARE: Final = 0.10
RANK: Final = 16
#: How large that change is, in norms of the tensor.
CHANGE: Final = 0.02
#: The deviation of one step of an optimiser (version 3), in weights.
STEP: Final = 3e-5

_SEED: Final = 20261122
_NORM_DEVIATION: Final = 0.05
_EMBEDDING_DEVIATION: Final = 0.02
_BYTES_PER_VALUE: Final = 2
_MIN_LAYERS: Final = 6
#: Hidden size, size between, words; the largest that gives enough layers is taken.
_WIDTHS: Final = (
    (2048, 5632, 32000),
    (1024, 2816, 16000),
    (512, 1408, 8000),
    (256, 704, 4000),
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name and shape of one tensor, and its number, which seeds its values."""

    name: str
    shape: tuple[int, ...]
    number: int

    @property
    def size_bytes(self) -> int:
        """Its size as bf16."""
        return math.prod(self.shape) * _BYTES_PER_VALUE


def tensors_of(size_bytes: int) -> list[Tensor]:
    """Return the tensors of a llama of about this size as bf16."""
    for hidden, between, words in _WIDTHS:
        ends = 2 * words * hidden * _BYTES_PER_VALUE
        layer = (4 * hidden * hidden + 3 * hidden * between) * _BYTES_PER_VALUE
        layers = round((size_bytes - ends) / layer)
        if layers >= _MIN_LAYERS:
            return _tensors(hidden, between, words, layers)
    raise BenchError(f"a checkpoint of {size_bytes} bytes is too small to be one")


def _tensors(hidden: int, between: int, words: int, layers: int) -> list[Tensor]:
    named: list[tuple[str, tuple[int, ...]]] = [
        ("model.embed_tokens.weight", (words, hidden))
    ]
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        named += [
            (f"{prefix}.input_layernorm.weight", (hidden,)),
            *(
                (f"{prefix}.self_attn.{part}_proj.weight", (hidden, hidden))
                for part in "qkvo"
            ),
            (f"{prefix}.post_attention_layernorm.weight", (hidden,)),
            (f"{prefix}.mlp.gate_proj.weight", (between, hidden)),
            (f"{prefix}.mlp.up_proj.weight", (between, hidden)),
            (f"{prefix}.mlp.down_proj.weight", (hidden, between)),
        ]
    named += [("model.norm.weight", (hidden,)), ("lm_head.weight", (words, hidden))]
    return [Tensor(name, shape, number) for number, (name, shape) in enumerate(named)]


def changed_tensors(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors that version 2 changes: about a tenth of the bytes."""
    wanted = CHANGED_SHARE * sum(tensor.size_bytes for tensor in tensors)
    found: list[Tensor] = []
    taken = 0
    # One of a layer and then one of the next, so that all kinds are among them.
    matrices = [tensor for tensor in tensors[1:-1] if len(tensor.shape) > 1]
    for tensor in matrices[:: _MIN_LAYERS - 1] + matrices[1 :: _MIN_LAYERS - 1]:
        if taken + tensor.size_bytes / 2 <= wanted:
            found.append(tensor)
            taken += tensor.size_bytes
    return found


def write_checkpoint(
    path: Path, tensors: Sequence[Tensor], version: int, *, note: str = ""
) -> int:
    """Write a version of the checkpoint; return its size in bytes.

    Args:
        path: A file; made here.
        tensors: Of `tensors_of`.
        version: 1; 2, with some tensors changed by an update of low rank; 3, with
            each weight moved on by a step.
        note: Goes into the file's header and moves every tensor by its length.
    """
    changed = {tensor.number for tensor in changed_tensors(tensors)}
    sizes = {tensor.name: (tensor.shape, tensor.size_bytes) for tensor in tensors}
    with path.open("xb") as file:
        _write_header(file, sizes, note)
        for tensor in tensors:
            values = _values(tensor)
            if version > 1 and tensor.number in changed:
                values += _low_rank(tensor, values)
            if version > 2:
                step = _dice(tensor, 3).standard_normal(tensor.shape, np.float32)
                values += np.float32(STEP) * step
            file.write(to_bf16(values).data)
        return file.tell()


def cast_to_bf16(source: Path, target: Path) -> int:
    """Write the fp32 tensors of a safetensors file as bf16; return the size.

    Tensors of another type are left out: they are no weights.
    """
    with source.open("rb") as file, target.open("xb") as cast:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        weights = {
            name: item for name, item in header.items() if item["dtype"] == "F32"
        }
        _write_header(
            cast,
            {
                name: (tuple(item["shape"]), _length(item) // 2)
                for name, item in weights.items()
            },
            "",
        )
        for item in weights.values():
            file.seek(8 + length + item["data_offsets"][0])
            data = file.read(_length(item))
            cast.write(to_bf16(np.frombuffer(data, np.float32)).data)
        return cast.tell()


def to_bf16(values: Floats) -> NDArray[np.uint16]:
    """Round to the nearest bf16, ties to even; in C order."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    odd = (bits >> 16) & 1
    odd += np.uint32(0x7FFF)
    odd += bits
    odd >>= 16
    return odd.astype(np.uint16)


def _length(item: dict[str, Any]) -> int:
    start, end = item["data_offsets"]
    return int(end) - int(start)


def _write_header(
    file: BinaryIO, sizes: dict[str, tuple[tuple[int, ...], int]], note: str
) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt", "note": note}}
    position = 0
    for name, (shape, size) in sizes.items():
        end = position + size
        header[name] = {
            "dtype": "BF16",
            "shape": list(shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)


def _values(tensor: Tensor) -> Floats:
    """Return a tensor's weights before training goes on."""
    values = _dice(tensor, 1).standard_normal(tensor.shape, np.float32)
    if len(tensor.shape) == 1:
        values *= np.float32(_NORM_DEVIATION)
        values += np.float32(1)
        return values
    ends = tensor.name.endswith(("embed_tokens.weight", "lm_head.weight"))
    deviation = _EMBEDDING_DEVIATION if ends else tensor.shape[1] ** -0.5
    values *= np.float32(deviation)
    return values


def _low_rank(tensor: Tensor, values: Floats) -> Floats:
    rows, columns = tensor.shape
    dice = _dice(tensor, 2)
    left = dice.standard_normal((rows, RANK), np.float32)
    right = dice.standard_normal((RANK, columns), np.float32)
    update = left @ right
    update *= np.float32(CHANGE * np.linalg.norm(values) / np.linalg.norm(update))
    return update


def _dice(tensor: Tensor, part: int) -> np.random.Generator:
    return np.random.default_rng([_SEED, tensor.number, part])


def blocks(path: Path, size_bytes: int = 1 << 20) -> Iterator[bytes]:
    """Read a file, a block at a time."""
    with path.open("rb") as file:
        while block := file.read(size_bytes):
            yield block
