# SPDX-License-Identifier: Apache-2.0
"""Memory shared with readers of this machine: segments, mappings, lanes, listener."""

from strongroom_server.adapters.shared_memory.listener import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.ports import SharedMemory

__all__ = ["SharedMemoryServer", "SharedMemorySettings", "running_shared_memory"]

_port: type[SharedMemory] = SharedMemoryServer
