# SPDX-License-Identifier: Apache-2.0
"""The check of an audit log, entry by entry: needs the entries and nothing else.

Each server's entries are numbered from 0 without a gap and name the digest of the
one before, so that an entry that a server acknowledged can neither be missing, nor
be there twice, nor have changed places. The whole is a Merkle tree, whose roots are
compared with what was signed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical
from strongroom_server.core.audit import FORMAT, GENESIS, MAX_LINE_BYTES, line_digest
from strongroom_server.core.audit_failures import log_damaged
from strongroom_server.core.merkle import Tree, leaf_hash
from strongroom_server.core.signed_note import Checkpoint, NoteKey, open_note

_WRITER: Final = re.compile(rb"[0-9a-f]{8}\Z")
_WRITER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry at its place in the log.

    Attributes:
        index: In the log of all servers, from 0.
        writer: The id of the server's own log.
        body: What stands in the line; see `core.audit`.
        line: The line as it was hashed, without line feed.
    """

    index: int
    writer: str
    body: dict[str, Any]
    line: bytes

    @property
    def audit_id(self) -> str:
        """The id that callers, errors and spans carry."""
        return f"{self.writer}-{self.body['number']}"


def parse_entry(index: int, data: bytes) -> AuditEntry:
    """Read an entry.

    Raises:
        IntegrityError: It is none (AUDIT_CORRUPT).
    """
    writer, line = data[:_WRITER_BYTES], data[_WRITER_BYTES + 1 :]
    try:
        body = canonical.decode_object(line, MAX_LINE_BYTES)
        if body["format"] != FORMAT or type(body["number"]) is not int:
            raise bad_entry(index)
        if not _WRITER.match(writer) or data[_WRITER_BYTES : _WRITER_BYTES + 1] != b" ":
            raise bad_entry(index)
    except (canonical.MalformedError, KeyError) as error:
        raise bad_entry(index) from error
    return AuditEntry(index, writer.decode(), body, line)


class LogChecker:
    """Checks a log while its entries come in, in order."""

    def __init__(self) -> None:
        self.tree = Tree()
        self._ends: dict[str, tuple[int, str]] = {}

    @property
    def writers(self) -> int:
        """How many servers' logs came together."""
        return len(self._ends)

    def add(self, data: bytes) -> AuditEntry:
        """Check the next entry and return it.

        Raises:
            IntegrityError: It is damaged, or not the one that must come next of its
                server (AUDIT_CORRUPT); names its index.
        """
        found = parse_entry(self.tree.size, data)
        number, prev = self._ends.get(found.writer, (0, GENESIS))
        if (found.body["number"], found.body.get("prev")) != (number, prev):
            raise bad_entry(found.index)
        self._ends[found.writer] = number + 1, line_digest(found.line + b"\n")
        self.tree.append(leaf_hash(data))
        return found

    def check_note(self, note: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
        """Check that a signed checkpoint is one of this log, and return it.

        Raises:
            IntegrityError: It is not signed by `keys`, the log ends before it, or
                it has another root (AUDIT_CORRUPT).
        """
        return self.check_checkpoint(open_note(note, keys))

    def check_checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        """Check that what a checkpoint says holds for this log; errors as above."""
        size = checkpoint.size
        if size > self.tree.size:
            raise IntegrityError(
                f"the audit log ends before entry {self.tree.size}, but a checkpoint "
                f"of {size} entries is signed: its tail is cut off",
                reason=Reason.AUDIT_CORRUPT,
                number=self.tree.size,
            )
        if self.tree.root(size) != checkpoint.root:
            raise IntegrityError(
                f"the first {size} entries of the audit log are not those of which a "
                "checkpoint is signed: two views of it differ",
                reason=Reason.AUDIT_CORRUPT,
                number=size,
            )
        return checkpoint


def bad_entry(index: int) -> IntegrityError:
    """Return the error that names the first entry that is wrong."""
    return log_damaged(
        f"audit entry {index} is damaged, missing or out of order", number=index
    )
