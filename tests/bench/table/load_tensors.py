# SPDX-License-Identifier: Apache-2.0
"""Load all tensors of a safetensors file into memory, once: what `loading` measures.

    load_tensors.py strongroom CONFIG URI
    load_tensors.py runai BUCKET KEY ENDPOINT
    load_tensors.py s3torch BUCKET KEY ENDPOINT

Runs in an environment with torch. Prints one JSON object: the seconds without imports,
the tensors, their bytes and a sum over them, the peak of memory, processor time and
page faults of the whole process.
"""

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

_Tensors = Iterable[tuple[str, torch.Tensor]]


def _strongroom(config: str, uri: str) -> Callable[[], _Tensors]:
    import strongroom  # noqa: PLC0415 (each loader is imported alone)
    import strongroom.client.tensors  # noqa: PLC0415

    def load() -> _Tensors:
        with strongroom.connect(config_file=config) as client:
            return list(client.tensors(uri))

    return load


def _runai(bucket: str, key: str, endpoint: str) -> Callable[[], _Tensors]:
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "RUNAI_STREAMER_S3_ENDPOINT": endpoint,
        "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
        "RUNAI_STREAMER_LOG_LEVEL": "ERROR",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    from runai_model_streamer import SafetensorsStreamer  # noqa: PLC0415

    def load() -> _Tensors:
        with SafetensorsStreamer() as streamer:
            streamer.stream_file(f"s3://{bucket}/{key}")
            return list(streamer.get_tensors())

    return load


def _s3torch(bucket: str, key: str, endpoint: str) -> Callable[[], _Tensors]:
    from s3torchconnector import S3Checkpoint, S3ClientConfig  # noqa: PLC0415
    from safetensors.torch import load as parse  # noqa: PLC0415

    def load() -> _Tensors:
        config = S3ClientConfig(force_path_style=True)
        region = os.environ["AWS_REGION"]
        checkpoint = S3Checkpoint(region, endpoint=endpoint, s3client_config=config)
        with checkpoint.reader(f"s3://{bucket}/{key}") as reader:
            return list(parse(reader.read()).items())

    return load


_LOADERS: dict[str, Callable[..., Callable[[], _Tensors]]] = {
    "strongroom": _strongroom,
    "runai": _runai,
    "s3torch": _s3torch,
}


def main(arguments: Sequence[str]) -> int:
    """Load, and tell."""
    load = _LOADERS[arguments[0]](*arguments[1:])
    before = time.perf_counter()
    tensors = list(load())
    seconds = time.perf_counter() - before
    status = Path("/proc/self/status").read_text("ascii")
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": seconds,
        "tensors": len(tensors),
        "bytes": sum(tensor.nbytes for _, tensor in tensors),
        "sum": sum(_sum(tensor) for _, tensor in tensors),
        "peak_bytes": int(peak[1]) * 1024 if peak else 0,
        "cpu_s": used.ru_utime + used.ru_stime,
        "faults": used.ru_minflt,
    }
    print(json.dumps(told))
    return 0


def _sum(tensor: torch.Tensor) -> int:
    """Add up the bits of a tensor, 16 at a time: it does not matter in which order."""
    flat = tensor.contiguous().view(torch.int16).flatten()
    return int(flat.sum(dtype=torch.int64))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
