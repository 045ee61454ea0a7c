# SPDX-License-Identifier: Apache-2.0
"""How long saves keep a training waiting: what `saving` measures.

    save_tensors.py CONFIG ARTIFACT BYTES ROUNDS MEMORY_FOLDER DISK_FOLDER

Runs in an environment with torch. Each round saves the same tensors, which change in
between, by everybody, one right after the other; our push is waited for outside of the
time. Prints one JSON object: seconds by name, a list of rounds each, those of one copy
by one thread, and the pages that our saves touched first.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

import strongroom

#: As many as a small language model has.
_TENSORS = 84
_THREADS = torch.get_num_threads()


def main(arguments: Sequence[str]) -> int:
    """Save, and tell."""
    config, artifact, size, rounds, memory, disk = arguments
    each = int(size) // _TENSORS // 2
    tensors = {
        f"layers.{number}.weight": torch.randn(each).to(torch.bfloat16)
        for number in range(_TENSORS)
    }
    shared, stored = Path(memory) / "saved", Path(disk) / "saved"
    peers: dict[str, Callable[[], object]] = {
        "save_file to tmpfs": lambda: save_file(tensors, shared),
        "save_file to disk": lambda: save_file(tensors, stored),
        "torch.save to disk": lambda: torch.save(tensors, stored),
    }
    touched = [tensor.clone() for tensor in tensors.values()]
    told: dict[str, list[float]] = {"ours": [], "faults": [], "one copy": []}
    with (
        strongroom.connect(config_file=config) as room,
        room.checkpoints(artifact) as checkpoints,
    ):
        checkpoints.prepare(tensors)
        for step in range(int(rounds)):
            for tensor in tensors.values():
                tensor.view(torch.int16).bitwise_xor_(1 + step)
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            began_s = time.perf_counter()
            save = checkpoints.save(tensors, step=step)
            told["ours"].append(time.perf_counter() - began_s)
            now = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            told["faults"].append(now - faults)
            save.result()
            torch.set_num_threads(1)
            began_s = time.perf_counter()
            for copy, tensor in zip(touched, tensors.values(), strict=True):
                copy.copy_(tensor)
            told["one copy"].append(time.perf_counter() - began_s)
            torch.set_num_threads(_THREADS)
            for name, peer in peers.items():
                began_s = time.perf_counter()
                peer()
                told.setdefault(name, []).append(time.perf_counter() - began_s)
                shared.unlink(missing_ok=True)
                stored.unlink(missing_ok=True)
        told["handed_bytes"] = [room.shared_memory.handed_bytes]
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
