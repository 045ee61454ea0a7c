# SPDX-License-Identifier: Apache-2.0
"""Roots of backups: signed word of what a backup holds, and until when it is locked.

A root lies in the clear beside what was locked away, names nothing but ids and
digests, and is signed as journal entries are: whoever has the public keys can check
it, with no store at hand. What comes later, a longer lock or a legal hold, is told by
extensions, which are signed, too; none of them makes a lock end sooner.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from strongroom.errors import ExhaustedError, IntegrityError, Reason
from strongroom_server.core import canonical, dsse
from strongroom_server.core.clear_fields import (
    body_of,
    check_ascends,
    count_of,
    items_of,
    name_of,
    number_of,
    second_of,
    sha256_of,
    show_time,
    store_of,
    time_of,
)
from strongroom_server.core.inventory import MAX_PAGE_BYTES, MAX_PAGE_ROWS
from strongroom_server.core.layout import MAX_BACKUP_NUMBER
from strongroom_server.core.scope import format_id, parse_id
from strongroom_server.core.signatures import PublicKey, Signature

PAYLOAD_TYPE: Final = "application/vnd.strongroom.backup.v1"
TYPE: Final = "backup"
FORMAT: Final = 1
#: Of what is signed. Vault takes no more than 32 MiB, in base64.
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
#: As stored: base64, and signatures.
MAX_ROOT_BYTES: Final = MAX_PAYLOAD_BYTES * 4 // 3 + 64 * 1024
#: Keys of missing objects that a root names; it counts them all.
MAX_MISSING: Final = 1000
#: What object locks can be: `ports.locked.LockMode`.
MODES: Final = frozenset({"compliance", "governance"})
_MAX_ID_TEXT: Final = 100
_ID_TEXT: Final = re.compile(rf"[!-~]{{0,{_MAX_ID_TEXT}}}\Z")
_FIELDS: Final = frozenset(
    {
        "artifacts", "audit_id", "create_time", "format", "interval_s", "journals",
        "missing", "missing_count", "mode", "new_bytes", "new_object_count",
        "newest_commit_time", "number", "object_count", "pages", "previous",
        "protected_until", "scope", "size_bytes", "store", "trace_id", "type",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageEntry:
    """One page of a backup's inventory.

    Attributes:
        sha256: Its digest, in hex, which also names it.
        version_id: In the backup bucket.
        first_key: Of its first row.
        row_count: At least one.
        size_bytes: Of the page itself.
    """

    sha256: str
    version_id: str
    first_key: str
    row_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class JournalHead:
    """How far an artifact's journal is in a backup.

    Attributes:
        project: The project's id.
        artifact: The artifact's id.
        entries: How many entries, from 0.
        digest: SHA-256 of the last of them, which binds all before it.
        versions: Whose content is in the backup: ranges, first and last, ascending.
    """

    project: bytes
    artifact: bytes
    entries: int
    digest: bytes
    versions: tuple[tuple[int, int], ...]

    @property
    def place(self) -> tuple[bytes, bytes]:
        """What heads are in order of."""
        return self.project, self.artifact

    def holds(self, version: int) -> bool:
        """Return whether the content of a version is in the backup."""
        return any(first <= version <= last for first, last in self.versions)


@dataclass(frozen=True, slots=True)
class BackupRoot:
    """What a backup holds.

    Attributes:
        store: Of which store, by its id.
        number: Of the backup, from 1.
        create_time: When it was begun, by the store's clock: newer commits are not in.
        newest_commit_time: Of the newest version that is in it, the recovery point;
            None if there is no version.
        protected_until: Until when every object in it is locked at least, unless
            extensions say more; whole seconds.
        interval_s: How often backups are due; 0 if they have no schedule.
        mode: How objects are locked, key slots apart; one of `MODES`.
        previous: SHA-256 of the root before, in hex; "" if there was none.
        scope: The ids of the projects that were chosen, ascending.
        pages: Of the inventory, in order of key.
        journals: In order of project and artifact.
        object_count: Rows of all pages.
        size_bytes: Of all objects.
        new_object_count: Objects that it was the first to copy.
        new_bytes: Their sizes.
        missing: Keys that the store had lost, and that an earlier backup had: the
            first `MAX_MISSING`, ascending.
        missing_count: All of them.
        trace_id: Of the call that made it.
        audit_id: Of that call's entry in the audit log, which tells who it was.
        artifacts: What was chosen of other projects: ids of projects and artifacts,
            ascending. If nothing was chosen, the whole store is meant.
    """

    store: bytes
    number: int
    create_time: datetime
    newest_commit_time: datetime | None
    protected_until: datetime
    interval_s: int
    mode: str
    previous: str
    scope: tuple[bytes, ...]
    pages: tuple[PageEntry, ...]
    journals: tuple[JournalHead, ...]
    object_count: int
    size_bytes: int
    new_object_count: int
    new_bytes: int
    missing: tuple[str, ...] = ()
    missing_count: int = 0
    trace_id: str = ""
    audit_id: str = ""
    artifacts: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it is of the whole store."""
        return not self.scope and not self.artifacts


def head_of(
    heads: Sequence[JournalHead], project: bytes, artifact: bytes
) -> JournalHead | None:
    """Return the head of an artifact's journal, if a root has one."""
    place = bisect_left(heads, (project, artifact), key=_place)
    if place < len(heads) and heads[place].place == (project, artifact):
        return heads[place]
    return None


def _place(head: JournalHead) -> tuple[bytes, bytes]:
    return head.place


def format_root(root: BackupRoot) -> bytes:
    """Return the bytes that are signed, before DSSE's own encoding.

    Raises:
        IntegrityError: It says what no root can say (RECORD_CORRUPT), or there is
            more to list than one root has room for (TOO_LARGE).
    """
    body = {
        "artifacts": [[*map(format_id, item)] for item in root.artifacts],
        "audit_id": root.audit_id,
        "create_time": show_time(root.create_time),
        "format": FORMAT,
        "interval_s": root.interval_s,
        "journals": [_format_head(head) for head in root.journals],
        "missing": list(root.missing),
        "missing_count": root.missing_count,
        "mode": root.mode,
        "new_bytes": root.new_bytes,
        "new_object_count": root.new_object_count,
        "newest_commit_time": (
            None
            if root.newest_commit_time is None
            else show_time(root.newest_commit_time)
        ),
        "number": root.number,
        "object_count": root.object_count,
        "pages": [_format_page(page) for page in root.pages],
        "previous": root.previous,
        "protected_until": show_time(root.protected_until),
        "scope": [format_id(project) for project in root.scope],
        "size_bytes": root.size_bytes,
        "store": root.store.hex(),
        "trace_id": root.trace_id,
        "type": TYPE,
    }
    payload = canonical.encode(body)
    _check_size(payload, MAX_PAYLOAD_BYTES)
    parse_payload(payload)
    return payload


def signing_input(payload: bytes) -> bytes:
    """Return what is signed of a root's payload."""
    return dsse.signing_input(PAYLOAD_TYPE, payload)


def seal_root(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    """Return a root as it is stored; its digest is that of these bytes."""
    return dsse.format_envelope(PAYLOAD_TYPE, payload, signatures)


def verify_root(data: bytes, keys: Mapping[str, PublicKey]) -> BackupRoot:
    """Return what a stored root says, once form and signatures are checked; offline.

    Whether it is of the right store, and at its place, is for the caller to check.

    Raises:
        IntegrityError: It is malformed, altered, or not signed by both kinds of
            keys (RECORD_CORRUPT, SIGNATURE_INVALID).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        payload = dsse.open_envelope(data, PAYLOAD_TYPE, keys, max_bytes=MAX_ROOT_BYTES)
    except ValueError as error:
        raise root_error() from error
    return parse_payload(payload)


def parse_payload(payload: bytes) -> BackupRoot:
    """Return what the payload of a root says; who signed it was checked before.

    Raises:
        IntegrityError: It is malformed, or contradicts itself (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        body = body_of(
            payload, TYPE, _FIELDS, newest=FORMAT, max_bytes=MAX_PAYLOAD_BYTES
        )
        root = _parse_root(body)
        _check_root(root)
        _check_lists(root)
    except (ValueError, TypeError) as error:
        raise root_error() from error
    return root


def root_error() -> IntegrityError:
    """Return the error for a root or an extension that is damaged, or out of place."""
    return IntegrityError(
        "this is no root of a backup, or it was altered",
        reason=Reason.RECORD_CORRUPT,
        hint="`strongroom backup ls` shows the backups that can be trusted.",
    )


def _parse_root(body: Mapping[str, Any]) -> BackupRoot:
    newest = body["newest_commit_time"]
    return BackupRoot(
        store=store_of(body["store"]),
        number=number_of(body["number"], MAX_BACKUP_NUMBER),
        create_time=time_of(body["create_time"]),
        newest_commit_time=None if newest is None else time_of(newest),
        protected_until=second_of(body["protected_until"]),
        interval_s=count_of(body["interval_s"]),
        mode=body["mode"],
        previous=body["previous"],
        scope=tuple(parse_id(item) for item in items_of(body["scope"])),
        pages=tuple(_parse_page(item) for item in items_of(body["pages"])),
        journals=tuple(_parse_head(item) for item in items_of(body["journals"])),
        object_count=count_of(body["object_count"]),
        size_bytes=count_of(body["size_bytes"]),
        new_object_count=count_of(body["new_object_count"]),
        new_bytes=count_of(body["new_bytes"]),
        missing=tuple(items_of(body["missing"])),
        missing_count=count_of(body["missing_count"]),
        trace_id=body["trace_id"],
        audit_id=body["audit_id"],
        artifacts=tuple(_parse_pair(item) for item in items_of(body["artifacts"])),
    )


def _check_root(root: BackupRoot) -> None:
    if root.mode not in MODES or root.protected_until <= root.create_time:
        raise ValueError(root.mode)
    if root.previous != "":
        sha256_of(root.previous)
    for text in (root.trace_id, root.audit_id):
        if not _ID_TEXT.match(text):
            raise ValueError(text)
    if sum(page.row_count for page in root.pages) != root.object_count:
        raise ValueError(root.object_count)
    if root.new_object_count > root.object_count or root.new_bytes > root.size_bytes:
        raise ValueError(root.new_object_count)
    if len(root.missing) != min(root.missing_count, MAX_MISSING):
        raise ValueError(root.missing_count)


def _check_lists(root: BackupRoot) -> None:
    for key in root.missing:
        name_of(key)
    check_ascends(root.missing)
    check_ascends(root.scope)
    check_ascends(root.artifacts)
    check_ascends([page.first_key for page in root.pages])
    check_ascends([head.place for head in root.journals])
    if any(project in root.scope for project, _ in root.artifacts):
        raise ValueError(root.artifacts)


def _format_page(page: PageEntry) -> list[Any]:
    fields = (page.sha256, page.version_id, page.first_key)
    return [*fields, page.row_count, page.size_bytes]


def _parse_page(item: object) -> PageEntry:
    sha256, version_id, first_key, row_count, size_bytes = items_of(item, 5)
    return PageEntry(
        sha256_of(sha256),
        name_of(version_id),
        name_of(first_key),
        number_of(row_count, MAX_PAGE_ROWS),
        number_of(size_bytes, MAX_PAGE_BYTES),
    )


def _format_head(head: JournalHead) -> list[Any]:
    ids = (format_id(head.project), format_id(head.artifact))
    ranges = [list(item) for item in head.versions]
    return [*ids, head.entries, head.digest.hex(), ranges]


def _parse_head(item: object) -> JournalHead:
    project, artifact, entries, digest, ranges = items_of(item, 5)
    versions = tuple(_parse_range(pair) for pair in items_of(ranges))
    # Neighbours would be one range.
    last = -1
    for first, end in versions:
        if first <= last + 1:
            raise ValueError(item)
        last = end
    return JournalHead(
        parse_id(project),
        parse_id(artifact),
        number_of(entries, MAX_BACKUP_NUMBER),
        bytes.fromhex(sha256_of(digest)),
        versions,
    )


def _parse_range(item: object) -> tuple[int, int]:
    first, last = items_of(item, 2)
    if not 0 < count_of(first) <= count_of(last):
        raise ValueError(item)
    return first, last


def _parse_pair(item: object) -> tuple[bytes, bytes]:
    project, artifact = items_of(item, 2)
    return parse_id(project), parse_id(artifact)


def _check_size(payload: bytes, max_bytes: int) -> None:
    if len(payload) > max_bytes:
        raise ExhaustedError(
            f"what the backup lists comes to {len(payload)} bytes, and {max_bytes} "
            "have room in one root",
            reason=Reason.TOO_LARGE,
            hint="Back up projects apart: `strongroom backup create --project NAME`.",
        )
