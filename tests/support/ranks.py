# SPDX-License-Identifier: Apache-2.0
"""Ranks of a training run as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.house.tree import ROOT

PROGRAM: Final = ROOT / "tests/integrations/rank_program.py"


@contextmanager
def ranks(
    action: str,
    uri: str,
    count: int,
    folder: Path,
    environ: Mapping[str, str] | None = None,
) -> Iterator[list[subprocess.Popen[str]]]:
    """Run as many ranks of a training run as processes, and leave none behind."""
    folder.mkdir(exist_ok=True)
    rendezvous = folder / f"{action}-{count}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, PROGRAM, action, uri, f"{rank}", f"{count}", rendezvous],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | dict(environ or {}),
        )
        for rank in range(count)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def run_ranks(
    action: str,
    uri: str,
    count: int,
    folder: Path,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Run ranks to their end, which must be a good one."""
    with ranks(action, uri, count, folder, environ) as running:
        for process in running:
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 0, errors
