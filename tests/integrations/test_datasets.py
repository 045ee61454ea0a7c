# SPDX-License-Identifier: Apache-2.0
"""Data sets: each sample once, whoever reads, however often a run is gone on with."""

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.errors import InvalidArgumentError
from tests.client.trees import write_tree

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
sets = pytest.importorskip("strongroom.integrations.datasets")
bridge = pytest.importorskip("strongroom.integrations.torch")


def rank(number: int, size: int, count: int = 103, **options: Any) -> Any:  # noqa: ANN401 - of torch
    samples = range(count)
    return sets.StreamedDataset(samples, rank=number, world_size=size, **options)


def loader(dataset: Any, **options: Any) -> Any:  # noqa: ANN401 - of torch
    return sets.ResumableLoader(dataset, collate_fn=list, **options)


def steps(loaders: Sequence[Any], count: int) -> list[int]:
    """Let all ranks take as many steps, and return what they got."""
    return [
        sample
        for each in loaders
        for batch in itertools.islice(each, count)
        for sample in batch
    ]


def test_ranks_share_an_epoch_in_an_order_that_depends_on_the_epoch() -> None:
    epochs = []
    for epoch in range(2):
        found = []
        for number in range(4):
            dataset = rank(number, 4, seed=7)
            dataset.set_epoch(epoch)
            found.append(list(dataset))
        assert sorted(itertools.chain(*found)) == list(range(103))
        epochs.append(found)

    assert epochs[0] != epochs[1]
    assert list(rank(0, 1, shuffle=False)) == list(range(103))


def test_even_shares_are_equal_and_leave_out_the_least() -> None:
    shares = [list(rank(number, 4, even=True)) for number in range(4)]

    assert {len(share) for share in shares} == {25}
    assert len(set(itertools.chain(*shares))) == 100


@pytest.mark.parametrize("even", [False, True])
def test_other_ranks_and_workers_go_on_exactly_where_a_run_was(even: bool) -> None:
    seen: list[int] = []
    state: dict[str, Any] | None = None
    # Ranks, batch size, steps: shared out anew three times within one epoch.
    for size, batch, count in ((4, 3, 2), (3, 5, 1), (1, 4, 3), (2, 2, 1000)):
        ranks = [rank(at, size, 104, seed=3, even=even) for at in range(size)]
        loaders = [loader(dataset, batch_size=batch) for dataset in ranks]
        for each in loaders:
            if state is not None:
                each.load_state_dict(state)
        seen += steps(loaders, count)
        states = [each.state_dict() for each in loaders]
        assert all(found == states[0] for found in states)
        state = json.loads(json.dumps(states[0]))  # it is plain numbers and text

    assert len(set(seen)) == len(seen)
    assert len(seen) == 104 - (1 if even else 0)  # of 53, two ranks get 52


def test_a_state_taken_in_the_loop_counts_what_the_loop_has_had() -> None:
    first = loader(rank(0, 1), batch_size=10)
    had: list[int] = []
    for batch in first:
        had += batch
        if len(had) == 40:
            break
    state = first.state_dict()

    second = loader(rank(0, 1), batch_size=10)
    second.load_state_dict(state)
    assert len(second) == 7
    assert had + steps([second], 100) == list(rank(0, 1))
    # And whoever just loops again goes on, too; then comes the next epoch.
    assert had + steps([first], 100) == list(rank(0, 1))
    assert first.state_dict()["epoch"] == 1
    assert sorted(steps([first], 100)) == list(range(103))


def test_a_state_of_other_data_is_refused() -> None:
    state = rank(0, 1).state_dict()

    for other in (rank(0, 1, seed=1), rank(0, 1, count=5), rank(0, 1, shuffle=False)):
        with pytest.raises(InvalidArgumentError, match="the state has"):
            other.load_state_dict(state)
    with pytest.raises(InvalidArgumentError, match="rank 2 of 2"):
        rank(2, 2)


def test_what_is_no_streamed_data_set_and_no_state_of_one_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="range is given in place of"):
        loader(range(3))
    with pytest.raises(InvalidArgumentError, match="in place of the state"):
        rank(0, 1).load_state_dict(None)
    for seed in (1.5, "a"):
        with pytest.raises(InvalidArgumentError, match="as the seed"):
            rank(0, 1, seed=seed)


def test_records_are_cut_out_of_files(
    room: Client, artifact: str, tmp_path: Path
) -> None:
    files = {"a.bin": bytes(range(10)), "b.bin": b"", "c.bin": bytes(range(100, 109))}
    room.push(write_tree(tmp_path / "in", files), artifact)

    records = sets.RecordDataset(room, artifact, 4)

    assert len(records) == 4
    assert [records[at] for at in range(-4, 0)] == [
        bytes(range(4)),
        bytes(range(4, 8)),
        bytes(range(100, 104)),
        bytes(range(104, 108)),
    ]
    assert records.__getitems__([3, 0, 1, 3]) == [
        records[3], records[0], records[1], records[3]
    ]  # fmt: skip
    assert sets.RecordDataset(room, f"{artifact}/c.bin", 9)[0] == files["c.bin"]
    with pytest.raises(IndexError):
        records[4]
    with pytest.raises(InvalidArgumentError):
        sets.RecordDataset(room, artifact, 0)


#: Run in a process of its own, so that the server's threads are not forked with it.
TRAINING = """
import itertools, sys
import strongroom
from strongroom.integrations.datasets import ResumableLoader, StreamedDataset
from strongroom.integrations.torch import ArtifactDataset

def loader_of(client, artifact, method, rank=0, world_size=1, workers=1):
    data = StreamedDataset(
        ArtifactDataset(client, artifact), rank=rank, world_size=world_size
    )
    return ResumableLoader(
        data, batch_size=3, num_workers=workers, collate_fn=list,
        multiprocessing_context=method,
    )

if __name__ == "__main__":
    method, artifact = sys.argv[1:]
    everything = {f"{n:02}": b"%d" % n for n in range(50)}
    with strongroom.connect() as client:
        # A range is open and its stream runs while workers are forked.
        large = client.open(artifact + "-large/large.bin")
        assert large.read(1) == b"x"
        loader = loader_of(client, artifact, method, workers=4)
        found = [item for batch in loader for item in batch]
        assert len(found) == 50, len(found)
        assert dict(found) == everything
        assert large.read(1) == b"x"
        # Broken off in the middle, and gone on with by other numbers of each.
        found = [item for batch in itertools.islice(loader, 5) for item in batch]
        state = loader.state_dict()
        for rank in range(2):
            resumed = loader_of(client, artifact, method, rank, 2)
            resumed.load_state_dict(state)
            found += [item for batch in resumed for item in batch]
        assert len(found) == 50, len(found)
        assert dict(found) == everything
    print("all of it")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)  # ranks and workers import torch, each for itself
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_every_kind_read_all_and_never_hang(
    room: Client, artifact: str, tmp_path: Path, method: str
) -> None:
    samples = {f"{number:02}": b"%d" % number for number in range(50)}
    room.push(write_tree(tmp_path / "in", samples), artifact)
    room.push(
        write_tree(tmp_path / "large", {"large.bin": b"x" * (8 << 20)}),
        f"{artifact}-large",
    )
    script = tmp_path / "training.py"
    script.write_text(TRAINING)

    done = subprocess.run(
        [sys.executable, script, method, artifact],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "all of it\n"
