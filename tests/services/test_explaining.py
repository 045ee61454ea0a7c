# SPDX-License-Identifier: Apache-2.0
"""Explaining an object: who needs it, or what a sweep has done and will do with it."""

import uuid
from dataclasses import dataclass

import pytest

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import layout
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.repository.journals import JournalId, Journals
from strongroom_server.services.sweeping import (
    ObjectExplanation,
    ObjectState,
    ObjectUse,
    SweepSettings,
    explaining,
)
from strongroom_server.services.uploads import UploadStart
from tests.support.samples import filled
from tests.support.sweeps import (
    DAY_S,
    GONE_AT_ONCE,
    Sweeper,
    abort,
    begun,
    commit,
    content,
    damage,
    delete,
    digest_of,
    dropped,
    set_policy,
)
from tests.support.world import ARTIFACT, CALLER, World

OTHER = ArtifactName("demo", "other")
FOREIGN = ArtifactName("elsewhere", "model")
SLOW = SweepSettings(min_age_s=DAY_S, grace_s=DAY_S, upload_age_s=7 * DAY_S)


@dataclass(frozen=True)
class Answer:
    """What was told of an object."""

    uses: list[ObjectUse]
    told: ObjectExplanation

    @property
    def names(self) -> list[str]:
        return sorted(use.name.short for use in self.uses if use.name is not None)

    @property
    def words(self) -> str:
        return "; ".join(self.told.causes)


def explain(world: World, key: str, settings: SweepSettings | None = None) -> Answer:
    sweeper = Sweeper(world, settings) if settings else Sweeper(world)
    *parts, told = sweeper.sweeping.explain(key)
    assert isinstance(told, ObjectExplanation)
    uses = [part for part in parts if isinstance(part, ObjectUse)]
    assert told.use_count == len(uses)
    return Answer(uses, told)


def packs_of(world: World, artifact: ArtifactName, number: int) -> list[str]:
    """Return the keys of the packs that hold a version's content."""
    found = world.repository.artifact(artifact)
    version, manifests = found.history.versions[number - 1], world.repository.manifests
    manifest = manifests.load(found.scope, found.journal.artifact, version)
    entries = manifests.entries(found.scope, manifest)
    packs = {pack for entry in entries for ref in entry.chunks for pack in ref.packs}
    return sorted(map(layout.pack_key, packs))


def interrupted(world: World) -> str:
    """Break a resumable upload off; return its request id."""
    request_id, data = str(uuid.uuid4()), filled("upload", 6 * 2**20)
    start = UploadStart(
        ARTIFACT, None, "m", {}, request_id, may_create_project=True, resumable=True
    )
    with world.uploads.begin(start, caller=CALLER) as upload:
        for _ in upload.resume():
            pass
        upload.start_file("a.bin", size_bytes=len(data), executable=False)
        for offset in range(0, len(data), 2**20):
            upload.write(data[offset : offset + 2**20], offset_bytes=offset)
        upload.end_file(digest_of(data))
        upload._content.finish()
    return request_id


def test_a_pack_is_needed_by_every_version_that_shares_it(world: World) -> None:
    data = content("shared")
    world.push({"a.bin": data})
    world.push({"a.bin": data, "b.bin": content("more")})
    world.push({"c.bin": data}, OTHER)
    world.push({"d.bin": content("alone")}, OTHER)
    delete(world, 1)
    [pack] = packs_of(world, OTHER, 1)

    answer = explain(world, pack)

    assert (answer.told.exists, answer.told.state) == (True, ObjectState.NEEDED)
    assert answer.names == ["demo/minilm@1", "demo/minilm@2", "demo/other@1"]
    trash = {use.cause for use in answer.uses if use.name == VersionName(ARTIFACT, "1")}
    assert trash == {"a version in the trash"}


def test_a_pack_of_a_file_table_and_a_manifest_are_needed_as_well(
    world: World,
) -> None:
    world.push({"a.bin": content("a")})
    world.push({"b.bin": content("b")})
    content_packs = packs_of(world, ARTIFACT, 1) + packs_of(world, ARTIFACT, 2)

    for key in set(world.keys("packs/")) - set(content_packs):
        assert explain(world, key).names, "each file table is some version's"
    newest = world.repository.artifact(ARTIFACT).history.versions[-1]
    manifest = explain(world, layout.manifest_key(newest.manifest))

    assert manifest.names == ["demo/minilm@2"]
    assert manifest.told.state is ObjectState.NEEDED


def test_only_the_project_whose_it_is_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.push({"a.bin": content("a")})
    world.push({"b.bin": content("b")}, FOREIGN)
    [pack] = packs_of(world, ARTIFACT, 1)
    read: list[bytes] = []
    artifacts = world.repository.journals.artifacts

    def watched(_journals: Journals, project: bytes) -> list[JournalId]:
        read.append(project)
        return artifacts(project)

    monkeypatch.setattr(Journals, "artifacts", watched)

    answer = explain(world, pack)

    assert answer.names == ["demo/minilm@1"]
    assert len(read) == 1


def test_what_nothing_needs_says_when_a_sweep_condemns_it(world: World) -> None:
    world.push({"a.bin": content("a")})
    before = set(world.keys("packs/"))
    abort(world)
    [pack] = list(set(world.keys("packs/")) - before)[:1]

    young = explain(world, pack, SLOW)
    old = explain(world, pack)

    assert young.told.state is old.told.state is ObjectState.UNNEEDED
    assert "nothing needs it" in young.words
    assert "a sweep condemns it from 20" in young.words
    assert "a sweep condemns it next" in old.words


def test_what_is_about_to_be_purged_keeps_nothing(world: World) -> None:
    dropped(world)
    [pack] = packs_of(world, ARTIFACT, 1)

    answer = explain(world, pack)

    assert answer.told.state is ObjectState.UNNEEDED
    assert [use.keeps for use in answer.uses] == [False]
    assert "only what is about to be purged needs it" in answer.words


def test_what_is_condemned_and_needed_again_says_so(world: World) -> None:
    old = dropped(world)
    [pack] = packs_of(world, ARTIFACT, 1)
    upload = begun(world, old)
    slow = SweepSettings(min_age_s=0.0, grace_s=DAY_S, upload_age_s=0.0)
    Sweeper(world, slow).sweep()
    # Before the fence, and by an older view: this is what the fence is there for.
    commit(upload, old)

    answer = explain(world, pack, slow)

    assert answer.told.state is ObjectState.CONDEMNED
    assert [use.keeps for use in answer.uses] == [False, True]
    assert answer.names == ["demo/minilm@1", "demo/minilm@3"]
    assert "the sweep that looks again keeps it" in answer.words


def test_what_is_condemned_says_since_when_and_what_follows(world: World) -> None:
    dropped(world)
    [pack] = packs_of(world, ARTIFACT, 1)
    slow = SweepSettings(min_age_s=0.0, grace_s=DAY_S, upload_age_s=0.0)
    Sweeper(world, slow).sweep()
    world.bucket.advance(1)

    waiting = explain(world, pack, slow)
    Sweeper(world).sweep()
    gone = explain(world, pack)

    assert waiting.told.state is ObjectState.CONDEMNED
    assert [use.keeps for use in waiting.uses] == [False]
    assert waiting.told.condemn_time is not None
    assert "sweep record 0 condemned it at 20" in waiting.words
    assert "a sweep removes it from 20" in waiting.words
    assert (gone.told.exists, gone.told.state) == (False, ObjectState.UNNEEDED)
    assert "it is not there, so every project was asked" in gone.words


def test_what_was_put_back_under_a_condemned_key_is_another_object(
    world: World,
) -> None:
    dropped(world)
    [pack] = packs_of(world, ARTIFACT, 1)
    slow = SweepSettings(min_age_s=0.0, grace_s=DAY_S, upload_age_s=0.0)
    Sweeper(world, slow).sweep()
    for item, data in world.bucket.objects():
        if item.key == pack:
            world.bucket.delete_version(item.key, item.version_id)
            world.bucket.put_new(pack, data)

    answer = explain(world, pack, slow)

    assert answer.told.state is ObjectState.UNNEEDED


def test_what_is_gone_tells_who_misses_it(world: World) -> None:
    world.push({"a.bin": content("a")})
    world.push({"b.bin": content("b")}, FOREIGN)
    [pack] = packs_of(world, FOREIGN, 1)
    for item, _ in world.bucket.objects():
        if item.key == pack:
            world.bucket.delete_version(item.key, item.version_id)

    answer = explain(world, pack)

    assert (answer.told.exists, answer.told.state) == (False, ObjectState.NEEDED)
    assert answer.names == ["elsewhere/model@1"]


def test_damage_hides_what_is_needed_and_is_told(world: World) -> None:
    world.push({"a.bin": content("a")})
    world.push({"b.bin": content("b")})
    before = set(world.keys("packs/"))
    abort(world)
    pack = min(set(world.keys("packs/")) - before)
    damage(world, "manifests/", version=1)

    answer = explain(world.reopened(), pack)

    assert answer.told.state is ObjectState.UNKNOWN
    assert "project demo: nothing is removed" in answer.words
    assert Sweeper(world.reopened()).plan().condemned.all() == []


def test_a_header_that_tells_nothing_is_asked_for_everywhere(world: World) -> None:
    world.push({"a.bin": content("a")}, FOREIGN)
    [pack] = packs_of(world, FOREIGN, 1)
    for item, data in world.bucket.objects():
        if item.key == pack:
            world.bucket.corrupt(item.key, item.version_id, bytes(64) + data[64:])

    answer = explain(world, pack)

    assert answer.names == ["elsewhere/model@1"]
    assert "its header is damaged" in answer.words


def test_an_upload_keeps_what_it_has_stored_for_a_while(world: World) -> None:
    world.push({"a.bin": content("a")})
    before = set(world.keys("packs/"))
    interrupted(world)
    packs = set(world.keys("packs/")) - before
    [record, *_] = world.keys("uploads/")

    kept = [explain(world, pack, SLOW) for pack in packs]
    of_record = explain(world, record, SLOW)
    world.bucket.advance(8 * DAY_S)
    late = explain(world, record, SLOW)

    assert any("an upload that was last active at" in str(item.uses) for item in kept)
    assert of_record.told.state is ObjectState.NEEDED
    assert of_record.names == ["demo/minilm"]
    assert late.told.state is ObjectState.UNNEEDED
    assert "its upload was last active at" in late.words


def test_a_repair_keeps_what_it_stored_anew(world: World) -> None:
    data = content("a")
    world.push({"a.bin": data})
    before = set(world.keys("packs/"))
    for item, _ in world.bucket.objects():
        if item.key in packs_of(world, ARTIFACT, 1):
            world.bucket.delete_version(item.key, item.version_id)
    engine = world.reopened()
    with engine.repairing.begin(VersionName(ARTIFACT, "1")) as repair:
        list(repair.look())
        repair.start_file("a.bin", size_bytes=len(data), executable=False)
        repair.write(data, offset_bytes=0)
        repair.end_file(digest_of(data))
        repair.finish()
    [fresh] = set(world.keys("packs/")) - before

    answer = explain(engine, fresh)

    assert answer.told.state is ObjectState.NEEDED
    [use] = answer.uses
    assert (use.name, "a repair" in use.cause) == (None, True)


def test_an_index_segment_stays_while_it_leads_somewhere(world: World) -> None:
    world.push({"a.bin": content("a")})
    [segment] = world.keys("index/")

    needed = explain(world, segment)
    world.push({"b.bin": content("b")})
    set_policy(world, GONE_AT_ONCE)
    delete(world, 1)
    purgeable = explain(world, segment)

    assert needed.names == ["demo/minilm@1"]
    assert needed.told.state is ObjectState.NEEDED
    assert "an index segment stays while one of its" in needed.words
    assert purgeable.told.state is ObjectState.UNNEEDED


@pytest.mark.parametrize(
    "prefix", ["journals/", "keys/", "projects/", "strongroom.json"]
)
def test_what_sweeps_never_take_says_so(world: World, prefix: str) -> None:
    world.push({"a.bin": content("a")})
    key = world.keys(prefix)[0]

    answer = explain(world, key)

    assert (answer.told.exists, answer.told.state) == (True, ObjectState.PERMANENT)
    assert answer.words


@pytest.mark.parametrize(
    "key", ["packs/ab/cd", "uploads/x", "index/a/b/c", "strongroom.jsonx", "packs"]
)
def test_what_is_none_of_the_stores_objects_is_left_alone(
    world: World, key: str
) -> None:
    answer = explain(world, key)

    assert answer.told.state is ObjectState.PERMANENT
    assert "no object of this store has such a key" in answer.words


@pytest.mark.parametrize("key", ["", "/packs", "a\nb", "x" * 1025, "é" * 513])
def test_what_is_no_key_is_refused(world: World, key: str) -> None:
    with pytest.raises(InvalidArgumentError):
        explain(world, key)


def test_few_pages_are_remembered_and_the_answer_is_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = content("shared")
    for number in range(3):
        world.push({"a.bin": data, "n": b"%d" % number})
    [pack, *_] = packs_of(world, ARTIFACT, 1)
    expected = explain(world, pack).names
    monkeypatch.setattr(explaining, "_MAX_PAGES", 0)

    assert explain(world, pack).names == expected


def test_explaining_changes_nothing(world: World) -> None:
    dropped(world)
    before = world.bucket.objects()

    for item, _ in before:
        explain(world, item.key)

    assert world.bucket.objects() == before


def test_it_agrees_with_a_sweep_about_every_object(world: World) -> None:
    dropped(world)
    abort(world)
    interrupted(world)
    world.push({"x": content("x")}, OTHER)
    set_policy(world, ArtifactPolicy(keep_last=1, trash_days=0), OTHER)
    world.push({"y": content("y")}, OTHER)
    Sweeper(world).sweep()

    condemned = {
        item.key
        for sweep in world.repository.sweeps.log().open.values()
        for item in sweep.doomed()
    }
    for key in world.keys("packs/") + world.keys("manifests/") + world.keys("index/"):
        state = explain(world, key).told.state
        assert (state is ObjectState.CONDEMNED) == (key in condemned), key
