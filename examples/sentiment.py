# SPDX-License-Identifier: Apache-2.0
"""Teach the encoder how people feel about words: its last layer and a head.

The data is the VADER lexicon: words with the mean of ten people's ratings from
-4 to 4. All layers but the last stay as they are, so a fine-tuned version
shares most of its bytes with the one it was made from.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

import torch
from minilm import Shape, embed_tokens, pool, tokenize, transform
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

#: Tensors of the head, stored in a file of their own.
HEAD_WEIGHT = "sentiment.weight"
HEAD_BIAS = "sentiment.bias"


@dataclasses.dataclass(frozen=True, slots=True)
class Rating:
    """A word and what people think of it, from -4 to 4."""

    word: str
    mean: float


def read_ratings(lines: Iterable[str]) -> Iterator[Rating]:
    """Read the lexicon line by line: word, mean, deviation, ratings, by tabs.

    Emoticons and abbreviations with digits are passed over.
    """
    for line in lines:
        word, mean, *_ = line.rstrip("\n").split("\t")
        if word.isalpha():
            yield Rating(word, float(mean))


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """How far predictions are off.

    Attributes:
        error: Mean squared error, in squared points of rating.
        correlation: Pearson's correlation of predictions and ratings.
    """

    error: float
    correlation: float


class SentimentModel:
    """The encoder with a linear head that predicts a rating.

    Attributes:
        encoder: The encoder's tensors; those of its last layer learn.
        head: The head's tensors.
    """

    def __init__(
        self,
        encoder: Mapping[str, Tensor],
        head: Mapping[str, Tensor],
        shape: Shape,
        tokenizer: Tokenizer,
    ) -> None:
        self.encoder = dict(encoder)
        self.head = dict(head)
        self._shape = shape
        self._tokenizer = tokenizer
        self._last = shape.layer_count - 1
        for tensor in (*self._last_layer(), *self.head.values()):
            tensor.requires_grad_()

    @classmethod
    def with_new_head(
        cls, encoder: Mapping[str, Tensor], shape: Shape, tokenizer: Tokenizer
    ) -> Self:
        """Start with a head that says zero to everything."""
        width = encoder["pooler.dense.weight"].shape[0]
        head = {HEAD_WEIGHT: torch.zeros(1, width), HEAD_BIAS: torch.zeros(1)}
        return cls(encoder, head, shape, tokenizer)

    def predict(self, words: Sequence[str]) -> Tensor:
        """Return one rating for each word."""
        ids, mask = tokenize(self._tokenizer, words)
        with torch.no_grad():
            hidden = embed_tokens(self.encoder, self._shape, ids)
            for layer in range(self._last):
                hidden = transform(self.encoder, self._shape, layer, hidden, mask)
        hidden = transform(self.encoder, self._shape, self._last, hidden, mask)
        features = pool(hidden, mask)
        rating = functional.linear(
            features, self.head[HEAD_WEIGHT], self.head[HEAD_BIAS]
        )
        return rating.squeeze(1)

    def evaluate(self, ratings: Sequence[Rating]) -> Score:
        """Compare predictions with ratings that were not learned from."""
        with torch.no_grad():
            predicted = self.predict([rating.word for rating in ratings])
        truth = torch.tensor([rating.mean for rating in ratings])
        both = torch.stack([predicted, truth])
        return Score(
            error=functional.mse_loss(predicted, truth).item(),
            correlation=torch.corrcoef(both)[0, 1].item(),
        )

    def fit(self, batches: Iterable[Sequence[Rating]]) -> Iterator[float]:
        """Learn one step from each batch; yield the batch's loss before the step."""
        optimizer = torch.optim.AdamW(
            [
                {"params": self._last_layer(), "lr": 2e-4},
                {"params": list(self.head.values()), "lr": 2e-2},
            ],
            weight_decay=0.0,
        )
        for batch in batches:
            predicted = self.predict([rating.word for rating in batch])
            truth = torch.tensor([rating.mean for rating in batch])
            loss = functional.mse_loss(predicted, truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()

    def _last_layer(self) -> list[Tensor]:
        prefix = f"encoder.layer.{self._last}."
        return [
            tensor for name, tensor in self.encoder.items() if name.startswith(prefix)
        ]
