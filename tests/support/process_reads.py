# SPDX-License-Identifier: Apache-2.0
"""How much processes have read: a push reads its files, or has its server read them."""

import subprocess
from pathlib import Path


class ProcessReads:
    """Counts what a server and a process of ours read from now on.

    Args:
        server: The server's process id.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._before = _read_bytes(server)

    def so_far(self, process: subprocess.Popen[str]) -> int:
        """Return what both have read, the process's program included."""
        return _read_bytes(process.pid) + _read_bytes(self._server) - self._before


def _read_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])
