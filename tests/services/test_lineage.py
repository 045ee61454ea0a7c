# SPDX-License-Identifier: Apache-2.0
"""Lineage is what writers said, followed both ways within a project."""

import uuid
from collections.abc import Sequence

import pytest

from strongroom.errors import NotFoundError
from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.lineage import Lineage, VersionInput
from strongroom_server.core.records import ArtifactPolicy, VersionRecord, VersionState
from strongroom_server.services import lineage as followed
from strongroom_server.services.lineage import LineageReport, LineageStep
from strongroom_server.services.uploads import DraftCommitStart, UploadStart
from tests.support.drafts import DRAFT, put
from tests.support.sweeps import Sweeper, delete, digest_of, set_policy
from tests.support.world import CALLER, World


def named(name: str) -> ArtifactName:
    project, _, artifact = name.rpartition("/")
    return ArtifactName(project or "demo", artifact)


def make(
    world: World, name: str, *made_from: VersionRecord | VersionInput, run: str = "run"
) -> VersionRecord:
    """Make a version from others."""
    start = UploadStart(
        named(name),
        None,
        "",
        {},
        str(uuid.uuid4()),
        may_create_project=True,
        lineage=Lineage(run, tuple(as_input(item) for item in made_from)),
    )
    data = uuid.uuid4().bytes
    digester = VersionDigester()
    with world.uploads.begin(start, caller=CALLER) as upload:
        upload.start_file("file", size_bytes=len(data), executable=False)
        upload.write(data, offset_bytes=0)
        upload.end_file(digest_of(data))
        digester.add("file", len(data), digest_of(data))
        return upload.commit(file_count=1, digest=digester.digest()).version


def as_input(item: VersionRecord | VersionInput) -> VersionInput:
    if isinstance(item, VersionInput):
        return item
    return VersionInput(item.artifact, item.number, item.digest)


def trace(world: World, version: VersionRecord) -> LineageReport:
    return world.lineages.trace(version.name)


def told(steps: Sequence[LineageStep]) -> list[tuple[str, int, list[str]]]:
    return [
        (step.name.short, step.distance, [near.short for near in step.via])
        for step in steps
    ]


def test_both_ways_are_followed_step_by_step(world: World) -> None:
    texts = make(world, "texts")
    other = make(world, "other")
    base = make(world, "base", texts, run="pretrain")
    tuned = make(world, "tuned", base, texts, run="tune")
    again = make(world, "tuned", tuned, other)

    up, down = trace(world, again), trace(world, texts)

    assert told(up.sources) == [
        ("demo/tuned@1", 1, ["demo/tuned@2"]),
        ("demo/other@1", 1, ["demo/tuned@2"]),
        ("demo/base@1", 2, ["demo/tuned@1"]),
        ("demo/texts@1", 2, ["demo/tuned@1"]),
    ]
    assert up.results == ()
    assert sorted(told(down.results)) == [
        ("demo/base@1", 1, ["demo/texts@1"]),
        ("demo/tuned@1", 1, ["demo/texts@1"]),
        ("demo/tuned@2", 2, ["demo/tuned@1"]),
    ]
    assert down.sources == ()
    assert up.is_complete
    assert down.is_complete
    [found] = [step.record for step in down.results if step.name.short == "demo/base@1"]
    assert found is not None
    assert found.lineage == Lineage("pretrain", (as_input(texts),))
    assert found.creator == CALLER.principal


def test_what_is_deleted_or_gone_is_known_all_the_same(world: World) -> None:
    texts = make(world, "texts")
    make(world, "texts")
    model = make(world, "model", texts)
    set_policy(world, ArtifactPolicy(trash_days=0), named("texts"))
    delete(world, 1, named("texts"))
    [step] = trace(world, model).sources
    assert step.record is not None
    assert step.record.state is VersionState.DELETED

    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()

    [step] = trace(world, model).sources
    assert step.record is not None
    assert step.record.state is VersionState.PURGED
    assert told(trace(world, texts).results) == [("demo/model@1", 1, ["demo/texts@1"])]


def test_versions_of_other_projects_are_named_and_not_followed(world: World) -> None:
    raw = make(world, "data/raw")
    texts = make(world, "data/texts", raw)
    model = make(world, "model", texts)

    [step] = trace(world, model).sources

    assert (step.name.short, step.record) == ("data/texts@1", None)
    assert step.digest == texts.digest
    assert told(trace(world, raw).results) == [("data/texts@1", 1, ["data/raw@1"])]


def test_what_nobody_may_list_is_neither_told_nor_followed(world: World) -> None:
    texts = make(world, "texts")
    secret = make(world, "secret", texts)
    model = make(world, "model", secret)

    def seen_by_a_stranger(version: VersionRecord) -> LineageReport:
        return world.lineages.trace(
            version.name, visible=lambda name: name.artifact != "secret"
        )

    [step] = seen_by_a_stranger(model).sources
    assert (step.name.short, step.record) == ("demo/secret@1", None)
    assert seen_by_a_stranger(texts).results == ()


def test_what_names_another_digest_was_made_from_something_else(world: World) -> None:
    texts = make(world, "texts")
    lie = VersionInput(texts.artifact, 1, "sha256:" + "00" * 32)
    nothing = VersionInput(texts.artifact, 9, texts.digest)
    nowhere = VersionInput(named("none"), 1, texts.digest)
    model = make(world, "model", lie, nothing, nowhere)

    assert [step.record for step in trace(world, model).sources] == [None] * 3
    assert trace(world, texts).results == ()


def test_a_circle_ends(world: World) -> None:
    future = VersionInput(named("b"), 1, "sha256:" + "00" * 32)
    first = make(world, "a", future)
    made = make(world, "b", first)
    # Nobody can know a digest before it is there, but a version can name itself.
    again = make(world, "a", made, as_input(first))

    assert told(trace(world, again).sources) == [
        ("demo/b@1", 1, ["demo/a@2"]),
        ("demo/a@1", 1, ["demo/a@2"]),
    ]


def test_there_is_an_end_to_what_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "MAX_TOLD", 3)
    texts = make(world, "texts")
    for _ in range(5):
        make(world, "model", texts)

    report = trace(world, texts)

    assert len(report.results) == 3
    assert not report.is_complete


def test_of_many_versions_one_step_nearer_some_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "MAX_VIA", 2)
    texts = make(world, "texts")
    parts = [make(world, f"part{number}", texts) for number in range(3)]
    two = make(world, "two", *parts[:2])
    three = make(world, "three", *parts)

    nearer = {step.name.short: step.via for step in trace(world, three).sources}

    assert [name.short for name in nearer["demo/texts@1"]] == [
        "demo/part0@1",
        "demo/part1@1",
    ]
    assert not trace(world, three).is_complete
    assert trace(world, two).is_complete


def test_there_is_an_end_to_what_is_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = make(world, "texts")
    for name in ("one", "two", "three"):
        make(world, name, texts)

    monkeypatch.setattr(followed, "MAX_KNOWN", 3)
    assert trace(world, texts).is_complete
    monkeypatch.setattr(followed, "MAX_KNOWN", 2)
    report = trace(world, texts)

    assert len(report.results) == 2
    assert not report.is_complete


def test_a_writer_that_could_not_say_all_says_so(world: World) -> None:
    start = UploadStart(
        named("model"),
        None,
        "",
        {},
        "r",
        may_create_project=True,
        lineage=Lineage("", (), 3),
    )
    with world.uploads.begin(start, caller=CALLER) as upload:
        made = upload.commit(file_count=0, digest=VersionDigester().digest()).version

    assert not trace(world, made).is_complete


def test_a_draft_says_what_it_was_made_from(world: World) -> None:
    texts = make(world, "texts")
    put(world, {"a": b"1"}, artifact=named("model"))
    said = Lineage("drafted", (as_input(texts),))
    start = DraftCommitStart(named("model"), DRAFT, lineage=said)

    made = world.drafts.commit(start, caller=CALLER).version

    assert made.lineage == said
    assert world.reopened().artifacts.get_version(made.name).lineage == said
    assert told(trace(world, texts).results) == [("demo/model@1", 1, ["demo/texts@1"])]


def test_there_is_no_lineage_of_nothing(world: World) -> None:
    make(world, "texts")

    with pytest.raises(NotFoundError):
        world.lineages.trace(VersionName(named("texts"), "2"))
    with pytest.raises(NotFoundError):
        world.lineages.trace(VersionName(named("none"), "1"))
