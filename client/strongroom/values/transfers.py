# SPDX-License-Identifier: Apache-2.0
"""What moving bytes reports: progress, and what a push or pull did."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum

from strongroom.values.catalog import Version


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a push, pull or verification has come."""

    done_bytes: int
    #: 0 if not known yet.
    total_bytes: int
    file_count: int = 0
    #: The file at work; "" between files.
    path: str = ""


#: Called now and then while bytes move, perhaps on another thread; never at the
#: same time twice. What it raises ends the transfer.
ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class FileRange:
    """A range of a file that somebody wants to read."""

    path: str
    _: KW_ONLY
    #: Where it starts, in bytes; not past the file's end.
    offset: int = 0
    #: How many bytes, fewer only at the file's end; None: all that are left.
    length: int | None = None


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did."""

    version: Version
    #: Whether the content equals the version that was newest before, so that no
    #: new version was made.
    unchanged: bool
    #: How many bytes of files were sent.
    sent_bytes: int
    #: How many bytes were newly stored, after deduplication and encryption; of a
    #: push that was resumed, by its last attempt.
    stored_bytes: int
    #: Directories without any file; a version holds none of them.
    empty_directory_count: int
    trace_id: str = field(default="", compare=False)
    #: By which the push could have gone on, had it been interrupted.
    upload_id: str = field(default="", compare=False)
    #: How many bytes were not sent again: an earlier attempt had stored them.
    resumed_bytes: int = 0
    #: How many bytes were not sent: the newest version has the same files.
    same_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DraftPart:
    """What was put into a draft, and is durable."""

    #: The number of the last part of it; -1 if nothing was to be put.
    number: int = -1
    file_count: int = 0
    #: The bytes of its files, copies among them.
    size_bytes: int = 0
    #: How many bytes of files were sent.
    sent_bytes: int = 0
    #: How many bytes were newly stored, after deduplication and encryption.
    stored_bytes: int = 0

    def joined(self, other: "DraftPart") -> "DraftPart":
        """Return both as one."""
        return DraftPart(
            max(self.number, other.number),
            self.file_count + other.file_count,
            self.size_bytes + other.size_bytes,
            self.sent_bytes + other.sent_bytes,
            self.stored_bytes + other.stored_bytes,
        )


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull did."""

    version: Version
    #: Where the files are now, as given.
    target: str
    file_count: int
    received_bytes: int
    trace_id: str = field(default="", compare=False)
    #: How many bytes an earlier pull, which was interrupted, had left.
    resumed_bytes: int = 0


class SharedMemoryState(StrEnum):
    """How it stands with memory shared with a server on the same machine."""

    #: The settings name no data socket: bytes come over the network.
    OFF = "OFF"
    #: Nothing was read yet.
    UNUSED = "UNUSED"
    #: Reads use it.
    OPEN = "OPEN"
    #: It failed; reads go on without it, and try again now and then.
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """Memory shared with the server, in this process."""

    state: SharedMemoryState
    #: The server's data socket; empty if there is none.
    socket: str = ""
    #: Why it failed; empty if it did not.
    problem: str = ""
    #: Bytes of files that came through shared memory.
    shared_bytes: int = 0
    #: Bytes of files that came in messages while there was a lane.
    sent_bytes: int = 0
    #: Bytes of files to be written that the server read by itself.
    handed_bytes: int = 0
