# SPDX-License-Identifier: Apache-2.0
"""Fine-tune an encoder that comes out of Strongroom, and put the result back.

Weights and data are streamed through the SDK, each byte checked before torch
sees it. What is saved is the next version of the same artifact.

    python examples/finetune.py demo/minilm@1 demo/lexicon@1
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import safetensors.torch
import torch
from minilm import State, embed_sentences, read_shape, read_tokenizer, tokenize
from sentiment import Rating, SentimentModel, read_ratings

import strongroom
from strongroom.integrations.torch import load_state_dict, save_state_dict

WEIGHTS_FILE = "model.safetensors"
HEAD_FILE = "sentiment.safetensors"
MEMORY = Path("/dev/shm")  # noqa: S108
BATCH_SIZE = 64
#: Words that are kept back to see what was learned.
HELD_OUT = 512
SENTENCES = (
    "That is a happy person",
    "That is a very happy person",
    "Today is a sunny day",
)


def main(arguments: Sequence[str]) -> int:
    """Run the training that the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description="Fine-tune an encoder.")
    parser.add_argument("weights", help="the version to start from: demo/minilm@1")
    parser.add_argument("data", help="the version to learn from: demo/lexicon@1")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1, help="orders the data")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    try:
        with strongroom.connect() as client:
            model = load_model(client, options.weights)
            train(model, load_ratings(client, options.data), options.steps)
            save_model(client, model, options.weights, options.data)
    except strongroom.StrongroomError as error:
        print(f"{error} ({error.reason}, trace {error.trace_id})", file=sys.stderr)
        return error.exit_code
    return 0


def load_model(client: strongroom.Client, weights: str) -> SentimentModel:
    """Stream the encoder and check that it understands sentences."""
    encoder = load_state_dict(client, f"{weights}/{WEIGHTS_FILE}")
    shape = read_shape(client.read_bytes(f"{weights}/config.json"))
    tokenizer = read_tokenizer(client.read_bytes(f"{weights}/tokenizer.json"))
    print(f"loaded {len(encoder)} tensors of {weights}, verified while streaming")
    ids, mask = tokenize(tokenizer, SENTENCES)
    vectors = embed_sentences(encoder, shape, ids, mask)
    similar, different = (vectors[0] @ vectors[1]).item(), (vectors[0] @ vectors[2])
    print(f"similar sentences {similar:.3f}, unrelated ones {different.item():.3f}")
    if similar <= different.item():
        sys.exit("the encoder does not tell sentences apart: are these its weights?")
    return SentimentModel.with_new_head(encoder, shape, tokenizer)


def load_ratings(client: strongroom.Client, data: str) -> list[Rating]:
    """Stream the lexicon and put it in an order that the seed decides."""
    with client.open(f"{data}/vader_lexicon.txt") as stream:
        ratings = list(read_ratings(io.TextIOWrapper(stream, encoding="utf-8")))
    print(f"read {len(ratings)} rated words from {data}")
    return [ratings[index] for index in torch.randperm(len(ratings)).tolist()]


def train(model: SentimentModel, ratings: Sequence[Rating], steps: int) -> None:
    """Teach the model, and say what it knows of words that it has not seen."""
    unseen, seen = ratings[:HELD_OUT], ratings[HELD_OUT:]
    before = model.evaluate(unseen).error
    for step, loss in enumerate(model.fit(_batches(seen, steps)), start=1):
        if step == 1 or step % 10 == 0:
            print(f"step {step:3}  loss {loss:.3f}")
    after = model.evaluate(unseen)
    print(
        f"unseen words: error {before:.3f} before, {after.error:.3f} after;"
        f" correlation with people's ratings {after.correlation:.2f}"
    )
    if after.error >= before:
        sys.exit("nothing was learned: nothing is saved")


def save_model(
    client: strongroom.Client, model: SentimentModel, weights: str, data: str
) -> None:
    """Store the tensors, and the files beside them, as the next version."""
    files = {
        file.path: client.read_bytes(f"{weights}/{file.path}")
        for file in client.list_files(weights)
        if file.path != WEIGHTS_FILE
    }
    files[HEAD_FILE] = safetensors.torch.save(detached(model.head))
    result = save_state_dict(
        client,
        detached(model.encoder),
        weights.partition("@")[0],
        path=WEIGHTS_FILE,
        files=files,
        message="fine-tuned to the feelings of words",
        metadata={"weights": weights, "data": data},
        # In memory, so that no disk of the training machine sees plaintext.
        folder=MEMORY if MEMORY.is_dir() else None,
    )
    print(f"saved as {result.version.name}: {result.version.digest}")


def detached(tensors: State) -> dict[str, torch.Tensor]:
    """Return the tensors without what training hung on to them."""
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _batches(ratings: Sequence[Rating], count: int) -> Iterator[Sequence[Rating]]:
    for start in range(0, count * BATCH_SIZE, BATCH_SIZE):
        first = start % (len(ratings) - BATCH_SIZE)
        yield ratings[first : first + BATCH_SIZE]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
