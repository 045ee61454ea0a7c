# SPDX-License-Identifier: Apache-2.0
"""What is told of one stored object: what needs it, and what becomes of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from strongroom.format.names import ArtifactName, VersionName


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
