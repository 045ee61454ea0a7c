# SPDX-License-Identifier: Apache-2.0
"""Records of drafts: the parts that several processes put into one version.

A draft's records are numbered from 0 without a gap, in the order in which its parts
became durable; each is a part, whole. What ends a draft lies under the greatest
number. A draft whose first record is gone is no draft any more.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.format.digest import path_order
from strongroom.format.names import check_path
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.index_segment import check_format, format_refs, parse_refs
from strongroom_server.core.layout import NUMBER_DIGITS
from strongroom_server.core.scope import format_id, parse_id
from strongroom_server.core.sealing import ObjectKind, object_error
from strongroom_server.core.upload_record import format_files, parse_files

#: Among upload records; 1 is what one upload writes about itself.
FORMAT: Final = 2
#: The number of what ends a draft.
END_NUMBER: Final = 10**NUMBER_DIGITS - 1
#: Files that one part adds, and paths that it removes, at most.
MAX_FILES: Final = 10_000
MAX_REMOVED: Final = 10_000
#: The records of one draft together, as stored: about 150,000 files.
MAX_DRAFT_BYTES: Final = 64 * 1024 * 1024
#: Long enough that nobody guesses it, short enough for a request id.
_DRAFT_ID: Final = re.compile(r"[0-9A-Za-z._-]{16,100}\Z")
_FIELDS: Final = {
    "format": int, "artifact": str, "request_id": str, "part": str, "state": str,
    "actor": str, "audit_id": str, "sweep_epoch": int, "stored": int,
    "replace": int, "removed": list, "files": list, "refs": dict,
}  # fmt: skip


class DraftStep(StrEnum):
    """What a record of a draft does."""

    PART = "part"
    COMMIT = "commit"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class DraftRecord:
    """One record of a draft.

    Attributes:
        artifact: The 18-byte id of the artifact.
        request_id: By which its journal will know the commit: `draft_request`.
        part: The request id of the call that wrote it. Of two records with the same
            one, the later stands for both: the call was repeated.
        step: A part, or the draft's end.
        actor: Who called.
        audit_id: The entry of the call in the audit log.
        sweep_epoch: The sweep epoch by which the part shared chunks.
        stored_bytes: What was newly stored for it.
        replaces: Whether its files take the place of those of earlier parts.
        removed: Paths that go before its files come; one that ends with `/` means
            all that lies below.
        files: The files that it adds, in byte order of path.
    """

    artifact: bytes
    request_id: str
    part: str
    step: DraftStep
    actor: str
    audit_id: str
    sweep_epoch: int = 0
    stored_bytes: int = 0
    replaces: bool = False
    removed: tuple[str, ...] = ()
    files: tuple[FileEntry, ...] = ()


@dataclass(slots=True)
class DraftFiles:
    """What the parts of a draft add up to.

    Attributes:
        files: The files that it adds, by path.
        twice: Paths that two parts have, of which the later does not replace.
        stored_bytes: What was newly stored for all parts.
    """

    files: dict[str, FileEntry] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    stored_bytes: int = 0
    _gone: set[str] = field(default_factory=set)
    _gone_folders: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls, records: Sequence[DraftRecord], check: Callable[[], None] = lambda: None
    ) -> "DraftFiles":
        """Add up the parts of a draft, in the order of their numbers.

        Args:
            records: The parts.
            check: Is called for each of them, and may raise.
        """
        last = {record.part: place for place, record in enumerate(records)}
        found = cls()
        for place, record in enumerate(records):
            check()
            if last[record.part] == place:
                found.take(record)
        return found

    def take(self, record: DraftRecord) -> None:
        """Take in the next part."""
        self.stored_bytes += record.stored_bytes
        self._remove(record.removed)
        for entry in record.files:
            if record.replaces:
                self.twice.discard(entry.path)
            elif entry.path in self.files:
                self.twice.add(entry.path)
            self.files[entry.path] = entry

    def merged(self, base: Iterable[FileEntry]) -> Iterator[FileEntry]:
        """Yield the files of the version, in byte order of path.

        Args:
            base: The files of the version that it builds on, in that order.
        """
        own = iter(sorted(self.files.values(), key=lambda item: path_order(item.path)))
        following = next(own, None)
        for entry in base:
            order = path_order(entry.path)
            while following is not None and path_order(following.path) < order:
                yield following
                following = next(own, None)
            if entry.path not in self.files and not self._is_gone(entry.path):
                yield entry
        while following is not None:
            yield following
            following = next(own, None)

    def _remove(self, paths: Sequence[str]) -> None:
        """Take files out; looks at all of them once, however many folders go."""
        folders = frozenset(path for path in paths if path.endswith("/"))
        gone = {path for path in paths if path not in folders}
        self._gone |= gone
        self._gone_folders |= folders
        if folders:
            gone.update(path for path in self.files if _is_below(path, folders))
        for path in gone:
            self.files.pop(path, None)
            self.twice.discard(path)

    def _is_gone(self, path: str) -> bool:
        return path in self._gone or _is_below(path, self._gone_folders)


def _is_below(path: str, folders: Collection[str]) -> bool:
    """Return whether a file lies in one of some folders, named with `/` behind."""
    if not folders:
        return False
    parts = path.split("/")
    return any(
        "/".join(parts[:count]) + "/" in folders for count in range(1, len(parts))
    )


def check_draft_id(draft_id: str) -> None:
    """Check that a text may name a draft.

    Raises:
        InvalidArgumentError: It may not (ARGUMENT_INVALID).
    """
    if not _DRAFT_ID.match(draft_id):
        raise InvalidArgumentError(
            f"{draft_id[:100]!r} is no draft id: 16 to 100 letters, digits, '.', '_' "
            "or '-'",
            reason=Reason.ARGUMENT_INVALID,
            hint="Use a UUID4.",
            field="draft_id",
        )


def check_removed(path: str) -> None:
    """Check that a path, or a folder with `/` behind it, may be removed.

    Raises:
        InvalidArgumentError: It is malformed (PATH_MALFORMED).
    """
    check_path(path.removesuffix("/"))


def draft_name(artifact: bytes, draft_id: str) -> str:
    """Return what the id of a draft's folder is derived from."""
    return f"{format_id(artifact)}\0{draft_id}"


def draft_request(draft_id: str) -> str:
    """Return the request id under which a journal holds the commit of a draft."""
    return f"{draft_id}/draft"


def format_draft_record(record: DraftRecord) -> dict[str, Any]:
    """Return the body of a record, ready to be encrypted."""
    return {
        "format": FORMAT,
        "artifact": format_id(record.artifact),
        "request_id": record.request_id,
        "part": record.part,
        "state": record.step.value,
        "actor": record.actor,
        "audit_id": record.audit_id,
        "sweep_epoch": record.sweep_epoch,
        "stored": record.stored_bytes,
        "replace": int(record.replaces),
        "removed": list(record.removed),
        "files": format_files(record.files),
        "refs": format_refs(ref for entry in record.files for ref in entry.chunks),
    }


def parse_draft_record(body: Mapping[str, Any], number: int) -> DraftRecord:
    """Return the record of a decrypted body.

    Args:
        body: As `open_object` returned it.
        number: The number that the record lies under.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        _check_format(body.get("format"))
        return _parse(body, number)
    except (ValueError, TypeError, KeyError, InvalidArgumentError) as error:
        raise _malformed() from error


def _check_format(number: object) -> None:
    if type(number) is not int or number < FORMAT:
        raise ValueError(number)
    if number > FORMAT:
        raise PreconditionError(
            f"a draft's record has format {number}; this release reads {FORMAT}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
            format=number,
        )


def _parse(body: Mapping[str, Any], number: int) -> DraftRecord:
    if set(body) != set(_FIELDS) or any(
        type(body[key]) is not kind for key, kind in _FIELDS.items()
    ):
        raise ValueError(sorted(body))
    step = DraftStep(body["state"])
    if (
        (step is DraftStep.PART) != (number != END_NUMBER)
        or min(body["sweep_epoch"], body["stored"]) < 0
        or body["replace"] not in {0, 1}
        or len(body["files"]) > MAX_FILES
        or len(body["removed"]) > MAX_REMOVED
    ):
        raise ValueError(number)
    for path in body["removed"]:
        if not isinstance(path, str):
            raise TypeError(path)
        check_removed(path)
    if set(body["refs"]) != {"format", "packs", "chunks"}:
        raise ValueError(sorted(body["refs"]))
    check_format(body["refs"]["format"], "a draft record's list of chunks")
    refs = iter(parse_refs(body["refs"]))
    files = parse_files(body["files"], refs)
    orders = [path_order(entry.path) for entry in files]
    in_order = all(left < right for left, right in pairwise(orders))
    if next(refs, None) is not None or not in_order:
        raise ValueError(files)
    return DraftRecord(
        parse_id(body["artifact"]),
        body["request_id"],
        body["part"],
        step,
        body["actor"],
        body["audit_id"],
        body["sweep_epoch"],
        body["stored"],
        body["replace"] == 1,
        tuple(body["removed"]),
        files,
    )


def _malformed() -> IntegrityError:
    return object_error(ObjectKind.UPLOAD)
