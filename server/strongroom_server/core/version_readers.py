# SPDX-License-Identifier: Apache-2.0
"""Who reads a version now, as one server knows it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class VersionReader:
    """Somebody who reads a version.

    Attributes:
        principal: Who.
        since: Since when.
        until: Until when they were granted to; None while they read through here.
        count: How many calls and grants of theirs this is.
    """

    principal: str
    since: datetime
    until: datetime | None
    count: int


@dataclass(frozen=True, slots=True)
class FoundReaders:
    """Who reads a version, by principal; and whether that is all that is known."""

    readers: tuple[VersionReader, ...]
    is_complete: bool
