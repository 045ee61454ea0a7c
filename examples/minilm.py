# SPDX-License-Identifier: Apache-2.0
"""A sentence encoder (MiniLM, six layers) as functions over its stored tensors.

The tensors keep the names that they have in `model.safetensors`, so what was
loaded from a version can be trained and saved as the next one without renaming.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

State = Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What `config.json` says about the encoder.

    Attributes:
        layer_count: Transformer layers.
        head_count: Attention heads of a layer.
        epsilon: What layer norms add to the variance.
    """

    layer_count: int
    head_count: int
    epsilon: float


def read_shape(config: bytes) -> Shape:
    """Read the encoder's shape from the bytes of `config.json`."""
    values = json.loads(config)
    return Shape(
        layer_count=int(values["num_hidden_layers"]),
        head_count=int(values["num_attention_heads"]),
        epsilon=float(values["layer_norm_eps"]),
    )


def read_tokenizer(tokenizer_json: bytes) -> Tokenizer:
    """Make the WordPiece tokenizer from the bytes of `tokenizer.json`."""
    tokenizer = Tokenizer.from_str(tokenizer_json.decode())
    tokenizer.enable_truncation(max_length=128)
    tokenizer.enable_padding()
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return token ids and mask, each of shape (texts, longest text)."""
    encodings = tokenizer.encode_batch(list(texts))
    ids = torch.tensor([encoding.ids for encoding in encodings])
    mask = torch.tensor([encoding.attention_mask for encoding in encodings])
    return ids, mask


def embed_sentences(state: State, shape: Shape, ids: Tensor, mask: Tensor) -> Tensor:
    """Return one vector of length one for each row of `ids`."""
    hidden = embed_tokens(state, shape, ids)
    for layer in range(shape.layer_count):
        hidden = transform(state, shape, layer, hidden, mask)
    return pool(hidden, mask)


def embed_tokens(state: State, shape: Shape, ids: Tensor) -> Tensor:
    """Return the sum of the word, position and type embeddings, normed."""
    words = functional.embedding(ids, state["embeddings.word_embeddings.weight"])
    positions = state["embeddings.position_embeddings.weight"][: ids.shape[1]]
    types = state["embeddings.token_type_embeddings.weight"][0]
    return _norm(state, shape, "embeddings", words + positions + types)


def transform(
    state: State, shape: Shape, layer: int, hidden: Tensor, mask: Tensor
) -> Tensor:
    """Run one transformer layer over `hidden` (texts, tokens, width)."""
    name = f"encoder.layer.{layer}"
    attended = _attend(state, shape, f"{name}.attention.self", hidden, mask)
    attended = _dense(state, f"{name}.attention.output.dense", attended)
    hidden = _norm(state, shape, f"{name}.attention.output", attended + hidden)
    wide = functional.gelu(_dense(state, f"{name}.intermediate.dense", hidden))
    narrow = _dense(state, f"{name}.output.dense", wide)
    return _norm(state, shape, f"{name}.output", narrow + hidden)


def pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over each text's own tokens, scaled to length one."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    return functional.normalize(mean, dim=1)


def _attend(
    state: State, shape: Shape, name: str, hidden: Tensor, mask: Tensor
) -> Tensor:
    """Let every token look at the tokens of its own text."""

    def split(part: str) -> Tensor:
        projected = _dense(state, f"{name}.{part}", hidden)
        return projected.unflatten(-1, (shape.head_count, -1)).transpose(1, 2)

    attended = functional.scaled_dot_product_attention(
        split("query"),
        split("key"),
        split("value"),
        attn_mask=mask[:, None, None, :].bool(),
    )
    return attended.transpose(1, 2).flatten(-2)


def _dense(state: State, name: str, values: Tensor) -> Tensor:
    return functional.linear(values, state[f"{name}.weight"], state[f"{name}.bias"])


def _norm(state: State, shape: Shape, name: str, values: Tensor) -> Tensor:
    weight = state[f"{name}.LayerNorm.weight"]
    bias = state[f"{name}.LayerNorm.bias"]
    return functional.layer_norm(
        values, (values.shape[-1],), weight, bias, shape.epsilon
    )
