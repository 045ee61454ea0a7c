# SPDX-License-Identifier: Apache-2.0
"""Reading the audit log: every entry checked as it goes by, searched, and proved."""

import base64
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import IntegrityError, NotFoundError, Reason
from strongroom.format.names import VersionName
from strongroom_server.core.audit import Phase
from strongroom_server.core.audit_check import AuditEntry, LogChecker, bad_entry
from strongroom_server.core.audit_export import (
    Exporter,
    LogReport,
    check_same_log,
    format_proof,
    not_cosigned,
)
from strongroom_server.core.sealing import ObjectKind
from strongroom_server.core.signed_note import Checkpoint, NoteKey, add_signatures
from strongroom_server.ports import Witness
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.written_heads import WrittenHeads
from strongroom_server.services.auditing.queries import AuditQuery, fits

#: Calls that give out plaintext of files.
READ_ACTIONS: Final = frozenset({"version.read"})
#: It needs the same right, and gives out nothing.
_WATCH: Final = "/strongroom.v1.GrantService/WatchGrants"
_MAX_NAME_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who read a version, or may have.

    Attributes:
        principal: Who.
        time: When the read began.
        audit_id: The entry that says so.
        trace_id: The call's trace.
        outcome: gRPC status code name; "" if the server died before it was told.
        size_bytes: What was handed out.
        certain: Whether it was this version; if not, the call named it by something
            that moves, and has no outcome.
    """

    principal: str
    time: str
    audit_id: str
    trace_id: str
    outcome: str
    size_bytes: int
    certain: bool


class AuditReader:
    """One pass over the log for each question; nothing is believed unchecked."""

    def __init__(
        self,
        shared: SharedAuditLog,
        *,
        keyring: Keyring,
        keys: Sequence[NoteKey],
        witnesses: Sequence[Witness] = (),
    ) -> None:
        """Read a log.

        Args:
            shared: The log.
            keyring: Opens names.
            keys: The log's public keys.
            witnesses: Who is asked what the log was, when all of it is checked.
        """
        self._shared = shared
        self._keyring = keyring
        self._keys = keys
        self._witnesses = witnesses

    @property
    def keys(self) -> Sequence[NoteKey]:
        """The public keys that checkpoints are checked with."""
        return self._keys

    def check(
        self, others: Sequence[bytes] = (), witness_keys: Sequence[NoteKey] = ()
    ) -> LogReport:
        """Check all entries and checkpoints, what witnesses saw, and journals' ends.

        Args:
            others: Signed checkpoints that somebody else kept.
            witness_keys: Public keys of witnesses, each of which must have cosigned.

        Raises:
            IntegrityError: Names the first entry or the checkpoint that is wrong, or
                the witness that has not cosigned (AUDIT_CORRUPT); or the journal that
                lacks an entry that the log names (JOURNAL_REWOUND, JOURNAL_CORRUPT).
            UnavailableError: A witness that is to be asked does not answer
                (WITNESS_UNAVAILABLE).
        """
        # Asked first: what they have seen must be in the store by then.
        shown = [
            (witness, note)
            for witness in self._witnesses
            if (note := witness.newest(self._shared.origin)) is not None
        ]
        checker, heads = LogChecker(), WrittenHeads()
        for _, entry in self._walk(checker):
            heads.add(entry.body["detail"])
        count, signed = 0, 0
        for size, note in self._shared.checkpoints():
            checkpoint = self._check_note(checker, note)
            if checkpoint.size != size:
                raise _misplaced(size)
            count, signed = count + 1, size
        for note in others:
            self._check_note(checker, note)
        for witness, note in shown:
            self._check_note(checker, note, witness.keys)
        self._shared.check_heads(heads)
        return LogReport(
            self._shared.origin,
            checker.tree.size,
            checker.writers,
            count + len(others),
            signed,
            checker.tree.root().hex(),
            self._check_cosigned(checker, witness_keys),
            len(heads),
        )

    def _check_cosigned(
        self, checker: LogChecker, witness_keys: Sequence[NoteKey]
    ) -> int:
        """Check what is kept of witnesses; return how far all of `witness_keys` go."""
        ends: dict[str, int] = {}
        for name in dict.fromkeys(key.name for key in witness_keys):
            own = [key for key in witness_keys if key.name == name]
            for size, note in self._shared.cosigned(name):
                if self._check_note(checker, note, own).size != size:
                    raise _misplaced(size)
                ends[name] = size
            if name not in ends:
                raise not_cosigned(name)
        if witness_keys:
            return min(ends.values())
        for _, note in self._shared.cosigned():
            self._check_note(checker, note)
        return 0

    def entries(self, query: AuditQuery) -> Iterator[AuditEntry]:
        """Yield the entries that a query asks for, in order.

        Raises:
            IntegrityError: Names the first entry that is wrong (AUDIT_CORRUPT).
            NotFoundError: There is no entry with the id that is asked for.
        """
        if query.audit_id:
            call_id = self._call_of(query.audit_id)
            query = replace(query, audit_id="")
        else:
            call_id = ""
        resource = self._keyring.resource_id(query.resource) if query.resource else ""
        for _, entry in self._walk(LogChecker()):
            body = entry.body
            if call_id and body["call_id"] != call_id:
                continue
            if (not resource or body["resource_id"] == resource) and fits(query, body):
                yield entry

    def name_of(self, entry: AuditEntry) -> str:
        """Return the resource name that an entry holds sealed; "" if it holds none."""
        sealed = entry.body["sealed_resource"]
        if not sealed:
            return ""
        try:
            data = base64.b64decode(sealed, validate=True)
            body = self._keyring.open_object(
                self._keyring.open_store_domain(),
                ObjectKind.NAME,
                "audit",
                data,
                max_bytes=_MAX_NAME_BYTES,
            )
            return str(body["name"])
        except (IntegrityError, ValueError, KeyError) as error:
            raise bad_entry(entry.index) from error

    def readers_of(self, version: VersionName) -> list[Reader]:
        """Return everybody who was given a version's files, in order.

        Args:
            version: Named by its number.
        """
        query = AuditQuery(resource=version.artifact.resource, decision="allow")
        found: dict[str, Reader] = {}
        numbers: dict[str, str] = {}
        for entry in self.entries(query):
            body = entry.body
            if body["action"] not in READ_ACTIONS or body["method"] == _WATCH:
                continue
            call_id = body["call_id"]
            found.setdefault(call_id, _reader(entry))
            if body["phase"] == Phase.INTENT:
                numbers[call_id] = _selector(self.name_of(entry))
            else:
                size_bytes = int(body["detail"].get("bytes", "0"))
                found[call_id] = replace(
                    found[call_id], outcome=body["outcome"], size_bytes=size_bytes
                )
                numbers[call_id] = body["detail"].get("version", "")
        wanted = version.selector
        readers = []
        for call_id, reader in found.items():
            number = numbers.get(call_id, "")
            # Without a number, a call that ended was given no version at all.
            if number == wanted:
                readers.append(reader)
            elif not number.isdecimal() and not reader.outcome:
                readers.append(replace(reader, certain=False))
        return readers

    def prove(self, audit_id: str, *, cosigned: bool = False) -> str:
        """Return an entry with the proof that it is in the log that is signed.

        Args:
            audit_id: Of the entry.
            cosigned: By a checkpoint that a witness has cosigned, too.

        Raises:
            NotFoundError: There is no such entry, or it is not signed yet.
            IntegrityError: Something before it is wrong (AUDIT_CORRUPT).
        """
        checker = LogChecker()
        found: tuple[int, bytes] | None = None
        for data, entry in self._walk(checker):
            if entry.audit_id == audit_id:
                found = entry.index, data
        if found is None:
            raise _no_entry(audit_id)
        checkpoint, note = self._newest(checker, cosigned=cosigned)
        if checkpoint is None or checkpoint.size <= found[0]:
            raise NotFoundError(
                f"audit entry {audit_id} is not {'cosigned' if cosigned else 'signed'}"
                " yet",
                hint="Try again in some seconds.",
            )
        return format_proof(checker.tree, *found, note, checkpoint.size)

    def checkpoint_sizes(self) -> list[int]:
        """Return of how many entries there are checkpoints; they are not checked."""
        return [size for size, _ in self._shared.checkpoints()]

    def export(
        self, size: int = 0, *, cosigned: bool = False
    ) -> Iterator[tuple[str, bytes]]:
        """Yield path and bytes of every file of the log as far as it is signed.

        Args:
            size: Of the checkpoint to export; of the newest if 0.
            cosigned: Take the newest that a witness has cosigned instead, with what
                all of them signed of it.

        Raises:
            NotFoundError: Nothing is signed yet, or nothing of this size.
            IntegrityError: Names the first entry that is wrong (AUDIT_CORRUPT).
        """
        notes = self._cosigned() if cosigned else dict(self._shared.checkpoints())
        size = size or max(notes, default=0)
        if size not in notes:
            raise NotFoundError(
                f"the audit log has no checkpoint of {size} entries",
                hint="Try again in some seconds.",
            )
        note = notes[size]
        checker, exporter = LogChecker(), Exporter(size, note)
        for data, _ in self._walk(checker):
            yield from exporter.add(data)
        if self._check_note(checker, note).size != size:
            raise _misplaced(size)
        yield from exporter.rest(checker.tree)

    def _walk(self, checker: LogChecker) -> Iterator[tuple[bytes, AuditEntry]]:
        """Yield every entry, checked, as its bytes and as what they say."""
        batches = self._shared.batches()
        while True:
            try:
                batch = next(batches, None)
            except IntegrityError as error:
                raise IntegrityError(
                    f"{error.message}: audit entry {checker.tree.size} is damaged, "
                    "missing or out of order",
                    reason=Reason.AUDIT_CORRUPT,
                    hint=error.hint,
                    number=checker.tree.size,
                ) from error
            if batch is None:
                return
            if (batch.before.size, batch.before.root) != (
                checker.tree.size,
                checker.tree.root(),
            ):
                raise bad_entry(min(checker.tree.size, batch.before.size))
            for data in batch.entries:
                yield data, checker.add(data)

    def _newest(
        self, checker: LogChecker, *, cosigned: bool
    ) -> tuple[Checkpoint | None, bytes]:
        newest: tuple[Checkpoint | None, bytes] = None, b""
        notes = self._cosigned() if cosigned else dict(self._shared.checkpoints())
        for _, note in sorted(notes.items()):
            newest = self._check_note(checker, note), note
        return newest

    def _cosigned(self) -> dict[int, bytes]:
        """Return by size what witnesses have cosigned, with what all of them signed.

        What is no note is left out here: `check` names it.
        """
        notes: dict[int, bytes] = {}
        for size, note in self._shared.cosigned():
            _, _, lines = note.partition(b"\n\n")
            with contextlib.suppress(IntegrityError):
                notes[size] = add_signatures(notes.get(size, note), lines)
        return notes

    def _check_note(
        self, checker: LogChecker, note: bytes, more: Sequence[NoteKey] = ()
    ) -> Checkpoint:
        checkpoint = checker.check_note(note, [*self._keys, *more])
        check_same_log(Checkpoint(self._shared.origin, 0, checkpoint.root), checkpoint)
        return checkpoint

    def _call_of(self, audit_id: str) -> str:
        for _, entry in self._walk(LogChecker()):
            if entry.audit_id == audit_id:
                return str(entry.body["call_id"])
        raise _no_entry(audit_id)


def _reader(entry: AuditEntry) -> Reader:
    body = entry.body
    return Reader(
        principal=body["principal"],
        time=body["time"],
        audit_id=entry.audit_id,
        trace_id=body["trace_id"],
        outcome="",
        size_bytes=0,
        certain=True,
    )


def _selector(name: str) -> str:
    """Return the number in a version's resource name; "" if it has none."""
    selector = name.rpartition("/")[2]
    return selector if selector.isdecimal() else ""


def _no_entry(audit_id: str) -> NotFoundError:
    return NotFoundError(
        f"the audit log has no entry {audit_id[:40]!r}",
        hint="An audit id is what errors and answers carry: 8 hex digits, a dash, a"
        " number.",
    )


def _misplaced(size: int) -> IntegrityError:
    return IntegrityError(
        f"the checkpoint of {size} entries speaks of another number of entries",
        reason=Reason.AUDIT_CORRUPT,
        number=size,
    )
