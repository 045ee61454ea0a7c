# SPDX-License-Identifier: Apache-2.0
"""`strongroom access`: explanations of a server's, and tables against files."""

import json
from pathlib import Path

import pytest

from strongroom.cli.access import _told
from strongroom.values import AccessExplanation, AccessRemedy
from strongroom_server.config.backups import BackupSection
from strongroom_server.dev.access_cli import LOCK_DAYS_ALONE
from tests.cli.conftest import Command
from tests.rpc.authority import READER

ASSIGNMENTS = """
[[assignments]]
id = "training"
principal = "spiffe://example.org/ns/train/sa/trainer/job/*"
roles = ["writer"]
resources = ["projects/vision/*"]
"""
TRAINER = "spiffe://example.org/ns/train/sa/trainer/job/7"
VERSION = "projects/vision/artifacts/resnet/versions/3"
HEADING = "principal,action,resource,expected,policy"


def test_an_allowed_call_is_explained(strongroom: Command) -> None:
    result = strongroom(
        "access", "explain", "--action", "version.read", "--resource", "demo/x@prod"
    )

    assert result.code == 0
    first, second, *_ = result.out.splitlines()
    assert first.startswith("allowed: spiffe://")
    assert first.endswith("version.read projects/demo/artifacts/x/versions/prod")
    assert second == "  decided by: policy owner"
    assert "  developers: " in result.out


def test_a_denied_call_is_explained_with_what_would_do(strongroom: Command) -> None:
    question = ("--action", "version.write", "--resource", "demo/x")
    result = strongroom("access", "explain", "--principal", READER, *question)
    [line] = strongroom(
        "access", "explain", "--principal", READER, *question, "--json"
    ).lines

    assert result.code == 0
    assert result.out.splitlines()[0].startswith(f"denied: {READER}")
    assert "  decided by: no policy allows it" in result.out
    assert "  would be allowed as: owner, writer" in result.out
    assert (line["message_type"], line["allowed"]) == ("access", False)
    assert line["allowing_roles"] == ["owner", "writer"]


def test_a_question_without_sense_is_told_in_three_lines(strongroom: Command) -> None:
    result = strongroom(
        "access", "explain", "--action", "version.fly", "--resource", "server"
    )

    assert result.code == 2
    assert "'version.fly' is no action" in result.err
    assert "version.read" in result.err.splitlines()[2]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "assignments.toml").write_text(ASSIGNMENTS)
    return tmp_path


def table(folder: Path, *rows: str) -> tuple[str, ...]:
    file = folder / "expectations.csv"
    file.write_text("\n".join([HEADING, *rows]))
    assignments = str(folder / "assignments.toml")
    return ("access", "test", str(file), "--assignments", assignments)


def test_a_table_that_holds_ends_well(strongroom: Command, files: Path) -> None:
    rows = (
        f"{TRAINER},version.write,projects/vision/artifacts/resnet,allow,",
        f"{TRAINER},version.read,{VERSION},allow,writer@training",
        f"{TRAINER},version.delete,{VERSION},deny,default",
    )

    result = strongroom(*table(files, *rows))

    assert (result.code, result.out) == (0, "3 expectations, 0 differ\n")


def test_what_differs_is_told_with_its_line(strongroom: Command, files: Path) -> None:
    rows = (
        f"{TRAINER},version.delete,{VERSION},allow,",
        f"{TRAINER},version.read,{VERSION},allow,reader@training",
        f"{TRAINER},version.read,{VERSION},allow,",
    )
    asked = table(files, *rows)

    result = strongroom(*asked)
    lines = strongroom(*asked, "--json").lines

    assert result.code == 1
    first, second, last = result.out.splitlines()
    assert "expectations.csv:2: " in first
    assert first.endswith("deny by default, not allow")
    assert second.endswith("allow by writer@training, not allow by reader@training")
    assert last == "3 expectations, 2 differ"
    assert [line["ok"] for line in lines] == [False, False, True]


def test_policies_of_ones_own_count(strongroom: Command, files: Path) -> None:
    policies = files / "policies"
    policies.mkdir()
    (policies / "freeze.cedar").write_text(
        '@id("freeze") forbid (principal, action == Action::"version.write", '
        'resource in Project::"projects/vision");'
    )
    row = f"{TRAINER},version.write,projects/vision/artifacts/resnet,deny,freeze"

    with_it = strongroom(*table(files, row), "--policies", str(policies))
    without = strongroom(*table(files, row))

    assert (with_it.code, without.code) == (0, 1)


def test_locks_for_long_are_decided_as_servers_do_unless_told_otherwise(
    strongroom: Command, files: Path
) -> None:
    assignments = files / "assignments.toml"
    assignments.write_text(
        '[[assignments]]\nprincipal = "operator:alice"\nroles = ["operator"]\n'
        'resources = ["server"]\n'
    )
    expectations = files / "locks.csv"
    expectations.write_text(
        "principal,action,resource,expected,policy,mfa,lock_days\n"
        "operator:alice,backup.extend,server,allow,,true,70\n"
        "operator:alice,backup.extend,server,deny,long-locks,true,71\n"
    )
    asked = ("access", "test", str(expectations), "--assignments", str(assignments))

    assert strongroom(*asked).code == 0
    assert strongroom(*asked, "--lock-days-alone", "0").code == 1


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((f"{TRAINER},version.read,projects/vision,allow,",), "line 2: version.read"),
        (("a,b,c",), "line 2: 3 cells"),
    ],
)
def test_a_faulty_table_is_refused(
    strongroom: Command, files: Path, rows: tuple[str, ...], told: str
) -> None:
    result = strongroom(*table(files, *rows))

    assert result.code == 2
    assert told in result.err


def test_an_empty_table_proves_nothing(strongroom: Command, files: Path) -> None:
    assert strongroom(*table(files)).code == 1


def test_bad_policies_are_refused_before_the_table(
    strongroom: Command, files: Path
) -> None:
    (files / "assignments.toml").write_text(ASSIGNMENTS.replace("writer", "pilot"))

    result = strongroom(*table(files), "--json")

    assert result.code == 2
    assert json.loads(result.err)["reason"] == "SETTING_INVALID"


@pytest.mark.parametrize(
    ("remedy", "told"),
    [
        (
            AccessRemedy(login=True, max_age_s=300, approvals=0),
            "a login with a second factor at most 300 seconds ago",
        ),
        (
            AccessRemedy(login=False, max_age_s=0, approvals=1),
            "the approval of 1 other person",
        ),
        (
            AccessRemedy(login=True, max_age_s=60, approvals=2),
            (
                "a login with a second factor at most 60 seconds ago "
                "and the approval of 2 others"
            ),
        ),
    ],
)
def test_what_a_person_lacks_beside_rights_is_told(
    remedy: AccessRemedy, told: str
) -> None:
    explanation = AccessExplanation(
        allowed=False,
        principal="operator:alice",
        action="ref.move",
        resource="projects/demo/artifacts/minilm/refs/prod",
        policies=("fresh-mfa",),
        errors=(),
        assignments=(),
        allowing_roles=(),
        digest="0" * 64,
        refusal="",
        remedy=remedy,
    )

    lines = _told(explanation)

    assert f"  would be allowed with: {told}" in lines
    assert "  decided by: policy fresh-mfa" in lines


def test_how_long_one_locks_alone_is_what_servers_take() -> None:
    assert BackupSection().lock_days_alone == LOCK_DAYS_ALONE
