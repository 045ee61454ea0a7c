# SPDX-License-Identifier: Apache-2.0
"""One rank of a training run that saves and loads; started by the tests beside it.

python rank_program.py ACTION URI RANK WORLD_SIZE RENDEZVOUS
"""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

#: Does not divide by 4: ranks have shards of different sizes.
ROWS: Final = 1001


def whole(step: int) -> torch.Tensor:
    """Return the weights of a step as one process would have them."""
    return torch.arange(ROWS * 64, dtype=torch.float32).reshape(ROWS, 64) + step


def state_of(step: int) -> dict[str, Any]:
    """Return this rank's part of the state after a step."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    return {
        "weight": distribute_tensor(whole(step), mesh, [Shard(0)]),
        "bias": torch.full((7,), float(step)),
        "trainer": {"step": step, "sampler": {"taken": [[step, step]]}},
    }


def check(state: dict[str, Any], step: int) -> None:
    assert torch.equal(state["weight"].full_tensor(), whole(step))
    assert torch.equal(state["bias"], torch.full((7,), float(step)))
    assert state["trainer"] == {"step": step, "sampler": {"taken": [[step, step]]}}


def save(uri: str) -> None:
    """Save two steps, and load the first one and the newest one."""
    for step in (1, 2):
        dcp.save(state_of(step), checkpoint_id=uri)
    for selector, step in (("@1", 1), ("", 2)):
        state = state_of(0)
        dcp.load(state, checkpoint_id=uri + selector)
        check(state, step)


def load(uri: str) -> None:
    """Load what other ranks have saved."""
    state = state_of(0)
    dcp.load(state, checkpoint_id=f"{uri}@1")
    check(state, 1)


def save_async(uri: str) -> None:
    """Save from another process, then from a thread, while this one goes on."""
    group = dist.new_group(backend="gloo")
    kinds = (AsyncCheckpointerType.PROCESS, AsyncCheckpointerType.THREAD)
    for step, kind in enumerate((kinds[0], *kinds), start=1):
        state = state_of(step)
        saving = dcp.async_save(
            state,
            checkpoint_id=uri,
            process_group=group,
            async_checkpointer_type=kind,
        )
        with torch.no_grad():
            state["bias"] += 1000  # what comes later is not saved
        saving.result(timeout=150)
    state = state_of(0)
    dcp.load(state, checkpoint_id=uri)
    check(state, 3)


def die(uri: str) -> None:
    """Save a step, and have rank 2 kill somebody while it writes the next one.

    Itself, unless STRONGROOM_TEST_VICTIM has the number of another process.
    """
    dcp.save(state_of(1), checkpoint_id=uri)
    if dist.get_rank() == 2:
        victim = int(os.environ.get("STRONGROOM_TEST_VICTIM") or os.getpid())
        write = torch.save

        def killing(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as torch has them
            write(*arguments, **options)
            os.kill(victim, signal.SIGKILL)
            torch.save = write

        torch.save = killing
    dcp.save(state_of(2), checkpoint_id=uri)


def go_on(uri: str) -> None:
    """Load the newest step, which is the first one, and save another one."""
    state = state_of(0)
    dcp.load(state, checkpoint_id=uri)
    check(state, 1)
    dcp.save(state_of(3), checkpoint_id=uri)
    dcp.load(state, checkpoint_id=uri)
    check(state, 3)


ACTIONS: Final[dict[str, Callable[[str], None]]] = {
    "save": save,
    "load": load,
    "save-async": save_async,
    "die": die,
    "go-on": go_on,
}


def main() -> None:
    """Join the others, and do as they do."""
    warnings.simplefilter("error", UserWarning)
    action, uri, rank, world_size, rendezvous = sys.argv[1:]
    dist.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=int(rank),
        world_size=int(world_size),
        timeout=timedelta(seconds=60),
    )
    ACTIONS[action](uri)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
