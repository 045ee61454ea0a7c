# SPDX-License-Identifier: Apache-2.0
"""Restoring to a folder: plain files, each whole or not there, none overwritten."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from strongroom.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.restore_folder import MARK, RECEIPT, DiskFolder
from strongroom_server.core import layout
from strongroom_server.core.restore_records import RestoreReport, Selection
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.restoring import (
    FolderRestore,
    OpenedBackups,
    plan_folder,
)
from tests.services.test_restoring_stores import random_bytes
from tests.support.saved_backups import Safe
from tests.support.world import ARTIFACT, World, memory_world

OTHER = ArtifactName("second", "other")
ALL = Selection()
FILES = {
    "a.bin": random_bytes(200_000, seed=1),
    "b/c.txt": b"hello",
    "b/run.sh": b"#!/bin/sh\n",
    "empty": b"",
}


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world() as made:
        made.push(FILES, executables=frozenset({"b/run.sh"}))
        made.push({"a.bin": b"changed"})
        made.push({"x": random_bytes(90_000, seed=2)}, OTHER)
        yield made


def _restore(
    safe: Safe, saved: SavedBackup, folder: Path, selection: Selection = ALL
) -> RestoreReport:
    engine = safe.open(saved)
    restore = FolderRestore(engine, Downloads(engine.repository), DiskFolder(folder))
    *_, report = restore.run(selection)
    assert isinstance(report, RestoreReport)
    return report


def _found(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {MARK, RECEIPT}
    }


def test_everything_comes_back_as_files(world: World, tmp_path: Path) -> None:
    safe, folder = Safe(world), tmp_path / "restored"

    report = _restore(safe, safe.save(), folder)

    expected = {f"demo/minilm/1/{path}": data for path, data in FILES.items()}
    expected["demo/minilm/2/a.bin"] = b"changed"
    expected["second/other/1/x"] = random_bytes(90_000, seed=2)
    assert _found(folder) == expected
    assert (report.version_count, report.damaged_count) == (3, 0)
    assert (report.copied_count, report.there_count) == (6, 0)
    assert {item.name for item in report.versions} == {
        "demo/minilm@1", "demo/minilm@2", "second/other@1",
    }  # fmt: skip
    modes = {path: (folder / path).stat().st_mode for path in expected}
    assert modes["demo/minilm/1/b/run.sh"] & stat.S_IXUSR
    assert not modes["demo/minilm/1/a.bin"] & stat.S_IXUSR
    assert not any(mode & 0o077 for mode in modes.values())


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection("second"), {"second/other/1/x"}),
        (
            Selection("demo", "minilm"),
            {f"demo/minilm/1/{path}" for path in FILES} | {"demo/minilm/2/a.bin"},
        ),
        (Selection("demo", "minilm", "latest"), {"demo/minilm/2/a.bin"}),
        (Selection("demo", "minilm", "1", "b/c.txt"), {"demo/minilm/1/b/c.txt"}),
        (
            Selection("demo", "minilm", "1", "b/"),
            {"demo/minilm/1/b/c.txt", "demo/minilm/1/b/run.sh"},
        ),
    ],
    ids=["project", "artifact", "version", "file", "directory"],
)
def test_what_was_chosen_comes_back_and_nothing_else(
    world: World, tmp_path: Path, selection: Selection, expected: set[str]
) -> None:
    safe = Safe(world)

    _restore(safe, safe.save(), tmp_path, selection)

    assert set(_found(tmp_path)) == expected


@pytest.mark.parametrize(
    "selection",
    [
        Selection("none"),
        Selection("demo", "none"),
        Selection("demo", "minilm", "9"),
        Selection("demo", "minilm", "1", "none"),
    ],
)
def test_what_the_backup_does_not_have_is_told(
    world: World, tmp_path: Path, selection: Selection
) -> None:
    safe = Safe(world)

    with pytest.raises(NotFoundError) as caught:
        _restore(safe, safe.save(), tmp_path, selection)

    # Of the backup, not of the store that lives: that one may have it.
    assert "strongroom log" not in caught.value.hint
    if not selection.path:
        assert caught.value.message.startswith("in backup 1: ")
        assert "--list" in caught.value.hint


@pytest.mark.parametrize(
    "selection",
    [
        Selection("", "minilm"),
        Selection("demo", "", "1"),
        Selection("demo", "minilm", "", "a"),
        Selection("demo", "minilm", "1", "../a"),
        Selection("Not a name"),
        Selection("demo", "minilm", "not a version"),
    ],
)
def test_selections_that_cannot_be_are_refused(selection: Selection) -> None:
    with pytest.raises(InvalidArgumentError):
        selection.check()


def test_a_folder_with_something_else_in_it_is_refused(
    world: World, tmp_path: Path
) -> None:
    safe = Safe(world)
    saved = safe.save()
    (tmp_path / "file").write_bytes(b"mine")

    with pytest.raises(AlreadyExistsError) as caught:
        _restore(safe, saved, tmp_path)

    assert caught.value.reason is Reason.TARGET_EXISTS
    assert _found(tmp_path) == {"file": b"mine"}
    _restore(safe, saved, tmp_path / "own", Selection("second"))
    with pytest.raises(AlreadyExistsError):
        _restore(safe, saved, tmp_path / "own", Selection("demo"))


def test_a_restore_that_was_cut_off_goes_on(world: World, tmp_path: Path) -> None:
    safe = Safe(world)
    saved = safe.save()
    _restore(safe, saved, tmp_path)
    (tmp_path / "demo/minilm/1/a.bin").unlink()
    (tmp_path / "second/other/1/x").unlink()
    (tmp_path / ".strongroom-restore.part").write_bytes(b"half a file")

    report = _restore(safe, saved, tmp_path)

    assert (report.copied_count, report.there_count) == (2, 4)
    assert _found(tmp_path)["demo/minilm/1/a.bin"] == FILES["a.bin"]
    assert not (tmp_path / ".strongroom-restore.part").exists()


def test_a_file_that_was_changed_is_never_overwritten(
    world: World, tmp_path: Path
) -> None:
    safe = Safe(world)
    saved = safe.save()
    _restore(safe, saved, tmp_path)
    (tmp_path / "demo/minilm/2/a.bin").write_bytes(b"my work!")

    with pytest.raises(AlreadyExistsError) as caught:
        _restore(safe, saved, tmp_path)

    assert "demo/minilm/2/a.bin" in caught.value.message
    assert (tmp_path / "demo/minilm/2/a.bin").read_bytes() == b"my work!"


def test_links_in_the_folder_are_not_followed(world: World, tmp_path: Path) -> None:
    safe = Safe(world)
    saved = safe.save()
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    _restore(safe, saved, folder, Selection("second"))
    (folder / "second/other/1/x").unlink()
    (folder / "second/other/1").rmdir()
    (folder / "second/other/1").symlink_to(outside)

    with pytest.raises(OSError, match="cannot be written"):
        _restore(safe, saved, folder, Selection("second"))

    assert not list(outside.iterdir())


def test_a_rotten_pack_costs_the_files_in_it_and_no_other(
    world: World, tmp_path: Path
) -> None:
    safe = Safe(world)
    saved = safe.save()
    pack = max(
        safe.open(saved).view.rows.after(layout.PACKS), key=lambda row: row.size_bytes
    )
    safe.bucket.rot(pack.key, pack.version_id, b"\0" * pack.size_bytes)

    report = _restore(safe, saved, tmp_path)

    assert report.damaged_count
    assert "demo/minilm@1/a.bin" in report.damaged[0]
    found = _found(tmp_path)
    assert "demo/minilm/1/a.bin" not in found
    assert found["second/other/1/x"] == random_bytes(90_000, seed=2)
    assert found["demo/minilm/2/a.bin"] == b"changed"
    assert "demo/minilm@1" not in {item.name for item in report.versions}


def test_a_lost_manifest_costs_its_version_and_no_other(
    world: World, tmp_path: Path
) -> None:
    safe = Safe(world)
    saved = safe.save()
    engine = safe.open(saved)
    version = engine.repository.artifact(ARTIFACT).history.versions[0]
    row = engine.view.rows.find(layout.manifest_key(version.manifest))
    assert row is not None
    safe.bucket.lose(row.key, row.version_id)

    report = _restore(safe, saved, tmp_path)

    assert report.damaged_count == 1
    assert "demo/minilm@1" in report.damaged[0]
    assert "demo/minilm/2/a.bin" in _found(tmp_path)


def test_one_projects_lost_kek_costs_no_other_project(
    world: World, tmp_path: Path
) -> None:
    safe = Safe(world)
    saved = safe.save()
    kek = next(
        project.scope.kek
        for project in world.repository.projects.all()
        if project.name.project == "second"
    )
    world.destroyer.allow(kek)
    world.destroyer.destroy(kek)

    report = _restore(safe, saved, tmp_path)

    assert report.damaged_count == 1
    assert kek in report.damaged[0]
    assert "demo/minilm/1/a.bin" in _found(tmp_path)


def test_a_plan_counts_versions_files_and_bytes(world: World) -> None:
    safe = Safe(world)
    saved = safe.save()

    plan = plan_folder(
        safe.open(saved), ALL, key_service=world.key_service, executor=world.executor
    )

    size = sum(map(len, FILES.values())) + len(b"changed") + 90_000
    assert (plan.version_count, plan.file_count, plan.size_bytes) == (3, 6, size)
    assert plan.object_count == 0


def test_the_receipt_lies_beside_the_files(world: World, tmp_path: Path) -> None:
    safe = Safe(world)
    saved = safe.save()
    _restore(safe, saved, tmp_path)

    DiskFolder(tmp_path).finish(b"{}")
    DiskFolder(tmp_path).finish(b'{"again":1}')

    assert json.loads((tmp_path / RECEIPT).read_bytes()) == {"again": 1}
    assert _restore(safe, saved, tmp_path).copied_count == 0


def test_the_backup_that_is_meant_is_found(world: World) -> None:
    safe = Safe(world)
    first = safe.save()
    world.push({"a.bin": b"later"})
    second = safe.save()
    backups = OpenedBackups(safe.records, safe.open)

    assert backups.find() == backups.find(number=2) == second
    assert backups.find(number=1) == first
    assert backups.find(as_of=first.root.create_time) == first
    assert backups.find(as_of=world.clock.now()) == second
    with pytest.raises(NotFoundError):
        backups.find(number=3)
    with pytest.raises(NotFoundError) as caught:
        backups.find(as_of=first.root.create_time.replace(year=2020))
    assert caught.value.reason is Reason.BACKUP_NOT_FOUND
    with pytest.raises(InvalidArgumentError):
        backups.find(number=1, as_of=world.clock.now())


def test_a_root_of_another_store_is_refused(world: World) -> None:
    safe = Safe(world)
    saved = safe.save()
    with memory_world() as another:
        other = Safe(another, safe.bucket)
        with pytest.raises((IntegrityError, NotFoundError)):
            other.records.load(saved.number)


def test_damage_at_a_path_that_was_not_asked_for_ends(
    world: World, tmp_path: Path
) -> None:
    class Strange:
        """Tells of a path in front of all."""

        def open(self, name: object, *, paths: object) -> NoReturn:
            raise IntegrityError("damaged", reason=Reason.RECORD_CORRUPT, path="Z")

    safe = Safe(world)
    engine = safe.open(safe.save())
    restore = FolderRestore(engine, Strange(), DiskFolder(tmp_path))

    *_, report = restore.run(Selection("demo", ARTIFACT.artifact, "1"))

    assert isinstance(report, RestoreReport)
    assert (report.copied_count, report.damaged_count) == (0, len(FILES))


def test_a_backup_whose_first_record_is_gone_is_damaged(world: World) -> None:
    safe = Safe(world)
    saved = safe.save()
    for item in list(safe.bucket.versions(layout.STORE)):
        safe.bucket.lose(item.key, item.version_id)

    with pytest.raises(IntegrityError) as caught:
        safe.open(saved)

    assert caught.value.reason is Reason.RECORD_CORRUPT
