# SPDX-License-Identifier: Apache-2.0
"""The swap matrix: no stored thing opens in the place of another one.

Every thing is made for every place and opened at every place; both keys are the
same 32 bytes everywhere, so it is the binding that is tested and not luck.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, StrongroomError
from strongroom_server.core import cobblestone, slots
from strongroom_server.core import manifest as manifest_format
from strongroom_server.core.chunk import ChunkRef, decrypt_chunk, encrypt_chunk
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.journal import GENESIS, EntryPlace, verify_entry
from strongroom_server.core.manifest import Manifest, manifest_location
from strongroom_server.core.pack import (
    PackEntry,
    format_header,
    format_trailer,
    parse_directory,
)
from strongroom_server.core.scope import Scope
from strongroom_server.core.sealing import ObjectKind, open_object, seal_object
from strongroom_server.core.suites import SUITES
from tests.support.samples import (
    ARTIFACT_ID,
    CHUNK_ID,
    PROJECT,
    SALT,
    SCOPE,
    STORE,
    entry_at,
    filled,
    keys_of,
    other_scopes,
    signer,
)

SCOPES = [SCOPE, *other_scopes().values()]
LOCATIONS = ["a/1", "a/2", "a/10", ""]
ObjectPlace = tuple[Scope, ObjectKind, str]


def test_a_control_object_opens_at_its_own_place_only() -> None:
    places: list[ObjectPlace] = list(itertools.product(SCOPES, ObjectKind, LOCATIONS))
    objects = {
        place: seal_object(keys_of(place[0]), place[1], place[2], {"a": 1}, salt=SALT)
        for place in places
    }

    opened = [
        (made, place)
        for made, place in itertools.product(places, places)
        if opens(objects[made], place)
    ]

    assert opened == [(place, place) for place in places]


def opens(data: bytes, place: ObjectPlace) -> bool:
    scope, kind, location = place
    try:
        open_object(keys_of(scope), kind, location, data, max_bytes=100)
    except IntegrityError:
        return False
    return True


def test_a_control_object_with_the_header_of_another_place_is_refused() -> None:
    made = seal_object(keys_of(), ObjectKind.INDEX, "a", {"a": 1}, salt=SALT)

    for scope in other_scopes().values():
        other = seal_object(keys_of(scope), ObjectKind.INDEX, "a", {"a": 1}, salt=SALT)
        if other[:48] != made[:48]:
            assert not opens(other[:48] + made[48:], (scope, ObjectKind.INDEX, "a"))


def test_a_slot_opens_for_its_own_domain_and_epoch_only() -> None:
    made = {scope: slots.make_slot(keys_of(scope), "w", salt=SALT) for scope in SCOPES}

    for mine, theirs in itertools.permutations(SCOPES, 2):
        with pytest.raises(IntegrityError):
            slots.parse_slot(made[mine], theirs)
        parsed = replace(slots.parse_slot(made[mine], mine), scope=theirs)
        with pytest.raises(IntegrityError):
            slots.open_slot(parsed, keys_of().master)


PLAIN = bytes(100)
#: A chunk of another suite may have the same stored length, so nothing but the
#: context tells them apart.
CHUNKS = [
    (scope, suite, codec, chunk_id, plain_bytes)
    for scope in SCOPES
    for suite in SUITES
    for codec in Codec
    for chunk_id in (CHUNK_ID, filled("another chunk", 32))
    for plain_bytes in (100, 101)
]


def stored_chunk(
    scope: Scope, suite: int, codec: Codec, chunk_id: bytes, plain_bytes: int
) -> tuple[ChunkRef, bytes]:
    buffer = bytearray(cobblestone.encrypted_size(100, SUITES[suite].segment_bytes))
    encrypt_chunk(
        keys_of(scope),
        SUITES[suite],
        codec,
        chunk_id,
        PLAIN,
        plain_bytes=plain_bytes,
        salt=SALT,
        buffer=memoryview(buffer),
    )
    ref = ChunkRef(
        chunk_id, suite, codec, scope.epoch, "p", "v", 0, len(buffer), plain_bytes
    )
    return ref, bytes(buffer)


def test_a_chunk_opens_as_itself_only() -> None:
    made = [(chunk[0], *stored_chunk(*chunk)) for chunk in CHUNKS]

    opened = [
        (mine, theirs)
        for mine, theirs in itertools.product(range(len(made)), repeat=2)
        if decrypts(keys_of(made[theirs][0]), made[theirs][1], made[mine][2])
    ]

    honest = [
        number
        for number, chunk in enumerate(CHUNKS)
        if chunk[2] is Codec.RAW and chunk[4] == len(PLAIN)
    ]
    assert opened == [(number, number) for number in honest]


def decrypts(keys: DomainKeys, ref: ChunkRef, stored: bytes) -> bool:
    try:
        decrypt_chunk(keys, ref, memoryview(stored))
    except IntegrityError:
        return False
    return True


def test_a_directory_opens_in_its_own_pack_only() -> None:
    entry = PackEntry(CHUNK_ID, 64, 0, 0, 0)
    headers = {
        (scope, suite): format_header(scope, suite)
        for scope in SCOPES
        for suite in SUITES
    }
    trailers = {
        place: format_trailer(keys_of(place[0]), header, [entry], salt=SALT)
        for place, header in headers.items()
    }

    for mine, theirs in itertools.product(headers, repeat=2):
        data = headers[mine] + trailers[theirs]
        if mine == theirs:
            assert parse_directory(keys_of(mine[0]), data) == (entry,)
            continue
        for scope in (mine[0], theirs[0]):
            with pytest.raises(IntegrityError):
                parse_directory(keys_of(scope), data)


def journal_places() -> Iterator[EntryPlace]:
    stores = (STORE, filled("other", 16))
    projects = (PROJECT, filled("other project", 18))
    artifacts = (ARTIFACT_ID, filled("other artifact", 18))
    for store, project, artifact in itertools.product(stores, projects, artifacts):
        for number, prev in ((0, GENESIS), (1, GENESIS), (1, filled("prev", 32))):
            yield EntryPlace(store, project, artifact, number, prev)


def test_a_journal_entry_is_good_at_its_own_place_only() -> None:
    keys = signer()
    places = list(journal_places())
    entries = {place: entry_at(place, {"a": 1}, keys) for place in places}

    for mine, theirs in itertools.product(places, repeat=2):
        if mine == theirs:
            verify_entry(entries[mine], theirs, keys.public_keys())
            continue
        with pytest.raises(IntegrityError):
            verify_entry(entries[mine], theirs, keys.public_keys())


def test_the_body_of_a_journal_entry_is_good_at_its_own_number_only() -> None:
    places = [place for place in journal_places() if place.prev == GENESIS]
    sealed = {
        place: seal_object(
            keys_of(), ObjectKind.JOURNAL, place.location, {"a": 1}, salt=SALT
        )
        for place in places
        if place.store == STORE
    }

    for mine, theirs in itertools.permutations(sealed, 2):
        assert not opens(sealed[mine], (SCOPE, ObjectKind.JOURNAL, theirs.location))


def test_a_manifest_is_good_for_its_own_artifact_only() -> None:
    empty = "sha256:" + filled("digest", 32).hex()
    artifacts = [ARTIFACT_ID, filled("other artifact", 18)]

    for mine, theirs in itertools.permutations(artifacts, 2):
        body = manifest_format.format_manifest(Manifest(mine, empty, 0, 0, ()))
        data = seal_object(
            keys_of(), ObjectKind.MANIFEST, manifest_location(mine), body, salt=SALT
        )
        place = (SCOPE, ObjectKind.MANIFEST, manifest_location(theirs))
        assert not opens(data, place)
        with pytest.raises(StrongroomError):
            manifest_format.parse_manifest(body, theirs)
