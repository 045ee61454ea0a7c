# SPDX-License-Identifier: Apache-2.0
"""`strongroom-server restore`: what it lists, and what it refuses before anything."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName
from strongroom_server.__main__ import main
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core import layout
from strongroom_server.core.restore_records import Selection
from strongroom_server.opening_vault_check import open_vault_check
from strongroom_server.ports import Lock, LockMode
from strongroom_server.restore_program import tell_backups, tell_contents
from strongroom_server.restore_telling import Telling
from tests.support.saved_backups import Safe
from tests.support.world import ARTIFACT, memory_world

OTHER = ArtifactName("second", "other")
LOCK = Lock(LockMode.COMPLIANCE, datetime(2040, 1, 1, tzinfo=UTC).timestamp())


@pytest.fixture
def safe() -> Iterator[Safe]:
    with memory_world() as world:
        world.push({"a": b"first"}, ARTIFACT)
        world.push({"a": b"second", "b": b"more"}, ARTIFACT)
        world.push({"b": b"other"}, OTHER)
        yield Safe(world)


def listed(safe: Safe, *, as_json: bool = False) -> list[str]:
    said: list[str] = []
    tell_backups(safe.bucket, safe.world.signer, Telling(said.append, as_json=as_json))
    return said


def contents(
    safe: Safe, selection: Selection | None = None, *, as_json: bool = False
) -> list[str]:
    said: list[str] = []
    engine = safe.open(safe.records.load(1))
    tell = Telling(said.append, as_json=as_json)
    try:
        tell_contents(engine, selection or Selection(), tell)
    except IntegrityError as error:
        said.append(f"raised: {error.message}")
    return said


def test_backups_are_listed_from_their_bucket_alone(safe: Safe) -> None:
    first = safe.save()
    second = safe.save()
    planted = layout.backup_key(9)
    safe.bucket.put_locked(planted, b"x" * 600, lock=LOCK)

    heading, newest, oldest, untrusted = listed(safe)
    told = [json.loads(line) for line in listed(safe, as_json=True)]

    assert heading.startswith("BACKUP  BEGUN")
    for line, saved in ((newest, second), (oldest, first)):
        until = f"{saved.protected_until:%Y-%m-%d %H:%M:%SZ}"
        point = saved.root.newest_commit_time
        assert line.startswith(f"{saved.number}  ")
        assert until in line
        assert f"{point:%Y-%m-%d %H:%M:%SZ}" in line
        assert "the whole store" in line
    assert untrusted.startswith("! 9 is no backup: ")
    assert [(item["message_type"], item["number"]) for item in told] == [
        ("backup", 2),
        ("backup", 1),
        ("untrusted", 9),
    ]
    assert told[0]["version_count"] == 3
    assert told[0]["root_digest"] == second.root_digest
    assert told[2]["problem"]


def test_a_bucket_without_backups_says_what_lies_there(safe: Safe) -> None:
    bucket = MemoryLockedBlobs(safe.world.clock)
    bucket.put_locked(layout.backup_key(3), b"x" * 600, lock=LOCK)
    said: list[str] = []

    with pytest.raises(NotFoundError) as caught:
        tell_backups(bucket, safe.world.signer, Telling(said.append, as_json=False))

    assert caught.value.reason is Reason.BACKUP_NOT_FOUND
    assert [line.startswith("! 3 is no backup: ") for line in said] == [True]


def test_what_is_in_a_backup_is_told_by_name(safe: Safe) -> None:
    safe.world.move("prod", "1")
    safe.save()
    safe.world.push({"late": b"late"}, ARTIFACT)

    head, heading, *lines = contents(safe)
    told: list[dict[str, Any]] = [
        json.loads(line) for line in contents(safe, as_json=True)
    ]

    assert head.startswith("backup 1, begun ")
    assert heading.startswith("VERSION")
    names = [f"{ARTIFACT.short}@1", f"{ARTIFACT.short}@2", f"{OTHER.short}@1"]
    assert [line.split()[0] for line in lines] == names
    assert told[0]["message_type"] == "backup"
    versions = {item["name"]: item for item in told[1:]}
    assert {item["message_type"] for item in told[1:]} == {"version"}
    assert versions[names[0]]["refs"] == ["prod"]
    assert versions[names[1]]["refs"] == ["latest"]
    assert versions[names[1]]["file_count"] == 2
    assert versions[names[1]]["digest"].startswith("sha256:")


def test_a_part_of_a_backup_is_told_alone(safe: Safe) -> None:
    safe.save()

    assert [line.split()[0] for line in contents(safe, Selection("second"))[2:]] == [
        f"{OTHER.short}@1"
    ]
    with pytest.raises(NotFoundError):
        contents(safe, Selection("none"))


def test_what_vault_cannot_show_is_told_and_ends_with_an_error(safe: Safe) -> None:
    world = safe.world
    kek = next(
        project.scope.kek
        for project in world.repository.projects.all()
        if project.name.project == OTHER.project
    )
    safe.save()
    world.destroyer.allow(kek)
    world.destroyer.destroy(kek)

    *said, raised = contents(safe)
    *_, told, _ = contents(safe, as_json=True)

    assert [line.split()[0] for line in said[2:4]] == [
        f"{ARTIFACT.short}@1",
        f"{ARTIFACT.short}@2",
    ]
    assert said[4].startswith("! not readable: ")
    assert kek in said[4]
    assert raised.startswith("raised: 1 thing of backup 1 cannot be read")
    assert json.loads(told)["message_type"] == "damaged"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backup", "0", "--to-store"], "there is no backup 0"),
        (["--backup", "-3", "--list"], "there is no backup -3"),
        (["--list", "--out", "receipt"], "there is no receipt for --out"),
        (["--list", "--dry-run"], "does not heed --dry-run"),
        (["--list", "--path", "weights/"], "does not heed --path"),
        (["--list", "--max-bytes-per-second", "9"], "not heed --max-bytes-per-second"),
        (["--list", "--artifact", "model"], "does not say of which project"),
        (["--list", "--artifact", "demo/model@5"], "names a version, too"),
        (["--list", "--version", "3"], "not of which artifact"),
        (["--list", "--as-of", "yesterday"], "no time"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_on(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "server.toml"

    code = main(["restore", "--config", str(config), *arguments])
    told = capsys.readouterr().err
    again = main(["restore", "--config", str(config), *arguments, "--json"])
    as_json = json.loads(capsys.readouterr().err)

    assert code == again == 2
    assert message in told
    assert told.startswith("strongroom-server: ")
    assert (as_json["message_type"], as_json["exit_code"]) == ("exit_error", 2)
    assert message in as_json["message"]


@pytest.mark.parametrize("command", ["restore", "replicate", "replica", "promote"])
def test_what_runs_without_a_server_says_what_comes_first_and_how(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])

    told = capsys.readouterr().out
    assert "What comes first: " in told
    assert f"strongroom-server {command} " in told.split("for example:")[1]


@pytest.mark.parametrize("number", ["0", "-1", "oldest"])
def test_vault_is_compared_with_no_backup_that_cannot_be(
    number: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(InvalidArgumentError, match="from 1"),
        open_vault_check(tmp_path / "none.toml", backup=number),
    ):
        pytest.fail("it was opened")
