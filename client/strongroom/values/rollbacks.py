# SPDX-License-Identifier: Apache-2.0
"""What a rollback would do: two versions, who made them, who reads the one now."""

from dataclasses import dataclass
from datetime import datetime

from strongroom.values.catalog import JournalEntry, Ref, Version


@dataclass(frozen=True, slots=True)
class VersionReader:
    """Somebody who reads a version now."""

    #: The SPIFFE id, or the name of the person who signed in.
    principal: str
    #: Since when; by the server's clock.
    since: datetime
    #: Until when what they were granted opens something; None for who reads through
    #: the server, for as long as they do.
    until: datetime | None
    #: How many streams, sessions and grants of theirs this is.
    count: int


@dataclass(frozen=True, slots=True)
class VersionReaders:
    """Who reads a version, as far as the server that answered knows."""

    version: Version
    #: By principal.
    readers: tuple[VersionReader, ...]
    #: Whether there are more than these.
    incomplete: bool


@dataclass(frozen=True, slots=True)
class RollbackPreview:
    """What a ref points at, and what it would point at."""

    #: `project/artifact`.
    artifact: str
    #: As it is now; its etag makes sure that nobody moves it meanwhile.
    ref: Ref
    base: Version
    target: Version
    #: The entries that committed the two: who signed them, and when.
    base_entry: JournalEntry | None
    target_entry: JournalEntry | None
    #: The ref's newest move.
    last_move: JournalEntry | None
    #: Who reads the version that it points at now; None if that is not told.
    readers: VersionReaders | None

    @property
    def changes_nothing(self) -> bool:
        """Whether the ref points there already."""
        return self.base.number == self.target.number
