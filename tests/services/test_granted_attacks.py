# SPDX-License-Identifier: Apache-2.0
"""A writer by grant that lies: it harms what it wrote itself, and nothing else."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import layout
from strongroom_server.core.codecs import Codec
from strongroom_server.core.records import Kind
from strongroom_server.core.write_grant import (
    MAX_OPEN_PACKS,
    DeltaBase,
    PackedChunk,
)
from strongroom_server.services.uploads import DraftCommitStart, Upload
from strongroom_server.services.uploads.by_grant import WriterUpload, WrittenFilePart
from tests.support.granted_writers import (
    OTHER,
    Writer,
    digest_of,
    sha256,
    written,
)
from tests.support.resumed import begin as begin_at_central
from tests.support.samples import filled
from tests.support.world import ARTIFACT, CALLER, World, memory_world

MIB = 2**20
REAL = filled("what everybody has", MIB)
LIE = filled("something else", MIB)
ELSEWHERE = ArtifactName("demo", "elsewhere")


@pytest.fixture
def liar() -> Iterator[Writer]:
    with memory_world() as world:
        yield Writer(world)


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(StrongroomError) as caught:
        call()
    return caught.value.reason


def refer(
    granted: WriterUpload, number: int, version_id: str, file: WrittenFilePart
) -> None:
    """Tell that a pack is stored, and a file of it."""
    granted.stored(number, version_id)
    granted.file(file)


def damaged_paths(world: World) -> list[str]:
    findings, _ = world.reopened().verify()
    return [finding.path for finding in findings if not finding.ok]


def test_a_lie_about_a_chunk_is_nobody_elses_chunk(liar: Writer) -> None:
    liar.claim("f", LIE, REAL)

    by_other = Writer(liar.world, OTHER).push({"f": REAL, "g": b"1"})
    by_central = liar.world.push({"f": REAL, "h": b"1"})

    assert min(by_other.version.stored_bytes, by_central.version.stored_bytes) > MIB
    world = liar.world.reopened()
    assert world.pull("2")["f"] == REAL
    assert world.pull("3")["f"] == REAL


@pytest.mark.parametrize("lies_of_chunks", [True, False])
def test_a_deep_verification_finds_a_lie(liar: Writer, lies_of_chunks: bool) -> None:
    liar.claim("f", LIE, REAL, lies_of_chunks=lies_of_chunks)
    liar.world.push({"f": REAL})

    assert damaged_paths(liar.world) == ["f"]


@pytest.mark.parametrize("lies_of_chunks", [True, False])
def test_a_lie_about_a_file_is_never_taken_by_its_digest(
    liar: Writer, lies_of_chunks: bool
) -> None:
    liar.claim("f", LIE, REAL, lies_of_chunks=lies_of_chunks)

    def same(upload: Upload | WriterUpload) -> None:
        upload.same_file("f", size_bytes=MIB, executable=False, digest=sha256(REAL))

    with begin_at_central(liar.world, base_version=1) as upload:
        assert reason_of(partial(same, upload)) is Reason.BASE_MISMATCH
    with Writer(liar.world, OTHER).begin(base_version=1) as granted:
        assert reason_of(partial(same, granted)) is Reason.BASE_MISMATCH
    # Nor does whoever has the bytes hear that they are there already.
    assert not liar.world.push({"f": REAL}).unchanged
    assert liar.world.reopened().pull() == {"f": REAL}


class Mappings:
    """Whole files in memory, found by their keys, as all readers of a node share."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}

    def find_mapping(self, key: str) -> int:
        """Return the number of a file, from 1 on; 0 if nobody has filled it."""
        return [*self.files].index(key) + 1 if key in self.files else 0

    def begin_mapping(self, key: str, size_bytes: int, _alive: object) -> "Mappings":
        self.files[key] = bytearray(size_bytes)
        return self

    @property
    def buffer(self) -> memoryview:
        return memoryview(self.files[list(self.files)[-1]])

    def finish(self) -> None:
        """Nothing is left to do."""

    def abandon(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is left to do."""


def test_a_lie_is_not_mapped_in_place_of_what_it_says_it_is(liar: Writer) -> None:
    world = liar.world
    liar.claim("f", LIE, REAL, lies_of_chunks=False)
    world.push({"f": REAL}, ELSEWHERE)
    room: Any = Mappings()

    for name in (VersionName(ARTIFACT, "1"), VersionName(ELSEWHERE, "1")):
        with world.downloads.open(name, paths=("f",), room=room) as download:
            list(download.mapped())

    assert [bytes(data) for data in room.files.values()] == [LIE, REAL]


def test_a_lie_stays_a_lie_in_a_draft_that_takes_it_over(liar: Writer) -> None:
    liar.claim("f", LIE, REAL)
    draft_id = str(uuid.uuid4())
    with liar.begin_part(draft_id) as part:
        liar.write(part, "g", b"1")
        part.finish(file_count=1)
    liar.world.drafts.commit(
        DraftCommitStart(ARTIFACT, draft_id, base_newest=True), caller=CALLER
    )

    with begin_at_central(liar.world, base_version=2) as upload:
        assert (
            reason_of(
                lambda: upload.same_file(
                    "f", size_bytes=MIB, executable=False, digest=sha256(REAL)
                )
            )
            is Reason.BASE_MISMATCH
        )


def test_what_central_stored_is_not_told_of_to_who_guesses_digests(
    liar: Writer,
) -> None:
    liar.world.push({"secret": REAL})
    Writer(liar.world, OTHER).push({"secret": LIE}, ELSEWHERE)

    with liar.begin() as granted:
        named = granted.name(
            [liar.chunk_name(granted, REAL), liar.chunk_name(granted, LIE)]
        )

    assert all(item.key is not None for item in named)


def test_no_key_opens_what_is_stored(liar: Writer) -> None:
    liar.push({"f": REAL})

    with liar.begin() as granted:
        (named,) = granted.name([liar.chunk_name(granted, REAL)])
    with liar.begin(ELSEWHERE) as granted:
        (there,) = granted.name([liar.chunk_name(granted, REAL)])

    assert named.key is None
    assert there.chunk_id != named.chunk_id


def test_a_pack_that_was_never_put_is_not_referred_to(liar: Writer) -> None:
    with liar.begin() as granted:
        name = liar.chunk_name(granted, REAL)
        packed = liar.pack(granted, [(name, REAL)])
        file = written("f", REAL, [name])
        assert reason_of(lambda: granted.file(file)) is Reason.ARGUMENT_INVALID
    # Told under a made-up version, and told to be there already.
    for version_id in ("made-up", ""):
        with liar.begin() as granted:
            packed = liar.pack(granted, [(name, REAL)])
            # Its own conflict: an alarm of lost data is not a writer's to ring.
            with pytest.raises(ConflictError) as caught:
                refer(granted, packed.number, version_id, file)
            assert caught.value.reason is Reason.CHUNK_MISSING

    assert liar.world.keys("manifests/") == []


@pytest.mark.parametrize("what", ["other bytes", "a bit of the end", "short"])
def test_another_object_under_the_packs_name_is_not_referred_to(
    liar: Writer, what: str
) -> None:
    with liar.begin() as granted:
        name = liar.chunk_name(granted, REAL)
        packed = liar.pack(granted, [(name, REAL)])
        data = {
            "other bytes": filled("other", len(packed.data)),
            "a bit of the end": packed.data[:-1] + bytes([packed.data[-1] ^ 1]),
            "short": packed.data[:-1],
        }[what]
        # Past what the URL allows, as by somebody who may write to the bucket.
        key = layout.pack_key(packed.digest.hex())
        version = liar.world.blobs.put_new(key, data)

        file = written("f", REAL, [name])
        found = reason_of(partial(refer, granted, packed.number, version, file))

    assert found is Reason.CHUNK_MISSING


def test_somebody_elses_pack_is_not_taken_for_ones_own(liar: Writer) -> None:
    world = liar.world
    world.push({"secret": REAL})
    (stolen,) = (
        item
        for item, data in world.bucket.objects()
        if item.key.startswith("packs/") and len(data) > MIB
    )
    with liar.begin() as granted:
        name = liar.chunk_name(granted, LIE)
        chunk = PackedChunk(name, stolen.size_bytes // 2, Codec.ZSTD)
        granted.seal([chunk])
        granted.put(0, bytes.fromhex(stolen.key[-64:]), crc32=0)

        file = written("f", LIE, [name])
        found = reason_of(partial(refer, granted, 0, stolen.version_id, file))

    assert found is Reason.CHUNK_MISSING


def test_a_chunk_that_nobody_stored_is_not_referred_to(liar: Writer) -> None:
    liar.world.push({"secret": REAL})
    with liar.begin() as granted:
        name = liar.chunk_name(granted, REAL)

        with pytest.raises(ConflictError) as caught:
            granted.file(written("f", REAL, [name]))

    assert caught.value.reason is Reason.CHUNK_MISSING


def test_a_url_is_good_for_one_object_once(liar: Writer) -> None:
    with liar.begin() as granted:
        name = liar.chunk_name(granted, REAL)
        packed = liar.pack(granted, [(name, REAL)])
        version = liar.put(packed)
        granted.stored(packed.number, version)
        granted.file(written("f", REAL, [name]))
        # Replayed: the store has such an object.
        assert liar.put(packed, data=filled("x", len(packed.data))) == ""
        granted.commit(file_count=1, digest=digest_of({"f": REAL}))
        assert reason_of(lambda: granted.put(0, packed.digest, crc32=0)) is (
            Reason.ARGUMENT_INVALID
        )

    assert liar.world.reopened().pull() == {"f": REAL}


def test_a_pack_has_one_digest(liar: Writer) -> None:
    with liar.begin() as granted:
        packed = liar.pack(granted, [(liar.chunk_name(granted, REAL), REAL)])

        again = granted.put(packed.number, packed.digest, crc32=0)
        with pytest.raises(InvalidArgumentError):
            granted.put(packed.number, bytes(32), crc32=0)
        with pytest.raises(InvalidArgumentError):
            granted.put(packed.number, packed.digest[:31], crc32=0)

    assert again.url == packed.put.url


@pytest.mark.parametrize(
    "base",
    [
        DeltaBase(bytes(32), "w"),
        DeltaBase(bytes(31), "w"),
        DeltaBase(bytes(32), "none"),
        DeltaBase(bytes(32), "../w"),
    ],
)
def test_a_delta_is_made_to_nothing_that_is_not_in_its_parent(
    liar: Writer, base: DeltaBase
) -> None:
    liar.world.push({"w": REAL}, kind=Kind.CHECKPOINT)
    with liar.begin() as granted:
        name = liar.chunk_name(granted, LIE)

        with pytest.raises(InvalidArgumentError):
            granted.seal([PackedChunk(name, 1000, Codec.DELTA, base)])


def test_a_delta_is_made_to_no_chunk_of_another_artifact(liar: Writer) -> None:
    world = liar.world
    world.push({"w": REAL}, kind=Kind.CHECKPOINT)
    world.push({"w": LIE}, ELSEWHERE, kind=Kind.CHECKPOINT)
    other = world.repository.artifact(ELSEWHERE)
    manifest = world.repository.manifests.load(
        other.scope, other.journal.artifact, other.history.versions[0]
    )
    (entry,) = world.repository.manifests.entries(other.scope, manifest)
    with liar.begin() as granted:
        name = liar.chunk_name(granted, LIE)
        base = DeltaBase(entry.chunks[0].chunk_id, "w")

        with pytest.raises(InvalidArgumentError):
            granted.seal([PackedChunk(name, 1000, Codec.DELTA, base)])


@pytest.mark.parametrize(
    ("sizes", "codec"),
    [
        ([(MIB, MIB + 71)], Codec.RAW),
        ([(MIB, 10)], Codec.ZSTD),
        ([(MIB, MIB + 72)], 9),
        ([(9 * MIB, 9 * MIB + 200)] * 2, Codec.ZSTD),
        ([(1, 73)] * 16_385, Codec.RAW),
    ],
)
def test_no_pack_is_sealed_that_could_not_be(
    liar: Writer, sizes: list[tuple[int, int]], codec: int
) -> None:
    with liar.begin() as granted:
        chunks = [
            PackedChunk((number.to_bytes(32, "big"), plain), stored, codec)
            for number, (plain, stored) in enumerate(sizes)
        ]

        with pytest.raises(InvalidArgumentError):
            granted.seal(chunks)


def test_a_bounded_number_of_packs_waits(liar: Writer) -> None:
    with liar.begin() as granted:
        for number in range(MAX_OPEN_PACKS):
            name = (number.to_bytes(32, "big"), 1)
            granted.seal([PackedChunk(name, 73, Codec.RAW)])

        with pytest.raises(InvalidArgumentError, match="sealed and not stored"):
            granted.seal([PackedChunk((bytes(32), 1), 73, Codec.RAW)])


@pytest.mark.parametrize(
    "path", ["", "/f", "../f", "a//b", "a/../b", "f/", "x" * 5000, "a\0b"]
)
def test_a_path_is_looked_at(liar: Writer, path: str) -> None:
    with liar.begin() as granted, pytest.raises(InvalidArgumentError):
        granted.file(written(path, b"", []))


def test_a_file_is_as_long_as_its_chunks(liar: Writer) -> None:
    with liar.begin() as granted:
        names = liar.store(granted, [REAL])
        cases = [
            written("a", REAL + b"1", names),
            written("a", REAL, []),
            written("a", b"", [], digest=sha256(REAL)),
            written("a", REAL, names, digest="sha256:none"),
        ]
        for case in cases:
            with pytest.raises(InvalidArgumentError):
                granted.file(case)


def test_a_version_has_the_digest_of_what_was_told(liar: Writer) -> None:
    with liar.begin() as granted:
        liar.write(granted, "f", REAL)

        with pytest.raises(IntegrityError):
            granted.commit(file_count=1, digest=digest_of({"f": LIE}))
        with pytest.raises(InvalidArgumentError):
            granted.commit(file_count=2, digest=digest_of({"f": REAL}))
