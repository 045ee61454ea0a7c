# SPDX-License-Identifier: Apache-2.0
"""A process ends on SIGTERM, whichever of its threads the kernel gives that to."""

import subprocess
import sys

import pytest

PROGRAM = """
import signal, threading
from strongroom_server.process_signals import stop_on_signals

stop, given = stop_on_signals(), threading.Event()

def another():
    given.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()

if {by_another}:
    threading.Thread(target=another, daemon=True).start()
    threading.Timer(0.2, given.set).start()
else:
    threading.Timer(0.2, signal.raise_signal, [signal.SIGTERM]).start()
assert not stop.wait(0.01)
stop.wait()
"""


@pytest.mark.parametrize("by_another", [True, False])
def test_a_waiting_process_ends_on_sigterm(by_another: bool) -> None:
    program = PROGRAM.format(by_another=by_another)

    done = subprocess.run(
        [sys.executable, "-c", program], timeout=20, check=False, capture_output=True
    )

    assert done.returncode == 0, done.stderr
