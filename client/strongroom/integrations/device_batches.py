# SPDX-License-Identifier: Apache-2.0
"""Batches on a device: on a GPU, the next one is copied while one is worked on."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch


def on_device(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """Yield batches on a device.

    To a GPU they are copied on a stream of its own: while one is worked on, the next
    one is on its way, if it lies in locked memory. No more than one is ahead.

    Args:
        batches: Tensors, or mappings, tuples and lists of them; what else is in them
            stays as it is.
        device: Where the tensors go.
    """
    if device.type != "cuda":
        for batch in batches:
            yield _changed(batch, lambda tensor: tensor.to(device))
        return
    side = torch.cuda.Stream(device)
    waiting: list[tuple[Any, Any, Any]] = []
    for batch in batches:
        with torch.cuda.stream(side):
            copied = _changed(batch, lambda tensor: _copied(tensor, device))
            # What it was copied from must outlive the copy.
            waiting.append((copied, batch, side.record_event()))
        if len(waiting) > 1:
            yield _handed_over(*waiting.pop(0), device)
    for last in waiting:
        yield _handed_over(*last, device)


def _copied(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device, non_blocking=True)


def _handed_over(copied: Any, _: Any, done: Any, device: torch.device) -> Any:  # noqa: ANN401 - batches are anything
    """Let the stream that works on a batch wait for its copy, and nobody else."""
    current = torch.cuda.current_stream(device)
    current.wait_event(done)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        # Its memory is the side stream's; it is in use here until this one is done.
        tensor.record_stream(current)
        return tensor

    return _changed(copied, keep)


def _changed(batch: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:  # noqa: ANN401 - batches are anything
    """Return a batch whose tensors were changed, in containers like its own."""
    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: _changed(item, change) for key, item in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_changed(item, change) for item in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(_changed(item, change) for item in batch)
    return batch
