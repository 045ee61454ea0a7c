# SPDX-License-Identifier: Apache-2.0
"""Histories: what an artifact's journal adds up to, and which entry may come next.

A history is a fold: versions, refs, where each ref pointed before, and what
`latest` was at any time all follow from the entries. `core.fold` makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format import names
from strongroom.format.names import ArtifactName
from strongroom_server.core.journal import GENESIS
from strongroom_server.core.lineage import NO_LINEAGE, Lineage
from strongroom_server.core.records import (
    DEFAULT_POLICY,
    Action,
    ApprovedBy,
    ArtifactPolicy,
    Caller,
    Kind,
)


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """What every entry says: when, who, in which request, trace and audit entry.

    `sweep_epoch` is how many sweep records the writer knew when it looked at what
    the entry names; see docs/adr/0010. `approved` tells who else wanted it.
    """

    action: Action
    time: datetime
    actor: str
    request_id: str
    trace_id: str
    audit_id: str
    reason: str = ""
    sweep_epoch: int = 0
    approved: ApprovedBy | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """Entry 0: the artifact's names, kind and key domain."""

    info: EntryInfo
    name: ArtifactName
    kind: Kind
    domain: bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """A version. `manifest` is its digest in hex, `manifest_version` its version id.

    `digested_by` are the principals by whom files of it were digested elsewhere than
    at the server; sorted. `lineage` is what its writer says that it was made from.
    """

    info: EntryInfo
    version: int
    digest: str
    manifest: str
    manifest_version: str
    file_count: int
    size_bytes: int
    stored_bytes: int
    message: str
    metadata: Mapping[str, str]
    digested_by: tuple[str, ...] = ()
    lineage: Lineage = NO_LINEAGE


@dataclass(frozen=True, slots=True)
class RefMoved:
    """A ref that points somewhere else; `previous_version` is 0 if it is new."""

    info: EntryInfo
    ref: str
    version: int
    previous_version: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """A version that was put into the trash."""

    info: EntryInfo
    version: int


@dataclass(frozen=True, slots=True)
class Undeleted:
    """A version that was taken out of the trash."""

    info: EntryInfo
    version: int


@dataclass(frozen=True, slots=True)
class HoldSet:
    """A legal hold that was set or lifted; version 0 means the whole artifact."""

    info: EntryInfo
    version: int
    hold: bool


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The policy from here on."""

    info: EntryInfo
    policy: ArtifactPolicy


@dataclass(frozen=True, slots=True)
class Fenced:
    """A sweep that passed: who commits behind it knows what it condemned.

    Its `info.sweep_epoch` is the fence; `purged` are the versions that are gone
    from here on, ascending.
    """

    info: EntryInfo
    purged: tuple[int, ...]


Entry = (
    Created | Committed | RefMoved | Deleted | Undeleted | HoldSet | PolicySet | Fenced
)
#: What a request did, to which ref, and its id.
RequestKey = tuple[Action, str, str]


@dataclass(frozen=True, slots=True)
class NumberedEntry:
    """An entry with its number, its stored digest and the keys that signed it.

    `epoch` is that of the key that it is stored under.
    """

    number: int
    entry: Entry
    digest: bytes
    key_ids: tuple[str, ...]
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """The fold of a journal's entries.

    Attributes:
        entries: All entries, by number.
        versions: All commits, by version number, from 1; also those that are gone.
        refs: For each ref, its moves, oldest first.
        requests: The entry that each request made; see `RequestKey`.
        deleted: The versions in the trash, with the entry that put each there.
        purged: The versions that are gone for good.
        held: The versions under legal hold; 0 stands for all of them.
        policy: How versions are stored and kept.
        fence: The sweep epoch that a commit behind the last entry needs.
        latest: The newest version's number that can be read; 0 if there is none.
        promised_days: For each version in the trash, its policy's `trash_days` when
            it was put there: what its deleter was told.
        policy_number: The number of the entry that set `policy`; 0 if none did.
    """

    entries: tuple[NumberedEntry, ...] = ()
    versions: tuple[Committed, ...] = ()
    refs: Mapping[str, tuple[NumberedEntry, ...]] = field(default_factory=dict)
    requests: Mapping[RequestKey, NumberedEntry] = field(default_factory=dict)
    deleted: Mapping[int, NumberedEntry] = field(default_factory=dict)
    purged: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    policy: ArtifactPolicy = DEFAULT_POLICY
    fence: int = 0
    latest: int = 0
    promised_days: Mapping[int, int] = field(default_factory=dict)
    policy_number: int = 0

    @property
    def created(self) -> Created:
        """Entry 0; only of a history that is not empty."""
        entry = self.entries[0].entry
        if not isinstance(entry, Created):
            raise broken_entry(0)
        return entry

    @property
    def next_number(self) -> int:
        """The number of the entry that comes next."""
        return len(self.entries)

    @property
    def head(self) -> bytes:
        """What the next entry names as the entry before it."""
        return self.entries[-1].digest if self.entries else GENESIS

    @property
    def next_version(self) -> int:
        """The number of the version that comes next; numbers are never reused."""
        return len(self.versions) + 1

    @property
    def known_epoch(self) -> int:
        """How many sweep records there must be: its writers have known so many."""
        known = (version.info.sweep_epoch for version in self.versions)
        return max(self.fence, *known, 0)

    @property
    def newest(self) -> Committed | None:
        """The newest version that can be read."""
        return self.versions[self.latest - 1] if self.latest else None

    def is_live(self, version: int) -> bool:
        """Return whether a version exists and can be read."""
        known = 1 <= version <= len(self.versions)
        return known and version not in self.deleted and version not in self.purged

    def is_held(self, version: int) -> bool:
        """Return whether a legal hold keeps a version."""
        return 0 in self.held or version in self.held

    def live_versions(self) -> tuple[Committed, ...]:
        """Return the versions that can be read, oldest first."""
        return tuple(item for item in self.versions if self.is_live(item.version))

    def stored_versions(self) -> tuple[Committed, ...]:
        """Return the versions whose bytes are kept, in the trash too; oldest first."""
        return tuple(item for item in self.versions if item.version not in self.purged)

    def ref_version(self, ref: str) -> int:
        """Return what a ref points at; 0 if it does not exist."""
        if ref == names.LATEST:
            return self.latest
        moves = self.refs.get(ref, ())
        return moved_ref(moves[-1]).version if moves else 0

    def refs_at(self, version: int) -> tuple[str, ...]:
        """Return the refs that point at a version, `latest` first."""
        latest = (names.LATEST,) if version == self.latest else ()
        others = (ref for ref in sorted(self.refs) if self.ref_version(ref) == version)
        return (*latest, *others)

    def ref_versions(self, ref: str) -> tuple[int, ...]:
        """Return what a ref has pointed at, oldest first; nothing if there is none."""
        return tuple(moved_ref(move).version for move in self.refs.get(ref, ()))


def check_movable(ref: str) -> None:
    """Check that a ref may be moved by hand.

    Raises:
        PreconditionError: It moves by itself (REF_RESERVED).
    """
    if ref == names.LATEST:
        raise PreconditionError(
            "ref latest moves by itself, to each new version",
            reason=Reason.REF_RESERVED,
            hint="Choose another ref, such as prod.",
            ref=ref,
        )


def make_info(
    action: Action,
    caller: Caller,
    *,
    time: datetime,
    request_id: str,
    reason: str = "",
    sweep_epoch: int = 0,
) -> EntryInfo:
    """Return the common part of a new entry."""
    return EntryInfo(
        action,
        time.astimezone(UTC),
        caller.principal,
        request_id,
        caller.trace_id,
        caller.audit_id,
        reason,
        sweep_epoch,
        caller.approved,
    )


def moved_ref(item: NumberedEntry) -> RefMoved:
    """Return the entry of a ref's move; other entries are refused."""
    if not isinstance(item.entry, RefMoved):
        raise broken_entry(item.number)
    return item.entry


def broken_entry(number: int) -> IntegrityError:
    """Return the error for an entry that no honest server writes there."""
    return IntegrityError(
        f"journal entry {number} does not follow from the entries before it",
        reason=Reason.JOURNAL_CORRUPT,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
        number=number,
    )
