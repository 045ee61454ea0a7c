# SPDX-License-Identifier: Apache-2.0
"""Sweep records as stored: read incrementally, and appended to by sweepers.

A writer takes a `SweepView` before it looks at what it may share, and renews it when
a journal's fence tells that a sweep came by (docs/adr/0010). Records are never
deleted, so an epoch names the same records for ever, and what was read of them once
is noted in the local index.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import layout
from strongroom_server.core.sealing import ObjectKind, open_object, seal_object
from strongroom_server.core.stored_objects import ChainLink
from strongroom_server.core.sweep import (
    MAX_RECORD_BYTES,
    SweepAct,
    SweepFold,
    SweepKind,
    SweepLog,
    SweepRecord,
    SweptObject,
    doomed_of,
    format_record,
    pack_of,
    parse_record,
    record_digest,
    sweep_error,
)
from strongroom_server.core.sweep_note import (
    SweepNote,
    make_note,
    open_numbers,
    recall,
)
from strongroom_server.ports import BlobNotFoundError, BlobStore, BlobVersion, Index
from strongroom_server.repository.journals import NumberTakenError
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import first_version, put_numbered
from strongroom_server.repository.object_copies import copy_in_chain, first_whole
from strongroom_server.repository.sweep_notes import SweepNotes


@dataclass(frozen=True, slots=True)
class SweepView:
    """What is condemned, as of one sweep epoch.

    Attributes:
        epoch: How many sweep records it takes account of.
        packs: Digests of the packs that are condemned, 32 bytes each.
        keys: Keys of everything else that is.
    """

    epoch: int = 0
    packs: frozenset[bytes] = frozenset()
    keys: frozenset[str] = frozenset()

    def is_condemned(self, pack: str) -> bool:
        """Return whether a pack, by its digest in hex, must not be referred to."""
        return bytes.fromhex(pack) in self.packs

    def is_condemned_key(self, key: str) -> bool:
        """Return whether the object at a key, a pack or not, is condemned."""
        pack = pack_of(key)
        return self.is_condemned(pack) if pack else key in self.keys


@dataclass(frozen=True, slots=True)
class _Known:
    log: SweepLog
    view: SweepView


class Sweeps:
    """Reads and extends the sweep records. Safe to use from many threads."""

    def __init__(self, *, blobs: BlobStore, index: Index, keyring: Keyring) -> None:
        self._blobs = blobs
        self._notes = SweepNotes(index)
        self._keyring = keyring
        self._lock = threading.Lock()
        #: None until records are looked at for the first time.
        self._known: _Known | None = None
        #: Of the records that were taken in, by number.
        self._by_number: dict[int, SweepNote] = {}

    def view(self, *, at_least: int = 0) -> SweepView:
        """Return what is condemned now; one listing, if nothing is new.

        Args:
            at_least: The fence of a journal: so many records there must be.

        Raises:
            IntegrityError: A record is damaged or gone (RECORD_CORRUPT).
        """
        view = self._load().view
        if view.epoch < at_least:
            raise _gone(at_least - 1)
        return view

    def renew(self, view: SweepView, *, at_least: int) -> SweepView:
        """Return what is condemned now, or was at any time since `view` was taken.

        What was condemned since, and is gone by now, is condemned no more; but who
        shared it by the old view must learn of it. Arguments and errors as `view`.
        """
        known = self._load()
        if known.view.epoch < at_least:
            raise _gone(at_least - 1)
        if known.log.last_closed < view.epoch:
            return known.view
        acts: dict[int, SweepAct] = {}
        start_after = layout.sweep_key(view.epoch - 1) if view.epoch else ""
        listed = self._blobs.first_versions(layout.SWEEP, start_after=start_after)
        numbers = range(view.epoch, known.log.count)
        for number, item in zip(numbers, listed, strict=False):
            if item.key != layout.sweep_key(number):
                raise _gone(number)
            acts[number] = self._act(item, number=number)
        if len(acts) < known.log.count - view.epoch:
            raise _gone(view.epoch + len(acts))
        packs, keys = _names(doomed_of(acts))
        current = known.view
        return SweepView(current.epoch, current.packs | packs, current.keys | keys)

    def log(self) -> SweepLog:
        """Return what the records add up to now; errors as `view`."""
        return self._load().log

    def append(self, record: SweepRecord, *, behind: SweepLog) -> SweepLog:
        """Add a record behind the log on which it was decided.

        Returns:
            The log with the record at its end, as it was read back.

        Raises:
            NumberTakenError: Another sweeper was first; nothing was written.
            UnavailableError: It is not known whether the record was written.
        """
        number = behind.count
        key = layout.sweep_key(number)
        data = seal_object(
            self._keyring.open_store_domain(),
            ObjectKind.SWEEP,
            key,
            format_record(record, prev=behind.head),
            salt=self._keyring.salt(),
        )
        if len(data) > MAX_RECORD_BYTES:
            raise sweep_error()
        # A record that may not follow must never be written.
        behind.add(record, record_digest(data), 0.0)
        if not put_numbered(self._blobs, key, data):
            raise NumberTakenError
        return self._load().log

    def load_anew(self) -> None:
        """Read all records from S3, and note them again; errors as `view`."""
        self._keep(self._read_new(_Known(SweepLog(), SweepView())))

    def _load(self) -> _Known:
        with self._lock:
            known = self._known
        return self._keep(self._read_new(self._noted() if known is None else known))

    def _keep(self, fresh: _Known) -> _Known:
        with self._lock:
            if self._known is None or fresh.log.count > self._known.log.count:
                self._known = fresh
        return fresh

    def _noted(self) -> _Known:
        """Return what this server knew before it was started; nothing if in doubt."""
        nothing = _Known(SweepLog(), SweepView())
        notes = self._notes.load()
        if not notes or self._is_elsewhere(len(notes) - 1, notes[-1]):
            return nothing
        try:
            acts = {
                number: self._parse_act(
                    layout.sweep_key(number),
                    self._notes.record(number),
                    digest=notes[number].digest,
                )
                for number in open_numbers(notes)
            }
        except (IntegrityError, PreconditionError):
            # The index is a cache: what it got wrong, S3 is asked for.
            return nothing
        self._by_number.update(enumerate(notes))
        log = recall(notes, acts)
        return _Known(log, _view_of(log))

    def _is_elsewhere(self, number: int, note: SweepNote) -> bool:
        """Return whether a note is of another object than the one that is there.

        As it is if the server was given another bucket, such as a copy that has
        gone its own way since. If there is none any more, that is told later on.
        """
        item = first_version(self._blobs, layout.sweep_key(number))
        there = (note.version_id, note.modified_s)
        return item is not None and (item.version_id, item.modified_s) != there

    def _read_new(self, known: _Known) -> _Known:
        fold: SweepFold | None = None
        # The last known record is listed again: if it is gone, somebody rewound.
        expected = max(known.log.count - 1, 0)
        start_after = layout.sweep_key(expected - 1) if expected else ""
        found = self._blobs.first_versions(layout.SWEEP, start_after=start_after)
        for item in found:
            if item.key != layout.sweep_key(expected):
                raise _gone(expected)
            if expected >= known.log.count:
                fold = fold or SweepFold(known.log)
                self._take_in(fold, item, number=expected)
            expected += 1
        if expected < known.log.count:
            raise _gone(expected)
        if fold is None:
            return known
        log = fold.log()
        return _Known(log, _view_of(log))

    def _take_in(self, fold: SweepFold, item: BlobVersion, *, number: int) -> None:
        """Add a record as it is stored, or as a repair put it beside it."""

        def take_in(data: bytes) -> SweepRecord:
            record = parse_record(self._open(item.key, data), prev=fold.head)
            fold.add(record, record_digest(data), item.modified_s)
            return record

        try:
            data = self._fetch(item)
            record = take_in(data)
        except (IntegrityError, PreconditionError):
            copy = copy_in_chain(
                self._blobs,
                item.key,
                self._link,
                prev=fold.head,
                next_key=layout.sweep_key(number + 1),
                max_bytes=MAX_RECORD_BYTES,
            )
            if copy is None:
                raise
            data, record = copy, take_in(copy)
        note = make_note(
            number,
            record,
            digest=fold.head,
            modified_s=item.modified_s,
            version_id=item.version_id,
        )
        # So that what is read again is what was taken in.
        self._by_number[number] = note
        self._notes.add(number, note, data, ended=self._ended_by(number, note))

    def _ended_by(self, number: int, note: SweepNote) -> list[int]:
        """Return the records of the sweep that a record says is done with."""
        if note.kind is not SweepKind.REMOVED:
            return []
        numbers = range(note.of, number)
        return [item for item in numbers if self._by_number[item].of == note.of]

    def _link(self, key: str, data: bytes) -> ChainLink:
        body = self._open(key, data)
        prev = _prev(body)
        parse_record(body, prev=prev)
        number = int(key.removeprefix(layout.SWEEP))
        return ChainLink(number, prev, record_digest(data))

    def _act(self, item: BlobVersion, *, number: int) -> SweepAct:
        """Return what a record says that was taken in before."""
        digest = self._by_number[number].digest
        return first_whole(
            self._blobs,
            item.key,
            self._fetch(item),
            lambda data: self._parse_act(item.key, data, digest=digest),
            max_bytes=MAX_RECORD_BYTES,
        )

    def _parse_act(self, key: str, data: bytes, *, digest: bytes) -> SweepAct:
        """Return what the bytes of a record say, if they are those with a digest."""
        if record_digest(data) != digest:
            raise sweep_error()
        body = self._open(key, data)
        return parse_record(body, prev=_prev(body)).act

    def _open(self, key: str, data: bytes) -> dict[str, Any]:
        keys = self._keyring.open_store_domain()
        return open_object(
            keys, ObjectKind.SWEEP, key, data, max_bytes=MAX_RECORD_BYTES
        )

    def _fetch(self, item: BlobVersion) -> bytes:
        try:
            return self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=MAX_RECORD_BYTES
            )
        except BlobNotFoundError as error:
            raise _gone(int(item.key.removeprefix(layout.SWEEP))) from error


def _view_of(log: SweepLog) -> SweepView:
    doomed = (item for sweep in log.open.values() for item in sweep.doomed())
    return SweepView(log.count, *_names(doomed))


def _names(doomed: Iterable[SweptObject]) -> tuple[frozenset[bytes], frozenset[str]]:
    """Tell packs, by their digests, from all other keys."""
    packs: set[bytes] = set()
    keys: set[str] = set()
    for item in doomed:
        pack = pack_of(item.key)
        if pack:
            packs.add(bytes.fromhex(pack))
        else:
            keys.add(item.key)
    return frozenset(packs), frozenset(keys)


def _prev(body: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(body["prev"])
    except (KeyError, TypeError, ValueError) as error:
        raise sweep_error() from error


def _gone(number: int) -> IntegrityError:
    return IntegrityError(
        f"sweep record {number} is gone",
        reason=Reason.RECORD_CORRUPT,
        hint="Restore the objects below sweep/ from a backup; find out who deleted.",
        number=number,
    )
