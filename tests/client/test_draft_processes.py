# SPDX-License-Identifier: Apache-2.0
"""Drafts of real processes: each puts its part, some are killed, one commits."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from strongroom.client import Client, Draft
from tests.client.trees import MIB, read_tree

#: A process of `fork` would have gRPC's threads half.
SPAWN = multiprocessing.get_context("spawn")
PATIENCE_S = 60.0


def put_rank(draft: Draft, rank: int) -> None:
    """Put what a rank has: a small file, and one that goes out as it is written."""
    draft.put(f"rank-{rank}/small", bytes([rank]))
    with draft.writer(f"rank-{rank}/big") as writer:
        for _ in range(6):
            writer.write(bytes([rank]) * MIB)


def write_for_ever(draft: Draft, told: Connection) -> None:
    """Put a small file, then write to a large one until somebody ends the process."""
    draft.put("doomed/small", b"durable")
    with draft.writer("doomed/big") as writer:
        for _ in range(8):
            writer.write(bytes(MIB))
        told.send("in the middle")
        while True:
            writer.write(bytes(MIB))


@pytest.mark.timeout(120)
def test_ranks_that_are_processes_make_one_version(
    client: Client, tmp_path: Path
) -> None:
    draft = client.draft("demo/ranks")
    ranks = [SPAWN.Process(target=put_rank, args=(draft, rank)) for rank in range(3)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(PATIENCE_S)
        assert process.exitcode == 0

    draft.commit(expected_file_count=6)

    client.pull("demo/ranks", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {
        f"rank-{rank}/{name}": bytes([rank]) * size
        for rank in range(3)
        for name, size in (("small", 1), ("big", 6 * MIB))
    }


@pytest.mark.timeout(120)
def test_a_rank_that_is_killed_leaves_only_what_was_acknowledged(
    client: Client, tmp_path: Path
) -> None:
    draft = client.draft("demo/killed-rank")
    draft.put("mine", b"1")
    here, there = SPAWN.Pipe(duplex=False)
    rank = SPAWN.Process(target=write_for_ever, args=(draft, there))
    rank.start()
    assert here.poll(PATIENCE_S)
    assert rank.pid is not None
    os.kill(rank.pid, signal.SIGKILL)
    rank.join(PATIENCE_S)

    # Its rank again, as a launcher would start it.
    draft.put("doomed/big", b"from anew")
    draft.commit(expected_file_count=3)

    client.pull("demo/killed-rank", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {
        "mine": b"1",
        "doomed/small": b"durable",
        "doomed/big": b"from anew",
    }
