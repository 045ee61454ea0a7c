# SPDX-License-Identifier: Apache-2.0
"""What was written by grant, in the hands of verification, repair, index and sweeps."""

import uuid
from collections.abc import Iterator

import pytest

from strongroom.errors import ConflictError, PreconditionError, Reason
from strongroom.format.names import VersionName
from strongroom_server.core import filetable, index_segment
from strongroom_server.core.index_segment import FORMAT_BY_WRITERS
from strongroom_server.core.suites import FIPS_SUITE
from strongroom_server.services.sweeping import SweepSettings
from tests.support.copies import flip, stored, verify_store
from tests.support.granted_writers import Writer, digest_of, sha256
from tests.support.samples import filled
from tests.support.sweeps import DAY_S, Sweeper
from tests.support.world import ARTIFACT, World, memory_world

MIB = 2**20
BIG = filled("big", 3 * MIB)
FILES = {
    "big": BIG,
    **{f"s/{number}": filled(str(number), 3000) for number in range(9)},
}
WEEK = SweepSettings(min_age_s=0.0, grace_s=0.0, upload_age_s=7 * DAY_S)


@pytest.fixture
def writer() -> Iterator[Writer]:
    with memory_world() as world:
        yield Writer(world)


@pytest.mark.parametrize("without_keys", [True, False])
def test_a_store_with_granted_writes_has_no_findings(
    writer: Writer,
    without_keys: bool,
) -> None:
    writer.push(FILES)

    findings, report = verify_store(writer.world.reopened(), without_keys=without_keys)

    assert findings == []
    assert report.damaged_count == 0


def test_a_lie_about_a_chunk_is_found_in_the_store(writer: Writer) -> None:
    writer.claim("f", BIG, filled("said", 3 * MIB))

    findings, _ = verify_store(writer.world.reopened())

    assert findings


def test_damage_is_mended_from_the_files(writer: Writer) -> None:
    writer.push(FILES)
    item, data = max(stored(writer.world, "packs/"), key=lambda found: len(found[1]))
    flip(writer.world, item, data, 8 * 1000)
    world = writer.world.reopened()

    with world.repairing.begin(VersionName(ARTIFACT, "1")) as repair:
        wanted = [path for batch in repair.look() for path in batch]
        for path in wanted:
            repair.start_file(path, size_bytes=len(FILES[path]), executable=False)
            for offset in range(0, len(FILES[path]), MIB):
                block = FILES[path][offset : offset + MIB]
                repair.write(block, offset_bytes=offset)
            repair.end_file(sha256(FILES[path]))
        report = repair.finish()

    assert wanted
    assert report.damaged_paths == ()
    assert world.reopened().pull() == FILES
    # And whoever wrote it shares what was mended, if nothing of the damaged pack.
    writer.world = world.reopened()
    put_bytes = writer.put_bytes
    writer.push({**FILES, "new": b"1"})
    assert writer.put_bytes - put_bytes < len(BIG)


def test_a_new_index_finds_what_was_written(writer: Writer) -> None:
    writer.push(FILES)
    put_bytes = writer.put_bytes
    writer.world = writer.world.reopened()

    list(writer.world.index_rebuild.run())
    writer.push({**FILES, "new": b"1"})

    assert writer.put_bytes - put_bytes < MIB


def test_a_store_of_another_suite_is_written_and_read(writer: Writer) -> None:
    writer.world = writer.world.reopened(suite=FIPS_SUITE)
    writer.push(FILES)

    with writer.begin() as granted:
        assert granted.grant.suite.number == 0x0103
    assert writer.world.reopened().pull() == FILES


def test_a_sweep_keeps_what_a_version_needs(writer: Writer) -> None:
    writer.push(FILES)
    with writer.begin() as granted:
        writer.store(granted, [filled("garbage", MIB)])
    before = len(writer.world.keys("packs/"))
    sweeper = Sweeper(writer.world)

    for _ in range(2):
        sweeper.sweep()

    assert len(writer.world.keys("packs/")) == before - 1
    assert writer.world.reopened().pull() == FILES


def test_a_sweep_keeps_what_a_resumable_write_has_told(writer: Writer) -> None:
    writer.push({"b": b"b"})
    request_id = str(uuid.uuid4())
    with writer.begin(request_id=request_id, resumable=True) as granted:
        writer.write(granted, "a", BIG)
    put_bytes = writer.put_bytes
    sweeper = Sweeper(writer.world, WEEK)

    for _ in range(2):
        sweeper.sweep()

    writer.world = writer.world.reopened()
    with writer.begin(request_id=request_id, resumable=True) as granted:
        assert granted.position.file_count == 1
        granted.commit(file_count=1, digest=digest_of({"a": BIG}))
    assert writer.put_bytes == put_bytes
    assert writer.world.reopened().pull() == {"a": BIG}


def test_a_write_that_a_sweep_overtook_is_refused(writer: Writer) -> None:
    writer.push({"b": b"b"})
    sweeper = Sweeper(writer.world)
    with writer.begin() as granted:
        writer.write(granted, "a", BIG)
        for _ in range(2):
            sweeper.sweep()

        with pytest.raises(ConflictError) as caught:
            granted.commit(file_count=1, digest=digest_of({"a": BIG}))

    assert caught.value.reason is Reason.SWEEP_OVERTOOK
    # What was swept is stored again.
    writer.push({"a": BIG})
    assert writer.world.reopened().pull() == {"a": BIG}


def test_what_a_sweep_condemned_is_not_said_to_be_stored(writer: Writer) -> None:
    with writer.begin() as granted:
        writer.store(granted, [BIG])
    sweeper = Sweeper(writer.world)
    sweeper.sweep()

    with writer.begin() as granted:
        (named,) = granted.name([writer.chunk_name(granted, BIG)])

    assert named.key is not None


def test_an_older_release_is_told_that_it_cannot_read_it(writer: Writer) -> None:
    writer.push(FILES)
    world: World = writer.world
    artifact = world.repository.artifact(ARTIFACT)
    manifest = world.repository.manifests.load(
        artifact.scope, artifact.journal.artifact, artifact.history.versions[0]
    )
    entries = list(world.repository.manifests.entries(artifact.scope, manifest))

    page = filetable.format_page(entries)

    assert page.startswith(b'{"files":')
    assert b'"format":%d' % FORMAT_BY_WRITERS in page
    with pytest.raises(PreconditionError) as caught:
        index_segment.check_format(FORMAT_BY_WRITERS, "a page", newest=2)
    assert caught.value.reason is Reason.FORMAT_UNSUPPORTED
