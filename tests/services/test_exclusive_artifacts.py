# SPDX-License-Identifier: Apache-2.0
"""An artifact with a key domain of its own: all that is written of it is in there."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import ConflictError, NotFoundError, PreconditionError, Reason
from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.core import layout
from strongroom_server.core import pack as pack_format
from strongroom_server.core.history import Created
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.core.scope import format_id
from strongroom_server.core.sealing import ObjectKind, parse_object_header
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.core.verify_records import StoreFinding, StoreReport
from strongroom_server.ports import BlobVersion
from strongroom_server.services.sweeping import ObjectExplanation, ObjectState
from tests.support import sweeps
from tests.support.damage import one_byte_changed
from tests.support.exclusive import (
    ALONE,
    OTHER,
    PROJECT,
    SECRET,
    SHARED,
    exclusive_world,
    scope_of,
)
from tests.support.world import CALLER, World, memory_world


@pytest.fixture
def world() -> Iterator[World]:
    with exclusive_world() as made:
        yield made


def create(world: World, name: ArtifactName, *, exclusive: bool = True) -> object:
    return world.artifacts.create_artifact(
        name,
        kind=None,
        exclusive=exclusive,
        may_create_project=True,
        caller=CALLER,
        request_id=str(uuid.uuid4()),
    )


def packs_of(world: World, domain: bytes) -> list[tuple[BlobVersion, bytes]]:
    """Return the packs of a key domain, oldest first."""
    store, size = world.repository.keyring.store, pack_format.HEADER.size
    return [
        (item, data)
        for item, data in world.bucket.objects()
        if item.key.startswith(layout.PACKS)
        and pack_format.parse_header(data[:size], store).scope.domain == domain
    ]


def pack_of_first(world: World) -> tuple[BlobVersion, bytes]:
    """Return the pack that holds the first file of the first version of `ALONE`."""
    artifact = world.repository.artifact(ALONE)
    manifests, version = world.repository.manifests, artifact.history.versions[0]
    manifest = manifests.load(artifact.scope, artifact.journal.artifact, version)
    entry = next(iter(manifests.entries(artifact.scope, manifest)))
    key = layout.pack_key(entry.chunks[0].pack)
    return next(found for found in world.bucket.objects() if found[0].key == key)


def flip(world: World, item: BlobVersion, data: bytes) -> None:
    flipped = data[:70] + bytes([data[70] ^ 1]) + data[71:]
    world.bucket.corrupt(item.key, item.version_id, flipped)


def domains_in_headers(world: World, prefix: str) -> set[bytes]:
    """Return whose the packs, or manifests, below a prefix say that they are."""
    store, found = world.repository.keyring.store, set()
    for item, data in world.bucket.objects():
        if item.key.startswith(prefix):
            if prefix == layout.PACKS:
                header = data[: pack_format.HEADER.size]
                found.add(pack_format.parse_header(header, store).scope.domain)
            else:
                kind = ObjectKind.MANIFEST
                found.add(parse_object_header(data, store, kind).scope.domain)
    return found


def sweep(world: World) -> None:
    *_, plan = world.sweeping.plan()
    assert isinstance(plan, SweepPlan)
    request_id = str(uuid.uuid4())
    for _ in world.sweeping.apply(
        world.sweeping.encode(plan), reason="", request_id=request_id, caller=CALLER
    ):
        pass


def test_all_that_is_stored_of_it_is_in_its_own_domain(world: World) -> None:
    own = {scope_of(world, name).domain for name in (ALONE, OTHER, SHARED)}

    assert len(own) == 3
    assert scope_of(world, SHARED) == world.repository.projects.get(PROJECT).scope
    assert domains_in_headers(world, layout.PACKS) == own
    assert domains_in_headers(world, layout.MANIFESTS) == own
    for domain in own:
        assert world.keys(layout.index_prefix(domain))
        assert world.keys(layout.slots_prefix(domain))
    for name, versions in ((ALONE, 2), (OTHER, 1), (SHARED, 1)):
        record = world.artifacts.get_artifact(name)
        assert (record.latest_version, record.exclusive) == (versions, name != SHARED)
        assert world.reopened().pull("1", name) == SECRET


def test_nothing_is_shared_across_domains_and_all_of_it_within(world: World) -> None:
    own = scope_of(world, ALONE).domain
    packs = packs_of(world, own)

    assert world.push({"c": SECRET["a"]}, ALONE).version.number == 3

    # Its file table is new; the chunk is the one that it has.
    (fresh,) = packs_of(world, own)[len(packs) :]
    assert len(fresh[1]) < len(SECRET["a"])


def test_a_call_of_its_own_makes_one_as_a_push_does(world: World) -> None:
    made = ArtifactName("demo", "made")
    create(world, made)

    assert world.artifacts.get_artifact(made).exclusive
    world.push({"a": b"1"}, made)
    assert world.reopened().pull("1", made) == {"a": b"1"}
    create(world, made)  # once more changes nothing
    entries = world.repository.artifact(made).history.entries
    assert sum(isinstance(item.entry, Created) for item in entries) == 1


def test_one_that_shares_its_project_s_domain_stays_so(world: World) -> None:
    calls: list[Callable[[], object]] = [
        lambda: create(world, SHARED),
        lambda: world.push({"a": b"1"}, SHARED, exclusive=True),
        lambda: world.shredding.preview(SHARED),
        lambda: world.key_life.start_epoch(SHARED, after=0),
    ]
    for call in calls:
        with pytest.raises(PreconditionError) as caught:
            call()
        assert caught.value.reason is Reason.DOMAIN_SHARED
        assert caught.value.hint
    # Who does not ask for it need not know.
    create(world, ALONE, exclusive=False)
    assert world.push({"a": b"1"}, ALONE).version.number == 3


def test_an_artifact_of_no_project_is_not_made_if_that_may_not_be(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.artifacts.create_artifact(
            ArtifactName("nowhere", "a"),
            kind=None,
            exclusive=True,
            may_create_project=False,
            caller=CALLER,
            request_id="r",
        )
    assert len(world.keys(layout.PROJECTS)) == 1


def test_of_creators_at_once_all_get_the_same_domain() -> None:
    name = ArtifactName("demo", "new")
    with memory_world() as world:
        world.push({"a": b"1"}, SHARED)
        engines = [world.reopened() for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda engine: create(engine, name), engines))

        scopes = {scope_of(engine, name) for engine in engines}
        assert len(scopes) == 1
        assert len(world.key_service._keks) == 3  # the store's, the project's, its own


def test_an_upload_that_began_in_another_domain_makes_no_version(world: World) -> None:
    name = ArtifactName("demo", "new")
    digester = VersionDigester()
    digester.add("a", 1, sweeps.digest_of(b"1"))
    with world.begin(name) as upload:
        upload.start_file("a", size_bytes=1, executable=False)
        upload.write(b"1", offset_bytes=0)
        create(world.reopened(), name)
        upload.end_file(sweeps.digest_of(b"1"))

        with pytest.raises(ConflictError) as caught:
            upload.commit(file_count=1, digest=digester.digest())

    assert caught.value.reason is Reason.JOURNAL_CONTENDED
    assert world.artifacts.get_artifact(name).latest_version == 0
    assert world.push({"a": b"1"}, name).version.number == 1
    assert world.reopened().pull("1", name) == {"a": b"1"}


def test_sweeps_take_what_nothing_needs_of_each_domain_and_no_more(
    world: World,
) -> None:
    before = {name: world.pull("1", name) for name in (OTHER, SHARED)}
    sweeps.set_policy(world, ArtifactPolicy(trash_days=0), artifact=ALONE)
    sweeps.delete(world, 2, ALONE)
    packs = len(world.keys(layout.PACKS))
    for _ in range(4):
        sweep(world)

    fresh = world.reopened()
    assert len(world.keys(layout.PACKS)) < packs
    assert fresh.pull("1", ALONE) == SECRET
    assert {name: fresh.pull("1", name) for name in (OTHER, SHARED)} == before
    *findings, report = [
        item
        for item in fresh.store_verification.verify(None)
        if isinstance(item, StoreFinding | StoreReport)
    ]
    assert findings == []
    assert isinstance(report, StoreReport)
    assert (report.artifact_count, report.unreferenced_count) == (3, 0)


def test_what_is_damaged_of_one_domain_keeps_that_one_only(world: World) -> None:
    item, data = next(
        found
        for found in world.bucket.objects()
        if found[0].key
        == layout.journal_key(*_journal(world, OTHER), 1)  # its first commit
    )
    world.bucket.corrupt(item.key, item.version_id, one_byte_changed(data, -9))
    fresh = world.reopened()
    *_, plan = fresh.sweeping.plan()
    assert isinstance(plan, SweepPlan)

    (note,) = [text for text in plan.notes if "nothing is removed" in text]
    own = scope_of(world, ALONE).domain
    assert format_id(own) not in note
    assert "key domain" in note


def _journal(world: World, name: ArtifactName) -> tuple[bytes, bytes]:
    journal = world.repository.artifact(name).journal
    return journal.project, journal.artifact


def test_an_object_of_its_domain_is_explained(world: World) -> None:
    own = scope_of(world, ALONE).domain
    (segment, *_) = world.keys(layout.index_prefix(own))
    manifest = world.repository.artifact(ALONE).history.versions[0].manifest

    for key in (segment, layout.manifest_key(manifest)):
        *uses, told = world.sweeping.explain(key)
        assert isinstance(told, ObjectExplanation)
        assert told.state is ObjectState.NEEDED
        names = {getattr(use, "name", None) for use in uses} - {None}
        assert all(isinstance(name, VersionName) for name in names)
        assert {name.artifact for name in names} == {ALONE}  # type: ignore[union-attr]


def test_keys_of_a_project_are_those_of_its_artifacts_too(world: World) -> None:
    entries = list(world.key_life.entries(PROJECT))
    names = (ALONE, OTHER, SHARED)

    assert {entry.domain for entry in entries} == {
        scope_of(world, name).domain for name in names
    }
    assert {entry.kek for entry in entries} == {
        scope_of(world, name).kek for name in names
    }
    assert world.key_life.owners(world.repository.projects.get(PROJECT)) == {
        scope_of(world, name).domain: name for name in (ALONE, OTHER)
    }
    *_, rotated = world.key_life.rotate(PROJECT, older_than_s=0)
    assert getattr(rotated, "rotated_count", 0) == 3
    *_, rewrapped = world.key_life.rewrap(PROJECT)
    assert getattr(rewrapped, "rewrapped_count", 0) == 3
    assert world.reopened().pull("1", ALONE) == SECRET


def test_an_epoch_of_its_own_is_begun_and_written_in(world: World) -> None:
    assert world.key_life.start_epoch(ALONE, after=0) == 1

    world.push({"a": b"of the new epoch"}, ALONE)
    fresh = world.reopened()
    assert fresh.pull("3", ALONE) == {"a": b"of the new epoch"}
    assert fresh.pull("1", ALONE) == SECRET
    newest = fresh.repository.keyring.open_newest
    assert newest(scope_of(fresh, ALONE)).scope.epoch == 1
    assert newest(scope_of(fresh, SHARED)).scope.epoch == 0


def test_the_index_is_rebuilt_with_its_segments(world: World) -> None:
    fresh = world.reopened()
    *_, last = fresh.index_rebuild.run()
    assert last.done_count == last.total_count
    assert last.chunk_count >= 5

    own = scope_of(world, ALONE).domain
    packs = packs_of(world, own)
    fresh.push({"d": SECRET["a"], "e": b"x"}, ALONE)
    stored = packs_of(world, own)[len(packs) :]
    assert sum(len(data) for _, data in stored) < len(SECRET["a"])


@pytest.mark.parametrize("part", [None, PROJECT, ALONE])
def test_verification_finds_what_is_damaged_of_it(
    world: World, part: ProjectName | ArtifactName | None
) -> None:
    own = scope_of(world, ALONE).domain
    item, data = pack_of_first(world)
    flip(world, item, data)

    findings = [
        found
        for found in world.reopened().store_verification.verify(part)
        if isinstance(found, StoreFinding)
    ]

    assert [found.object for found in findings] == [item.key]
    assert {risk.name.artifact for risk in findings[0].at_risk} == {ALONE}
    # Warned by a record in its own domain, the next push stores it anew.
    assert world.keys(layout.repair_prefix(own))


def test_what_is_damaged_of_it_is_repaired_in_its_domain(world: World) -> None:
    own = scope_of(world, ALONE).domain
    flip(world, *pack_of_first(world))

    with world.repairing.begin(VersionName(ALONE, "1")) as repair:
        wanted = [path for paths in repair.look() for path in paths]
        for path in wanted:
            content = SECRET[path]
            repair.start_file(path, size_bytes=len(content), executable=False)
            repair.write(content, offset_bytes=0)
            repair.end_file(sweeps.digest_of(content))
        report = repair.finish()

    assert report.repaired_count == report.damaged_count > 0
    assert world.reopened().pull("1", ALONE) == SECRET
    assert world.keys(layout.repair_prefix(own))
    *findings, _ = [
        found
        for found in world.reopened().store_verification.verify(None, without_keys=True)
        if isinstance(found, StoreFinding | StoreReport)
    ]
    # Stated for somebody without keys: mended, chunk by chunk.
    assert all(getattr(found, "mended", False) for found in findings)
