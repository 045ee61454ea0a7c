# SPDX-License-Identifier: Apache-2.0
"""Batches come to a device as they are, in order, and counted when they are had."""

from collections import namedtuple
from contextlib import nullcontext
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
device_batches = pytest.importorskip("strongroom.integrations.device_batches")
datasets = pytest.importorskip("strongroom.integrations.datasets")

Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024 - as users have them
CPU = torch.device("cpu")


def test_tensors_move_and_what_holds_them_stays_what_it_was() -> None:
    batch = {
        "x": torch.arange(3),
        "pairs": [Pair(torch.ones(2), "name"), (torch.zeros(1), 7)],
        "text": "as it is",
    }

    [moved] = device_batches.on_device([batch], torch.device("meta"))

    assert moved["x"].is_meta
    assert isinstance(moved["pairs"][0], Pair)
    assert moved["pairs"][0].left.is_meta
    assert (moved["pairs"][0].right, moved["pairs"][1][1]) == ("name", 7)
    assert (type(moved["pairs"][1]), moved["text"]) == (tuple, "as it is")


class Stream:
    """As much of a GPU's stream as copying asks for."""

    def __init__(self, told: list[str], name: str) -> None:
        self.told, self.name = told, name

    def record_event(self) -> str:
        self.told.append("copied")
        return "event"

    def wait_event(self, event: str) -> None:
        assert event == "event"
        self.told.append(f"{self.name} waits")


def test_a_batch_is_on_its_way_while_the_one_before_it_is_worked_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "Stream", lambda _: Stream(told, "side"))
    monkeypatch.setattr(cuda, "current_stream", lambda _: Stream(told, "current"))
    monkeypatch.setattr(cuda, "stream", nullcontext)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda _, stream: told.append(stream.name)
    )
    monkeypatch.setattr(device_batches, "_copied", lambda tensor, _: tensor.clone())
    batches = (torch.full((2,), float(number)) for number in range(3))

    for number, batch in enumerate(
        device_batches.on_device(batches, torch.device("cuda"))
    ):
        assert torch.equal(batch, torch.full((2,), float(number)))
        told.append(f"work {number}")

    handed = ["current waits", "current"]
    assert told == [
        "copied", "copied", *handed, "work 0",
        "copied", *handed, "work 1",
        *handed, "work 2",
    ]  # fmt: skip


class Numbers:
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - a tensor
        return torch.tensor(index)


def test_a_loader_counts_what_was_had_and_not_what_is_ahead() -> None:
    def loader() -> Any:  # noqa: ANN401 - the class may be skipped
        data = datasets.StreamedDataset(Numbers(), shuffle=False)
        return datasets.ResumableLoader(data, batch_size=4, device="cpu")

    first = loader()
    had = next(iter(first)).tolist()
    resumed = loader()
    resumed.load_state_dict(first.state_dict())

    assert had == [0, 1, 2, 3]
    assert [batch.tolist() for batch in resumed] == [[4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_batches_come_to_a_gpu_as_they_are() -> None:
    batches = [{"x": torch.rand(1000, 100).pin_memory()} for _ in range(5)]

    found = list(device_batches.on_device(batches, torch.device("cuda")))

    for before, after in zip(batches, found, strict=True):
        assert after["x"].is_cuda
        assert torch.equal(after["x"].cpu(), before["x"])
