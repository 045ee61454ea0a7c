# SPDX-License-Identifier: Apache-2.0
"""Which codec a chunk gets: the smallest one, if it is worth it."""

import numpy as np
import pytest

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.codec_choice import (
    MIN_BYTES,
    MIN_DELTA_BYTES,
    STORED,
    Chosen,
    CodecChoice,
    choice_of,
    choose,
    choose_delta,
)
from strongroom_server.core.codecs import Codec
from strongroom_server.core.records import Kind
from tests.support.numbers import weights
from tests.support.samples import filled

COUNT = 2_000_000
FLOATS = np.random.default_rng(3).standard_normal(COUNT, np.float32)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("choice", CodecChoice)
def test_a_policy_is_what_it_says(kind: Kind, choice: CodecChoice) -> None:
    assert choice_of(choice.value, kind) is choice


def test_by_default_checkpoints_are_deltas_and_the_rest_is_compact() -> None:
    assert {kind: choice_of("auto", kind) for kind in Kind} == {
        Kind.CHECKPOINT: CodecChoice.DELTA,
        Kind.DATASET: CodecChoice.COMPACT,
        Kind.WEIGHTS: CodecChoice.COMPACT,
    }


@pytest.mark.parametrize("policy", ["", "RAW", "zip", "auto "])
def test_another_policy_is_refused(policy: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        choice_of(policy, Kind.WEIGHTS)

    assert caught.value.reason is Reason.ARGUMENT_INVALID


@pytest.mark.parametrize(
    ("data", "widths", "chosen"),
    [
        (weights(COUNT).tobytes(), (2,), Chosen(Codec.GROUPED, 2)),
        (weights(COUNT).tobytes(), (), Chosen(Codec.GROUPED, 2)),
        (FLOATS.tobytes(), (4,), Chosen(Codec.GROUPED, 4)),
        (FLOATS.tobytes(), (), Chosen(Codec.GROUPED, 4)),
        (FLOATS.astype(np.float64).tobytes(), (8,), Chosen(Codec.GROUPED, 8)),
        (filled("noise", 4_000_000), (), STORED),
        (filled("noise", 4_000_000), (2,), STORED),
        (filled("noise", 50_000), (), STORED),
        (b"a line of text\n" * 1000, (), Chosen(Codec.ZSTD)),
        (b"a" * (MIN_BYTES - 1), (), STORED),
        (b"", (), STORED),
    ],
)
def test_a_chunk_gets_the_codec_that_suits_it(
    data: bytes, widths: tuple[int, ...], chosen: Chosen
) -> None:
    assert choose(data, widths) == chosen


def test_a_step_becomes_a_delta_and_other_weights_do_not() -> None:
    base = weights(COUNT).tobytes()
    grouped = choose(base, (2,))
    stepped, other = weights(COUNT, steps=1), weights(COUNT, seed=9)

    for widths in ((2,), ()):
        chosen = choose_delta(stepped.tobytes(), base, grouped, widths)
        assert chosen.codec is Codec.DELTA
        assert choose_delta(other.tobytes(), base, grouped, widths) == grouped


def test_a_few_changed_bytes_of_noise_become_a_delta() -> None:
    base = filled("noise", MIN_DELTA_BYTES)
    changed = b"changed" + base[7:]

    chosen = choose_delta(changed, base, choose(changed))

    assert chosen.codec is Codec.DELTA


def test_what_compresses_well_by_itself_is_no_delta() -> None:
    data = b"a line of text\n" * 50_000
    text = choose(data)

    assert choose_delta(data, b"A" + data[1:], text) == text
