# SPDX-License-Identifier: Apache-2.0
"""Access files that change: good changes count, bad ones leave the last good set."""

import json
import logging
import os
import threading
from pathlib import Path

import pytest

from strongroom.errors import InvalidArgumentError, PreconditionError, StrongroomError
from strongroom_server.adapters.cedar import AccessFiles, ReloadingAuthorizer
from strongroom_server.core.access import AccessAction
from strongroom_server.ports import Authorizer
from tests.contract.authorizer_suite import ASSIGNMENTS, DEVELOPER, ROLES, VERSION
from tests.contract.test_authorizer_contract import write_files
from tests.support.access import FACTS

FROZEN = '@id("frozen") forbid (principal, action, resource);'
#: Longer than anything here takes on a slow machine.
PATIENCE_S = 20.0


@pytest.fixture
def files(tmp_path: Path) -> AccessFiles:
    return write_files(tmp_path, ROLES, ASSIGNMENTS)


def may_read(authorizer: Authorizer) -> bool:
    read = AccessAction.VERSION_READ
    return authorizer.decide(DEVELOPER, read, VERSION, FACTS).allowed


def policy(files: AccessFiles, name: str) -> Path:
    assert files.policies is not None
    return files.policies / name


def is_current(authorizer: Authorizer) -> bool:
    try:
        authorizer.check_current()
    except PreconditionError:
        return False
    return True


def test_a_good_change_counts_after_the_next_poll(files: AccessFiles) -> None:
    authorizer = ReloadingAuthorizer(files)
    policy(files, "frozen.cedar").write_text(FROZEN)
    before = may_read(authorizer)

    authorizer.poll()

    assert (before, may_read(authorizer)) == (True, False)


def test_who_is_taken_out_of_the_assignments_may_nothing(files: AccessFiles) -> None:
    authorizer = ReloadingAuthorizer(files)
    files.assignments.write_text("")

    authorizer.poll()

    assert not may_read(authorizer)
    assert authorizer.roles_of(DEVELOPER) == ()


@pytest.mark.parametrize(
    "part", ["policy", "assignments", "gone", "long", "deep", "bytes"]
)
def test_a_bad_change_leaves_the_last_good_set_and_alarms(
    files: AccessFiles, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    authorizer = ReloadingAuthorizer(files)
    match part:
        case "policy":
            policy(files, "frozen.cedar").write_text(FROZEN + "oops")
        case "assignments":
            secret = "projects//secret-name"
            text = files.assignments.read_text().replace("projects/demo/*", secret)
            files.assignments.write_text(text)
        case "gone":
            files.assignments.unlink()
        case "long":
            policy(files, "frozen.cedar").write_text("//" + "x" * 1024 * 1024)
        case "deep":
            files.assignments.write_text("assignments = " + "[" * 5000)
        case _:
            policy(files, "frozen.cedar").write_bytes(b"// \xff")

    for _ in range(3):
        authorizer.poll()

    assert may_read(authorizer)
    assert not is_current(authorizer)
    lines = [item for item in caplog.records if item.levelno >= logging.WARNING]
    [line] = [json.loads(item.message) for item in lines]
    assert (line["event"], line["reason"]) == ("access_refused", "SETTING_INVALID")
    assert lines[0].levelno == logging.ERROR
    assert "secret-name" not in caplog.text


def test_the_alarm_ends_when_the_change_is_mended(files: AccessFiles) -> None:
    authorizer = ReloadingAuthorizer(files)
    frozen = policy(files, "frozen.cedar")
    frozen.write_text("oops")
    authorizer.poll()
    frozen.write_text(FROZEN)

    authorizer.poll()

    assert is_current(authorizer)
    assert not may_read(authorizer)


def test_the_alarm_ends_when_the_change_is_taken_back(files: AccessFiles) -> None:
    authorizer = ReloadingAuthorizer(files)
    frozen = policy(files, "frozen.cedar")
    frozen.write_text("oops")
    authorizer.poll()
    frozen.unlink()

    authorizer.poll()

    assert is_current(authorizer)
    assert may_read(authorizer)


def test_a_replaced_file_of_the_same_size_and_time_is_seen(
    files: AccessFiles,
) -> None:
    owner = policy(files, "owner.cedar")
    stat = owner.stat()
    authorizer = ReloadingAuthorizer(files)
    fresh = owner.with_suffix(".new")
    fresh.write_text(owner.read_text().replace("permit", "forbid"))
    os.utime(fresh, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fresh.replace(owner)

    authorizer.poll()

    assert not may_read(authorizer)


def test_a_server_does_not_start_on_bad_files(files: AccessFiles) -> None:
    policy(files, "frozen.cedar").write_text("oops")

    with pytest.raises(InvalidArgumentError, match=r"frozen\.cedar"):
        ReloadingAuthorizer(files)


@pytest.mark.parametrize("setting", ["assignments", "policies"])
def test_files_that_are_not_there_are_named(tmp_path: Path, setting: str) -> None:
    (tmp_path / "assignments.toml").write_text("")
    (tmp_path / "policies").mkdir()
    paths = {
        "assignments": tmp_path / "assignments.toml",
        "policies": tmp_path / "policies",
    }
    paths[setting] = tmp_path / "missing"

    with pytest.raises(StrongroomError, match="missing"):
        ReloadingAuthorizer(AccessFiles(paths["assignments"], paths["policies"]))


def test_changes_are_followed_while_it_runs(files: AccessFiles) -> None:
    authorizer = ReloadingAuthorizer(files)
    waiting = threading.Event()

    with authorizer.running(interval_s=0.01):
        policy(files, "frozen.cedar").write_text(FROZEN)
        for _ in range(int(PATIENCE_S / 0.01)):
            if not may_read(authorizer):
                break
            waiting.wait(0.01)

    assert not may_read(authorizer)
