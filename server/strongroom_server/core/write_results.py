# SPDX-License-Identifier: Apache-2.0
"""What writers of versions hear: where to go on, and what became of what they wrote."""

from dataclasses import dataclass

from strongroom_server.core.records import VersionRecord


@dataclass(frozen=True, slots=True)
class Position:
    """Where an upload goes on; see WritePosition in the proto."""

    file_count: int = 0
    last_path: str = ""
    open_path: str = ""
    offset_bytes: int = 0
    received_bytes: int = 0
    modes_digest: bytes = b""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The version, and whether it equals the one that was newest before."""

    version: VersionRecord
    unchanged: bool


@dataclass(frozen=True, slots=True)
class PartResult:
    """A part of a draft that is durable; see DraftPart in the proto."""

    number: int
    file_count: int
    size_bytes: int
    stored_bytes: int
