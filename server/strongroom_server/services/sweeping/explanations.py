# SPDX-License-Identifier: Apache-2.0
"""What is told of one stored object: what needs it, and what becomes of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.ports import BlobVersion
from strongroom_server.services.sweeping.planning import SweepTime


class ObjectState(StrEnum):
    """What becomes of a stored object."""

    NEEDED = "NEEDED"
    UNNEEDED = "UNNEEDED"
    CONDEMNED = "CONDEMNED"
    PERMANENT = "PERMANENT"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ObjectUse:
    """Something that needs an object.

    Attributes:
        name: A version; the artifact of an upload; None: a project's repairs.
        cause: What needs it, in words.
        keeps: Whether that keeps it; not so a version whose time in the trash is
            over, which the next sweep purges.
    """

    name: ArtifactName | VersionName | None
    cause: str
    keeps: bool = True


@dataclass(frozen=True, slots=True)
class ObjectExplanation:
    """All in all about an object.

    Attributes:
        exists: Whether it is in the bucket.
        state: What becomes of it.
        causes: Why, one sentence each.
        condemn_time: When it was condemned, by the store's clock.
        use_count: How much needs it.
    """

    exists: bool
    state: ObjectState
    causes: tuple[str, ...]
    condemn_time: datetime | None = None
    use_count: int = 0


@dataclass(slots=True)
class Search:
    """What is looked for, and what was found out so far."""

    key: str
    item: BlobVersion | None
    time: SweepTime
    packs: frozenset[bytes] = frozenset()
    manifest: str = ""
    causes: list[str] = field(default_factory=list)
    is_certain: bool = True
    use_count: int = 0
    keeper_count: int = 0
    pages: dict[bytes, bool] = field(default_factory=dict)
    #: Which versions of the object are read, by their ids in the store.
    read: set[str] = field(default_factory=set)

    def hit(self, refs: Iterable[ChunkRef]) -> bool:
        """Return whether a chunk is read from what is looked for; note how."""
        parts = (part for ref in refs for part in (ref, ref.base) if part is not None)
        found = {
            part.pack_version
            for part in parts
            if bytes.fromhex(part.pack) in self.packs
        }
        self.read |= found
        return bool(found)

    def doubt(self, cause: str) -> None:
        """Note why it cannot be told what needs the object."""
        self.is_certain = False
        self.causes.append(cause)
