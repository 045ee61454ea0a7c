# SPDX-License-Identifier: Apache-2.0
"""`strongroom vault policy` prints what an operator installs, and asks nobody."""

from pathlib import Path

import pytest

from strongroom.cli.program import run
from strongroom_server import __main__ as server_program
from strongroom_server.core import vault_policy
from strongroom_server.vault_commands import Role


def test_the_roles_of_the_command_are_those_that_there_are() -> None:
    assert {role.value for role in Role} == set(vault_policy.ROLES)


@pytest.mark.parametrize("role", sorted(vault_policy.ROLES))
def test_both_programs_print_the_same_policy(
    role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["vault", "policy", "--role", role, "--mount", "kms"]
    options += ["--pki-mount", "ca", "--pki-role", "srv", "--client-pki-role", "job"]
    options += ["--approvers", "Key owners", "--approvals", "3"]
    names = vault_policy.Names("kms", "ca", "srv", "job", "Key owners", 3)

    assert server_program.main(options) == 0
    printed = capsys.readouterr().out
    assert run(options) == 0

    assert capsys.readouterr().out == printed == vault_policy.ROLES[role](names)


def test_a_vault_without_control_groups_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["vault", "policy", "--role", "key-destroyer", "--no-control-group"]
    expected = vault_policy.key_destroyer_policy(
        vault_policy.Names(control_group=False)
    )

    assert run(options) == 0
    assert capsys.readouterr().out == expected
    assert server_program.main(options) == 0
    assert capsys.readouterr().out == expected
    assert "control_group" not in expected


def test_a_server_of_one_project_is_named_by_its_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = "a" * 29

    assert run(["vault", "policy", "--project", project]) == 0

    assert f'path "transit/decrypt/sr.{project}.*"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [["--mount", "a b"], ["--approvals", "1"], ["--project", "demo"]],
)
def test_names_that_no_policy_can_have_are_told(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vault", "policy", *options]) == 2
    assert options[1] in capsys.readouterr().err

    assert server_program.main(["vault", "policy", *options]) == 2
    assert options[1] in capsys.readouterr().err


def test_a_backup_that_is_no_number_is_refused_before_anybody_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "none.toml"

    assert run(["vault", "check", "--config", str(config), "--backup", "last"]) == 2

    assert "'last' is no backup's number" in capsys.readouterr().err


def test_the_check_explains_itself_with_an_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["vault", "check", "--help"]) == 0

    shown = capsys.readouterr().out
    assert "strongroom vault check" in shown.partition("For example:")[2]
