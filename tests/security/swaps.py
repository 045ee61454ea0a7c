# SPDX-License-Identifier: Apache-2.0
"""The crypto swap matrix: nothing that is stored stands in for anything else.

First thing by thing, with the same two keys everywhere, so that it is the binding
that refuses and not luck; then on a store whose administrator puts each object in
the place of each other one.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from strongroom.errors import Reason
from strongroom.format.names import ProjectName
from strongroom_server.core import layout, slots
from strongroom_server.core.chunk import decrypt_chunk
from strongroom_server.core.codecs import Codec
from strongroom_server.core.journal import EntryPlace, verify_entry
from strongroom_server.core.pack import (
    PackEntry,
    format_header,
    format_trailer,
    parse_directory,
)
from strongroom_server.core.scope import Scope
from strongroom_server.core.sealing import ObjectKind, open_object, seal_object
from strongroom_server.core.suites import SUITES
from tests.core.test_swaps import (
    CHUNKS,
    LOCATIONS,
    PLAIN,
    SCOPES,
    journal_places,
    stored_chunk,
)
from tests.security.attacks import Attack, Family, RefusedError, Try, reasons
from tests.security.subject import REASONS, Subject, always, read_keys
from tests.support.samples import CHUNK_ID, MASTER, SALT, entry_at, keys_of, signer
from tests.support.world import ARTIFACT

#: What became of a segment that a writer did without.
PASSED_OVER: Final = "PASSED_OVER"
#: What gives a thing its meaning, by name.
Place = Mapping[str, Any]


def matrix(
    thing: str,
    by: frozenset[str],
    made: Sequence[tuple[Place, Any]],
    opened: Callable[[Any, Any, Any], object],
) -> list[Attack]:
    """Return an attack for each way in which two places differ.

    Args:
        thing: What is swapped.
        by: What may refuse it.
        made: Each place, and the thing that was made for it.
        opened: Opens at the first thing's place the second thing; the third is
            the first place.
    """
    rows: dict[str, list[Try]] = defaultdict(list)
    for (mine, own), (theirs, other) in itertools.permutations(made, 2):
        differing = [name for name in mine if mine[name] != theirs[name]]
        what = differing[0] if len(differing) == 1 else "place, in several ways"
        rows[what].append(partial(opened, own, other, mine))

    def honest() -> None:
        for place, own in made:
            opened(own, own, place)

    return [
        Attack(f"{thing} of another {what}", by, honest, tries)
        for what, tries in sorted(rows.items())
    ]


def _of_scope(scope: Scope) -> dict[str, Any]:
    return {
        "store": scope.store,
        "project": scope.project,
        "domain": scope.domain,
        "epoch": scope.epoch,
    }


def _control_objects(*, thorough: bool) -> list[Attack]:
    kinds = list(ObjectKind) if thorough else [ObjectKind.MANIFEST, ObjectKind.INDEX]
    made = []
    for scope, kind, location in itertools.product(SCOPES, kinds, LOCATIONS):
        place = _of_scope(scope) | {"kind": kind, "location": location, "": scope}
        data = seal_object(keys_of(scope), kind, location, {"a": 1}, salt=SALT)
        made.append((place, data))

    def opened(_: bytes, other: bytes, place: Place) -> object:
        keys = keys_of(place[""])
        kind, location = place["kind"], place["location"]
        return open_object(keys, kind, location, other, max_bytes=100)

    # The scope as a whole differs wherever a part of it does.
    parts = [({k: v for k, v in p.items() if k}, (p, data)) for p, data in made]
    return matrix(
        "a control object",
        reasons(Reason.RECORD_CORRUPT),
        parts,
        lambda own, other, _: opened(own[1], other[1], own[0]),
    )


def _slots() -> list[Attack]:
    made = [
        (_of_scope(scope), (scope, slots.make_slot(keys_of(scope), "w", salt=SALT)))
        for scope in SCOPES
    ]

    def opened(own: Any, other: Any, _: Place) -> object:  # noqa: ANN401
        return slots.open_slot(slots.parse_slot(other[1], own[0]), MASTER)

    return matrix("a key slot", reasons(Reason.KEY_SLOT_CORRUPT), made, opened)


def _chunks(*, thorough: bool) -> list[Attack]:
    picked = [
        chunk
        for chunk in CHUNKS
        if thorough or (chunk[1] in {1, 4} and chunk[2] is Codec.RAW)
    ]
    # What is no honest chunk stands in for others, but has no place of its own.
    honest = [one for one in picked if one[2] is Codec.RAW and one[4] == len(PLAIN)]
    names = ("suite", "codec", "id", "length")
    rows: dict[str, list[Try]] = defaultdict(list)
    stored = {chunk: stored_chunk(*chunk) for chunk in picked}
    for mine, theirs in itertools.product(honest, picked):
        if mine == theirs:
            continue
        places = [
            _of_scope(one[0]) | dict(zip(names, one[1:], strict=True))
            for one in (mine, theirs)
        ]
        differing = [name for name in places[0] if places[0][name] != places[1][name]]
        what = differing[0] if len(differing) == 1 else "place, in several ways"
        data = memoryview(stored[theirs][1])
        ref = stored[mine][0]
        rows[what].append(partial(decrypt_chunk, keys_of(mine[0]), ref, data))

    def whole() -> None:
        for chunk in honest:
            ref, data = stored[chunk]
            decrypt_chunk(keys_of(chunk[0]), ref, memoryview(data))

    by = reasons(Reason.CHUNK_CORRUPT)
    return [
        Attack(f"a chunk of another {what}", by, whole, tries)
        for what, tries in sorted(rows.items())
    ]


def _directories() -> list[Attack]:
    entry = PackEntry(CHUNK_ID, 64, 0, 0, 0)
    made = []
    for scope, suite in itertools.product(SCOPES, SUITES):
        header = format_header(scope, suite)
        trailer = format_trailer(keys_of(scope), header, [entry], salt=SALT)
        place = _of_scope(scope) | {"suite": suite}
        made.append((place, (scope, header, trailer)))

    def opened(own: Any, other: Any, _: Place) -> object:  # noqa: ANN401
        return parse_directory(keys_of(own[0]), own[1] + other[2])

    by = reasons(Reason.RECORD_CORRUPT, Reason.CHUNK_CORRUPT)
    return matrix("a pack's directory", by, made, opened)


def _journal_entries() -> list[Attack]:
    keys = signer()
    public = keys.public_keys()
    made = []
    for place in journal_places():
        fields = {
            "store": place.store,
            "project": place.project,
            "artifact": place.artifact,
            "number": place.number,
            "predecessor": place.prev,
        }
        made.append((fields, (place, entry_at(place, {"a": 1}, keys))))

    def opened(own: tuple[EntryPlace, bytes], other: Any, _: Place) -> object:  # noqa: ANN401
        return verify_entry(other[1], own[0], public)

    by = reasons(Reason.JOURNAL_CORRUPT)
    return matrix("a journal entry", by, made, opened)


def _relation(key: str, other: str) -> str:
    """Say how two objects of a folder differ, by where they lie."""
    folder, *mine = key.split("/")
    theirs = other.split("/")[1:]
    parts = {
        "keys": ("domain", "epoch or number"),
        "projects": ("project",),
        "journals": ("project", "artifact", "number"),
        "index": ("domain", "time"),
    }.get(folder)
    if parts is None:
        return "digest"
    return next(
        name for name, own, its in zip(parts, mine, theirs, strict=True) if own != its
    )


def _stored_objects(subject: Subject) -> Iterator[Attack]:
    rows: dict[tuple[str, str], list[Try]] = defaultdict(list)
    folders = sorted(set(REASONS) - {"index"})
    for folder in folders:
        keys = subject.keys(folder)
        for key, other in itertools.product(read_keys(subject, folder), keys):
            if key != other:
                change = always(subject.data(other))
                row = rows[folder, f"another {_relation(key, other)}"]
                row.append(partial(subject.read_tampered, key, change))
    for folder, other_folder in itertools.product(folders, REASONS):
        for key in read_keys(subject, folder)[:1]:
            if folder != other_folder:
                change = always(subject.data(subject.keys(other_folder)[0]))
                row = rows[folder, "another type"]
                row.append(partial(subject.read_tampered, key, change))
    for (folder, what), tries in sorted(rows.items()):
        by = reasons(*REASONS[folder], Reason.FORMAT_UNSUPPORTED)
        name = f"{folder}: an object of {what} in its place"
        yield Attack(name, by, subject.look, tries)


def _index_segments(subject: Subject) -> Attack:
    """Return the attack on what only writers read, and pass over if it is bad."""
    keys = subject.keys("index")

    def write_tampered(key: str, other: str) -> None:
        subject.blobs.alter(key, always(subject.data(other)))
        try:
            fresh = subject.world.reopened()
            fresh.push({"new": b"file"})
            assert fresh.pull() == {"new": b"file"}
        finally:
            subject.blobs.restore()
        if fresh.repository.chunk_index.damaged_segments:
            raise RefusedError(PASSED_OVER)

    pairs = [
        (key, other)
        for key, other in itertools.permutations(keys, 2)
        # A writer of one project reads the segments of that one.
        if any(key.startswith(prefix) for prefix in _read_indexes(subject))
    ]
    return Attack(
        "index: an object of another domain or time in its place",
        reasons(PASSED_OVER),
        subject.look,
        [partial(write_tampered, key, other) for key, other in pairs],
    )


def _read_indexes(subject: Subject) -> Iterator[str]:
    project = subject.world.repository.projects.get(ProjectName(ARTIFACT.project))
    yield layout.index_prefix(project.scope.domain)


@contextmanager
def _things(thorough: bool) -> Iterator[Sequence[Attack]]:
    yield [
        *_control_objects(thorough=thorough),
        *_slots(),
        *_chunks(thorough=thorough),
        *_directories(),
        *_journal_entries(),
    ]


@contextmanager
def _objects(thorough: bool) -> Iterator[Sequence[Attack]]:
    subject = Subject()
    try:
        yield [*_stored_objects(subject), _index_segments(subject)]
    finally:
        subject.executor.shutdown()


THINGS: Final = Family("swapped things", _things)
OBJECTS: Final = Family("swapped objects", _objects)
