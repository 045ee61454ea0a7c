# SPDX-License-Identifier: Apache-2.0
"""Writing by grant: it reads as from anybody, and one writer shares it with itself."""

import uuid
from collections.abc import Iterator

import pytest

from strongroom.errors import (
    ExhaustedError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.codecs import Codec
from strongroom_server.core.policy import Cuts
from strongroom_server.core.records import ArtifactPolicy, Kind
from strongroom_server.core.write_grant import (
    MAX_FILE_CHUNKS,
    DeltaBase,
    PackedChunk,
    max_file_chunks,
)
from strongroom_server.repository import writer_packs
from strongroom_server.services.uploads import DraftCommitStart
from tests.support.exclusive import shred_artifact
from tests.support.granted_writers import (
    OTHER,
    SIDECAR,
    Writer,
    digest_of,
    sha256,
    written,
)
from tests.support.samples import filled
from tests.support.world import ARTIFACT, CALLER, World, memory_world

MIB = 2**20
BIG = filled("weights", 3 * MIB + 17)
FILES = {
    "a/empty": b"",
    "big.bin": BIG,
    **{f"small/{number:03d}": b"%d" % number * 50 for number in range(20)},
}


@pytest.fixture
def writer() -> Iterator[Writer]:
    with memory_world() as world:
        yield Writer(world)


def record(world: World, number: int) -> tuple[str, ...]:
    """Return by whom a version was digested."""
    name = VersionName(ARTIFACT, str(number))
    return world.artifacts.get_version(name).digested_by


def test_what_is_written_by_grant_reads_as_from_anybody(writer: Writer) -> None:
    result = writer.push(FILES, executables=frozenset({"big.bin"}))

    assert (result.version.number, result.unchanged) == (1, False)
    assert result.version.digest == digest_of(FILES)
    assert result.version.creator == SIDECAR
    world = writer.world.reopened()
    assert world.pull() == FILES
    findings, report = world.verify()
    assert all(finding.ok for finding in findings)
    assert report.damaged_count == 0


def test_a_version_says_by_whom_it_was_digested(writer: Writer) -> None:
    writer.push(FILES)
    writer.world.push({**FILES, "more": b"1"})

    assert record(writer.world.reopened(), 1) == (SIDECAR,)
    assert record(writer.world.reopened(), 2) == ()


def test_a_writer_shares_what_it_wrote_itself_and_is_told_no_key_of_it(
    writer: Writer,
) -> None:
    writer.push(FILES)
    put_bytes = writer.put_bytes
    changed = {**FILES, "big.bin": BIG[: 2 * MIB] + b"other"}

    result = writer.push(changed)

    assert writer.put_bytes - put_bytes < MIB
    assert result.version.stored_bytes < MIB
    assert writer.world.reopened().pull() == changed
    with writer.begin() as granted:
        known, new = granted.name(
            [writer.chunk_name(granted, BIG[:MIB]), writer.chunk_name(granted, b"new")]
        )
    assert known.key is None
    assert new.key is not None


def test_nobody_shares_what_another_writer_or_the_server_named(writer: Writer) -> None:
    writer.push(FILES)
    writer.world.push({"big.bin": BIG, "more": b"1"})
    other = Writer(writer.world, OTHER)

    with other.begin() as granted:
        named = granted.name([other.chunk_name(granted, BIG[:MIB])])
    with writer.begin() as own:
        mine = own.name([writer.chunk_name(own, BIG[:MIB])])
    with writer.begin(ArtifactName("demo", "else")) as elsewhere:
        there = elsewhere.name([writer.chunk_name(elsewhere, BIG[:MIB])])

    assert named[0].key is not None
    assert mine[0].key is None
    assert there[0].key is not None
    ids = {item.chunk_id for item in (*named, *mine, *there)}
    assert len(ids) == 3


def test_what_central_stored_is_stored_again_by_grant_and_the_other_way_round(
    writer: Writer,
) -> None:
    world = writer.world
    world.push({"f": BIG})
    by_grant = writer.push({"f": BIG, "g": b"1"})
    again = world.push({"f": BIG, "h": b"1"})
    late = writer.push({"f": BIG, "i": b"1"})

    assert by_grant.version.stored_bytes > len(BIG)
    assert again.version.stored_bytes < MIB  # of its own first version
    assert late.version.stored_bytes < MIB


def test_equal_content_makes_no_version_for_the_same_writer_only(
    writer: Writer,
) -> None:
    writer.push(FILES)

    assert writer.push(FILES).unchanged
    # Neither the server nor another writer takes it for what its digest says.
    other = Writer(writer.world, OTHER).push(FILES)
    assert (other.version.number, other.unchanged) == (2, False)
    own = writer.world.push(FILES)
    assert (own.version.number, own.unchanged) == (3, False)
    assert writer.world.push(FILES).unchanged
    assert record(writer.world, 2) == (OTHER,)
    assert record(writer.world, 3) == ()


def test_an_unchanged_file_is_taken_from_a_version_of_the_same_writer(
    writer: Writer,
) -> None:
    writer.push({"a": BIG, "b": b"2"})

    with writer.begin(base_version=1) as granted:
        granted.same_file(
            "a", size_bytes=len(BIG), executable=False, digest=sha256(BIG)
        )
        writer.write(granted, "b", b"3")
        granted.commit(file_count=2, digest=digest_of({"a": BIG, "b": b"3"}))

    assert writer.world.reopened().pull("2") == {"a": BIG, "b": b"3"}
    assert record(writer.world, 2) == (SIDECAR,)


def test_an_unchanged_file_is_taken_from_a_version_that_the_server_digested(
    writer: Writer,
) -> None:
    writer.world.push({"a": BIG})

    with writer.begin(base_version=1) as granted:
        granted.same_file(
            "a", size_bytes=len(BIG), executable=False, digest=sha256(BIG)
        )
        writer.write(granted, "b", b"3")
        granted.commit(file_count=2, digest=digest_of({"a": BIG, "b": b"3"}))

    assert writer.world.reopened().pull("2") == {"a": BIG, "b": b"3"}
    assert record(writer.world, 2) == (SIDECAR,)


def test_a_delta_is_made_to_a_chunk_of_the_newest_version(writer: Writer) -> None:
    base = filled("base", MIB)
    changed = bytearray(base)
    changed[1000] ^= 1
    data = bytes(changed)
    writer.world.push({"w": base}, kind=Kind.CHECKPOINT)
    world = writer.world
    first = world.repository.artifact(ARTIFACT)
    manifest = world.repository.manifests.load(
        first.scope, first.journal.artifact, first.history.versions[0]
    )
    (entry,) = world.repository.manifests.entries(first.scope, manifest)
    (ref,) = entry.chunks

    with writer.begin() as granted:
        assert granted.grant.delta_base == 1
        assert granted.grant.codec.value == "delta"
        name = writer.chunk_name(granted, data)
        bases = {name: (DeltaBase(ref.chunk_id, "w"), base)}
        packed = writer.pack(granted, [(name, data)], bases=bases)
        granted.stored(packed.number, writer.put(packed))
        granted.file(written("w", data, [name]))
        result = granted.commit(file_count=1, digest=digest_of({"w": data}))

    assert result.version.stored_bytes < MIB // 4
    world = world.reopened()
    assert world.pull("2") == {"w": data}
    assert world.verify()[1].damaged_count == 0
    # Only this writer makes deltas to what nobody else has seen.
    changed[2000] ^= 1
    assert not Writer(world, OTHER).begin().grant.delta_base
    assert writer.begin().grant.delta_base == 2


def test_nobody_makes_deltas_to_what_another_has_written(writer: Writer) -> None:
    base = filled("base", MIB)
    data = base[:1000] + b"?" + base[1001:]
    writer.push({"w": base}, kind=Kind.CHECKPOINT)

    with Writer(writer.world, OTHER).begin() as granted:
        name = writer.chunk_name(granted, data)
        packed = PackedChunk(name, 1000, Codec.DELTA, DeltaBase(bytes(32), "w"))
        with pytest.raises(InvalidArgumentError, match="base"):
            granted.seal([packed])
    own = writer.world.push({"w": data})
    assert own.version.stored_bytes > MIB
    assert writer.world.push({"w": base}).version.stored_bytes < MIB // 4
    assert writer.world.reopened().pull("3")["w"] == base


def test_who_may_not_read_is_told_of_no_base(writer: Writer) -> None:
    writer.world.push({"w": BIG}, kind=Kind.CHECKPOINT)
    writer.may_read = False

    with writer.begin() as granted:
        assert granted.grant.delta_base == 0
        name = (b"\0" * 32, 10)
        with pytest.raises(InvalidArgumentError, match="base"):
            writer.pack(
                granted,
                [(name, b"0123456789")],
                bases={name: (DeltaBase(bytes(32), "w"), b"0123456789")},
            )


def test_cuts_by_content_are_keyed_for_one_writer_and_artifact(writer: Writer) -> None:
    writer.world.push({"w": b"1"})
    writer.world.retention.set_policy(
        ARTIFACT,
        ArtifactPolicy(cuts=Cuts.CONTENT),
        reason="r",
        request_id=str(uuid.uuid4()),
        caller=CALLER,
        etag="",
    )
    keys = []
    for who in (writer, writer, Writer(writer.world, OTHER)):
        with who.begin() as granted:
            assert granted.grant.cuts is Cuts.CONTENT
            keys.append(granted.grant.cut_key)
    artifact = writer.world.repository.artifact(ARTIFACT)
    own = writer.world.repository.keyring.open_newest(artifact.scope)

    assert keys[0] == keys[1] != keys[2]
    assert own.cut_key() not in keys


def test_a_draft_of_several_writers_says_by_whom_it_was_digested(
    writer: Writer,
) -> None:
    world, other = writer.world, Writer(writer.world, OTHER)
    world.push({"base": BIG, "gone": b"1"})
    draft_id = str(uuid.uuid4())
    for who, path in ((writer, "one"), (other, "two")):
        with who.begin_part(draft_id) as part:
            who.write(part, path, path.encode() * 1000)
            if who is other:
                part.remove("gone")
            part.finish(file_count=1)

    result = world.drafts.commit(
        DraftCommitStart(ARTIFACT, draft_id, base_newest=True), caller=CALLER
    )

    assert result.version.digested_by == tuple(sorted((SIDECAR, OTHER)))
    expected = {"base": BIG, "one": b"one" * 1000, "two": b"two" * 1000}
    assert world.reopened().pull() == expected
    # A draft on it keeps what it takes over, and says so.
    draft_id = str(uuid.uuid4())
    with Writer(world, OTHER).begin_part(draft_id, replaces=True) as part:
        part.copy_file("three", version="2", source_path="one")
        part.remove("two")
        part.finish(file_count=1)
    result = world.drafts.commit(
        DraftCommitStart(ARTIFACT, draft_id, base_newest=True), caller=CALLER
    )
    assert result.version.digested_by == (SIDECAR,)


def test_a_file_of_many_chunks_comes_in_parts(writer: Writer) -> None:
    with writer.begin() as granted:
        names = writer.store(granted, [BIG[:MIB], BIG[MIB:]])
        granted.file(written("f", BIG, names[:1], unfinished=True))
        with pytest.raises(InvalidArgumentError, match="not ended"):
            granted.file(written("g", b"", []))
        with pytest.raises(InvalidArgumentError, match="not ended"):
            granted.commit(file_count=1, digest=digest_of({"f": BIG}))
        granted.file(written("f", BIG, names[1:]))
        granted.commit(file_count=1, digest=digest_of({"f": BIG}))

    assert writer.world.pull() == {"f": BIG}


def test_what_is_known_outlives_what_is_remembered(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_packs, "MAX_REMEMBERED", 2)
    monkeypatch.setattr(writer_packs, "INDEX_CHUNKS", 1)
    files = {f"{number:02d}": b"%d" % number * 50 for number in range(10)}
    with writer.begin() as granted:
        names = [writer.store(granted, [data]) for data in files.values()]
        for (path, data), chunks in zip(files.items(), names, strict=True):
            granted.file(written(path, data, chunks))
        granted.commit(file_count=10, digest=digest_of(files))

    assert writer.world.reopened().pull() == files


def test_a_pack_that_was_there_already_is_found(writer: Writer) -> None:
    with writer.begin() as granted:
        name = writer.chunk_name(granted, BIG[:MIB])
        packed = writer.pack(granted, [(name, BIG[:MIB])])
        assert writer.put(packed)
        # Its answer was lost.
        assert writer.put(packed) == ""
        granted.stored(packed.number, "")
        granted.file(written("f", BIG[:MIB], [name]))
        granted.commit(file_count=1, digest=digest_of({"f": BIG[:MIB]}))

    assert writer.world.reopened().pull() == {"f": BIG[:MIB]}


def test_a_shredding_ends_a_write(writer: Writer) -> None:
    writer.world.push({"f": b"1"}, exclusive=True)
    with writer.begin() as granted:
        names = writer.store(granted, [b"1234"])
        shred_artifact(writer.world, ARTIFACT)

        steps = (
            lambda: granted.name(names),
            lambda: granted.seal([]),
            lambda: granted.put(1, bytes(32), crc32=0),
            lambda: granted.file(written("f", b"1234", names)),
        )
        for step in steps:
            with pytest.raises(PreconditionError) as caught:
                step()
            assert caught.value.reason is Reason.KEY_SHREDDED


def test_codecs_beyond_the_policy_are_refused(writer: Writer) -> None:
    writer.world.push({"f": b"1"}, kind=Kind.WEIGHTS)
    with writer.begin() as granted:
        name = writer.chunk_name(granted, bytes(MIB))
        packed = writer.pack(granted, [(name, bytes(MIB))], codec=Codec.ZSTD)
        assert len(packed.data) < MIB // 2
        with pytest.raises(InvalidArgumentError, match="codec"):
            writer.pack(
                granted,
                [(name, bytes(MIB))],
                bases={name: (DeltaBase(bytes(32), "f"), bytes(MIB))},
            )


def test_a_file_of_few_bytes_has_no_table_of_many_chunks(writer: Writer) -> None:
    most = max_file_chunks(2000)
    with writer.begin() as granted:
        [name] = writer.store(granted, [b"1"])
        granted.file(written("a", b"1" * most, [name] * most))
        granted.file(written("b", b"1" * (most + 1), [name] * most, unfinished=True))
        with pytest.raises(ExhaustedError) as caught:
            granted.file(written("b", b"1" * (most + 1), [name]))

    assert caught.value.reason is Reason.TOO_LARGE
    assert max_file_chunks(10 * 2**30) == 1024 + 40 * 1024
    assert max_file_chunks(2**62) == MAX_FILE_CHUNKS
