# SPDX-License-Identifier: Apache-2.0
"""An audit log as C2SP's tlog-tiles lays it out, and its check with public keys only.

Whoever has the files needs neither Strongroom's keys, nor Vault, nor S3; any other
program that knows tlog-tiles can check them, too.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.audit_check import (
    AuditEntry,
    LogChecker,
    bad_entry,
    parse_entry,
)
from strongroom_server.core.merkle import HASH_BYTES, Tree, leaf_hash, verify_inclusion
from strongroom_server.core.signed_note import Checkpoint, NoteKey, open_note
from strongroom_server.core.tlog_tiles import (
    CHECKPOINT,
    TILE_WIDTH,
    bundle_path,
    bundles,
    decode_bundle,
    encode_bundle,
    tile_bytes,
    tile_path,
    tiles,
)

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"
#: Longer than any bundle: 256 entries of 64 KiB.
MAX_FILE_BYTES: Final = 17 * 2**20


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a check of a whole audit log found to be right.

    Attributes:
        origin: What checkpoints call the log.
        entry_count: Entries, each checked.
        writer_count: Servers whose events they are.
        checkpoint_count: Signed checkpoints, each checked.
        signed_count: Entries that the newest of them covers.
        root: The tree's root over all entries, in hex.
        cosigned_count: Entries that all witnesses cover that were asked for.
        journal_count: Journals that were compared with what the log says of them.
    """

    origin: str
    entry_count: int
    writer_count: int
    checkpoint_count: int
    signed_count: int
    root: str
    cosigned_count: int = 0
    journal_count: int = 0


class Exporter:
    """Writes the files of a log while its entries go by."""

    def __init__(self, size: int, note: bytes) -> None:
        """Export the first `size` entries, which the checkpoint `note` signs."""
        self._size = size
        self._note = note
        self._bundle: list[bytes] = []
        self._count = 0

    def add(self, entry: bytes) -> Iterator[tuple[str, bytes]]:
        """Take the next entry; yield path and bytes of a bundle that is full."""
        if self._count == self._size:
            return
        self._bundle.append(entry)
        self._count += 1
        width = len(self._bundle)
        if width == TILE_WIDTH or self._count == self._size:
            number = (self._count - 1) // TILE_WIDTH
            yield bundle_path(number, width), encode_bundle(self._bundle)
            self._bundle = []

    def rest(self, tree: Tree) -> Iterator[tuple[str, bytes]]:
        """Yield path and bytes of all that is no bundle; the checkpoint last."""
        for level, number, width in tiles(self._size):
            data = tile_bytes(tree, level, number, width)
            yield tile_path(level, number, width), data
        yield CHECKPOINT, self._note


def check_export(
    read: Callable[[str], bytes | None],
    keys: Sequence[NoteKey],
    *,
    others: Sequence[bytes] = (),
    witness_keys: Sequence[NoteKey] = (),
) -> LogReport:
    """Check exported files, all of them.

    Args:
        read: Returns the bytes of a path, or None if there is no such file.
        keys: Of the log, from a source that is trusted.
        others: Signed checkpoints that somebody else kept: of them the log must be
            a continuation, or they of it.
        witness_keys: Public keys of witnesses, each of which must have cosigned.

    Raises:
        IntegrityError: Names the first entry, the tile or the checkpoint that is
            wrong (AUDIT_CORRUPT).
    """
    note = read(CHECKPOINT)
    if note is None:
        raise _wrong_file(CHECKPOINT)
    checkpoint = open_note(note, [*keys, *witness_keys])
    checker = LogChecker()
    for number, width in bundles(checkpoint.size):
        _check_bundle(checker, read, number, width)
    for level, number, width in tiles(checkpoint.size):
        path = tile_path(level, number, width)
        if read(path) != tile_bytes(checker.tree, level, number, width):
            raise _wrong_file(path)
    checker.check_checkpoint(checkpoint)
    for other in others:
        check_same_log(checkpoint, checker.check_note(other, keys))
    return LogReport(
        checkpoint.origin,
        checker.tree.size,
        checker.writers,
        1 + len(others),
        checkpoint.size,
        checker.tree.root().hex(),
        checkpoint.size if witness_keys else 0,
    )


def check_same_log(ours: Checkpoint, other: Checkpoint) -> None:
    """Check that two checkpoints speak of one log (AUDIT_CORRUPT)."""
    if ours.origin != other.origin:
        raise IntegrityError(
            f"a checkpoint is of the log {other.origin}, not of {ours.origin}",
            reason=Reason.AUDIT_CORRUPT,
        )


def format_proof(tree: Tree, index: int, entry: bytes, note: bytes, size: int) -> str:
    """Return the proof that an entry is in the log of `size` that `note` signs.

    The entry goes with it, as extra data. https://c2sp.org/tlog-proof
    """
    hashes = [
        base64.b64encode(item).decode() for item in tree.inclusion_proof(index, size)
    ]
    extra = base64.b64encode(entry).decode()
    head = [PROOF_HEADER, f"extra {extra}", f"index {index}", *hashes]
    return "\n".join([*head, "", note.decode()])


def check_proof(text: str, keys: Sequence[NoteKey]) -> AuditEntry:
    """Check a proof that `format_proof` wrote; return the entry that it proves.

    Raises:
        IntegrityError: It proves nothing (AUDIT_CORRUPT).
    """
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    try:
        header, extra, place = lines[:3]
        if header != PROOF_HEADER or not place.startswith("index "):
            raise _no_proof()
        entry = base64.b64decode(extra.removeprefix("extra "), validate=True)
        index = int(place.removeprefix("index "))
        proof = [base64.b64decode(line, validate=True) for line in lines[3:]]
    except ValueError as error:
        raise _no_proof() from error
    if any(len(item) != HASH_BYTES for item in proof):
        raise _no_proof()
    checkpoint = open_note(note.encode(), keys)
    leaf = leaf_hash(entry)
    verify_inclusion(leaf, index, checkpoint.size, proof, checkpoint.root)
    return parse_entry(index, entry)


def _check_bundle(
    checker: LogChecker, read: Callable[[str], bytes | None], number: int, width: int
) -> None:
    """Check a bundle's entries, each against the tile above it."""
    first = number * TILE_WIDTH
    data = read(bundle_path(number, width))
    if data is None:
        raise bad_entry(first)
    tile = read(tile_path(0, number, width)) or b""
    for place, entry in enumerate(decode_bundle(data, first=first, count=width)):
        start = place * HASH_BYTES
        if tile[start : start + HASH_BYTES] != leaf_hash(entry):
            raise bad_entry(first + place)
        checker.add(entry)


def not_cosigned(name: str) -> IntegrityError:
    """Return the error for a log that a witness has not cosigned."""
    return IntegrityError(
        f"the audit log has no checkpoint that the witness {name} has cosigned",
        reason=Reason.AUDIT_CORRUPT,
        hint="Ask the witness what it has cosigned: GET /<log>/checkpoint.",
    )


def _wrong_file(path: str) -> IntegrityError:
    return IntegrityError(
        f"the file {path} of the audit log is missing or damaged",
        reason=Reason.AUDIT_CORRUPT,
        path=path,
    )


def _no_proof() -> IntegrityError:
    return IntegrityError(
        "the text is no proof of an audit entry", reason=Reason.AUDIT_CORRUPT
    )
