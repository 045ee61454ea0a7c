# SPDX-License-Identifier: Apache-2.0
"""What downloads run on: a repository, or what a sidecar has in its place."""

from concurrent.futures import Executor
from typing import Protocol

from strongroom.format.names import VersionName
from strongroom_server.core.scope import Scope
from strongroom_server.ports import Clock
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunks import ChunkReader


class Engine(Protocol):
    """Reads chunks, within a budget. Safe to use from many threads."""

    @property
    def chunks(self) -> ChunkReader:
        """Reads and authenticates chunks."""
        ...

    @property
    def executor(self) -> Executor:
        """The threads that chunks are read on."""
        ...

    @property
    def read_budget(self) -> ByteBudget:
        """What all downloads together may hold that nobody has taken yet."""
        ...

    @property
    def clock(self) -> Clock:
        """Measures how long fetches take."""
        ...

    def check_readable(self, name: VersionName, scope: Scope) -> None:
        """Check that what was fetched of a version may still be handed out.

        Asked for every block, so it is quick.

        Raises:
            StrongroomError: It may not: it was shredded, or the right to it ended.
        """
        ...
