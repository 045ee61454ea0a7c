# SPDX-License-Identifier: Apache-2.0
"""Drills of a backup that has rotted, or that is gone in part: it is named."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from strongroom.errors import (
    Reason,
    UnavailableError,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.drill import CanaryState, DrillReport
from strongroom_server.ports import Lock, LockMode
from strongroom_server.services.drills import DrillLimits
from tests.support.drills import DrillWorld, drill_world
from tests.support.samples import filled

MODEL = ArtifactName("demo", "minilm")
DATA = ArtifactName("data", "texts")
FILES = {"a.bin": filled("a", 300_000), "b/c.txt": b"small", "empty": b""}


@pytest.fixture
def store() -> Iterator[DrillWorld]:
    """A store with two artifacts, one of which has two versions."""
    with drill_world() as made:
        made.world.push(FILES, MODEL)
        made.world.push(FILES | {"d": b"more"}, MODEL)
        made.world.push({"t": filled("t", 50_000)}, DATA)
        yield made


def reasons(report: DrillReport) -> set[str]:
    return {finding.reason for finding in report.findings}


@pytest.mark.parametrize("rotten", ["packs/", "manifests/", "journals/", "keys/"])
def test_rot_of_any_kind_fails_and_is_named(store: DrillWorld, rotten: str) -> None:
    store.back_up()
    keys = store.rot_all(rotten)

    report = store.report()

    assert not report.passed
    named = {finding.object_key for finding in report.findings}
    # Of journals and key slots, it is the folder that is named.
    assert named
    assert all(any(found.startswith(key) for found in keys) for key in named)


def test_one_rotten_pack_is_named_with_its_version_and_file(store: DrillWorld) -> None:
    store.back_up()
    pack = store.rot("packs/", containing=_only_pack(store, "data/texts"))

    report = store.report()

    assert not report.passed
    [finding] = report.findings
    assert finding.object_key == pack
    assert finding.reason == "CHUNK_CORRUPT"
    assert (finding.name, finding.path) == ("data/texts@1", "t")
    assert [item.name for item in report.versions if not item.ok] == ["data/texts@1"]
    assert report.canary.state is CanaryState.GOOD


def test_a_lost_object_fails_and_is_named(store: DrillWorld) -> None:
    store.back_up()
    pack = next(
        item
        for item, _ in store.bucket.objects()
        if item.key.endswith(_only_pack(store, "data/texts"))
    )
    store.bucket.lose(pack.key, pack.version_id)

    [finding] = store.report().findings

    assert (finding.object_key, finding.reason) == (pack.key, "CHUNK_MISSING")


def test_garbage_and_delete_markers_over_a_backup_change_nothing(
    store: DrillWorld,
) -> None:
    store.back_up()
    for item, data in store.bucket.objects():
        store.bucket.attack_overwrite(item.key, bytes(len(data)))
        store.bucket.attack_delete_marker(item.key)

    assert store.report().passed


def test_rot_in_the_part_that_is_drawn_is_found(store: DrillWorld) -> None:
    store.back_up()
    store.rot_all("packs/")
    drills = store.make_drills(DrillLimits(sample_bytes=10_000, sample_versions=1))

    report = store.drill(drills=drills).report

    assert report.versions
    assert not any(item.ok for item in report.versions)


def test_a_root_that_is_rotten_fails_if_it_is_asked_for(store: DrillWorld) -> None:
    saved = store.back_up()
    key = store.rot(layout.backup_key(saved.number))

    report = store.report(saved.number)

    assert not report.passed
    [finding] = report.findings
    assert finding.object_key == key
    assert report.backup.root == ""


def test_a_rotten_newest_root_is_told_when_an_older_one_is_drilled(
    store: DrillWorld,
) -> None:
    first = store.back_up()
    store.advance(60)
    second = store.back_up()
    store.rot(layout.backup_key(second.number))

    report = store.report()

    assert report.backup.number == first.number
    assert layout.backup_prefix(second.number) in report.notes[0]


def test_a_rotten_page_of_the_inventory_fails(store: DrillWorld) -> None:
    store.back_up()
    store.rot_all(layout.BACKUP_PAGES)

    report = store.report()

    assert not report.passed
    assert reasons(report) == {"RECORD_CORRUPT"}


def test_a_key_that_vault_has_lost_fails(store: DrillWorld) -> None:
    store.back_up()
    scope = store.world.repository.projects.get(ProjectName("data")).scope
    store.world.key_service.delete_kek(scope.kek)

    report = store.report()

    assert not report.passed
    assert reasons(report) == {"KEK_MISSING"}


def test_a_bucket_that_is_away_is_no_failed_drill(
    store: DrillWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.back_up()

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("away", reason=Reason.STORE_UNAVAILABLE)

    monkeypatch.setattr(store.bucket, "read_into", away)
    monkeypatch.setattr(store.bucket, "check_ready", away)

    with pytest.raises(UnavailableError):
        store.drill()
    assert store.records.numbers() == []


def test_a_pack_that_the_bucket_never_gives_fails_and_is_named(
    store: DrillWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.back_up()
    [pack] = store.packs_of("data/texts")
    read_into = store.bucket.read_into

    def rotten(key: str, **rest: Any) -> None:  # noqa: ANN401
        if key == pack:
            raise UnavailableError("code 500", reason=Reason.STORE_UNAVAILABLE)
        read_into(key, **rest)

    monkeypatch.setattr(store.bucket, "read_into", rotten)

    [finding] = store.report().findings

    assert (finding.object_key, finding.reason) == (pack, "STORE_UNAVAILABLE")
    assert finding.name == "data/texts@1"


def test_the_root_of_another_journal_is_noticed(store: DrillWorld) -> None:
    saved = store.back_up()
    heads = tuple(replace(head, digest=bytes(32)) for head in saved.root.journals)
    lock = Lock(LockMode.COMPLIANCE, saved.protected_until.timestamp())
    store.backups.write_root(replace(saved.root, journals=heads), lock=lock)

    report = store.report()

    assert not report.passed
    assert reasons(report) == {"JOURNAL_REWOUND"}


def _only_pack(store: DrillWorld, name: str) -> str:
    [key] = store.packs_of(name)
    return key.rpartition("/")[2]
