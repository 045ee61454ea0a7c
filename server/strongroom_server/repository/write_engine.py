# SPDX-License-Identifier: Apache-2.0
"""What files are taken in with: a repository, or what a sidecar has in its place."""

from concurrent.futures import Executor
from threading import Lock
from typing import Protocol

from strongroom_server.ports import Clock, Entropy
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunks import ChunkReader


class WriteEngine(Protocol):
    """Threads, memory and time of all writers. Safe to use from many threads."""

    @property
    def clock(self) -> Clock:
        """Measures how long senders take."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Gives salts and padding."""
        ...

    @property
    def executor(self) -> Executor:
        """The threads that chunks are encoded, encrypted and stored on."""
        ...

    @property
    def chunks(self) -> ChunkReader:
        """Reads the version before."""
        ...

    @property
    def write_budget(self) -> ByteBudget:
        """What all writers together may have under way."""
        ...

    @property
    def open_budget(self) -> ByteBudget:
        """What they may have received and not sent off."""
        ...

    @property
    def header_lock(self) -> Lock:
        """Held while the header of a file is parsed."""
        ...
