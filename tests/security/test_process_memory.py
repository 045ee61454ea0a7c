# SPDX-License-Identifier: Apache-2.0
"""A server's memory is not written to disk when it dies, nor shown to its user."""

import os
import signal
import subprocess
import sys
from pathlib import Path

_PR_GET_DUMPABLE = 3
PROGRAM = f"""
import ctypes, os, resource, signal
from strongroom_server.process_memory import keep_private
keep_private()
print(ctypes.CDLL(None).prctl({_PR_GET_DUMPABLE}, 0, 0, 0, 0))
print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_crash_leaves_no_core_dump(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
    )

    assert done.returncode == -signal.SIGSEGV
    assert done.stdout.split() == ["0", "0", "0"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_server_holds_from_its_start_is_searched_no_more() -> None:
    program = (
        "import gc; from strongroom_server.process_memory import keep_settled\n"
        "keep_settled(); print(gc.get_freeze_count() > 1000, gc.isenabled())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
    )

    assert done.stdout.split() == ["True", "True"]
