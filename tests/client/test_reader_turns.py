# SPDX-License-Identifier: Apache-2.0
"""Batches of a reader that nobody reads to their end: who waits, and who is told."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import DeadlineExceededError, PreconditionError
from tests.client.trees import write_tree

#: So that each test has an artifact of its own.
NUMBERS = itertools.count(1)


@pytest.fixture
def name(client: Client, tmp_path: Path) -> str:
    """A version with a small file."""
    artifact = f"turns/read-{next(NUMBERS)}"
    client.push(write_tree(tmp_path / "tree", {"tiny": b"tiny"}), artifact)
    return artifact


def test_who_leaves_in_the_middle_of_batches_keeps_their_own_error(
    client: Client, name: str
) -> None:
    held = []

    def fail() -> None:
        with client.reader(name) as reader:
            held.append((reader, reader.read_batches([["tiny"]] * 5)))
            next(held[0][1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    reader, batches = held[0]
    assert reader.read("tiny") == b"tiny"
    with pytest.raises(PreconditionError, match="closed"):
        next(batches)
    session = reader._session
    assert session is not None
    assert reader.read("tiny") == b"tiny"
    assert reader._session is session  # the end of those batches did not end this


def test_a_thread_does_not_wait_for_another_one_for_ever(
    settings: ClientSettings, name: str
) -> None:
    hasty = replace(settings, transfer_timeout_s=1.0)
    with Client(hasty) as client, client.reader(name) as reader:
        batches = reader.read_batches([["tiny"]] * 5)
        next(batches)
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(reader.read, "tiny")
            with pytest.raises(DeadlineExceededError, match="another thread"):
                reading.result(30)
