# SPDX-License-Identifier: Apache-2.0
"""The section of the settings about memory that readers of this machine share."""

from dataclasses import dataclass
from pathlib import Path

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemorySection:
    """`[shared_memory]`: bytes for readers on this machine, without the network.

    Attributes:
        socket: The data socket, in a folder of its own. If it is missing, a server
            shares nothing; a sidecar has one beside its own socket, if the kernel can.
        uids: Numbers of users beside the server's own whose processes may connect.
        ring_bytes: Memory that reads pass through, for all readers together.
        mapped_bytes: Memory for whole files, for all readers together.
    """

    socket: Path | None = None
    uids: tuple[str, ...] = ()
    ring_bytes: int = 256 * _MIB
    mapped_bytes: int = 1024 * _MIB
