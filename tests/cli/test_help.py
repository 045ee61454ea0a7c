# SPDX-License-Identifier: Apache-2.0
"""Every command explains itself, with an example."""

import pytest

from strongroom.cli.program import make_app, run

COMMANDS = [
    ["push"],
    ["pull"],
    ["cat"],
    ["ls"],
    ["show"],
    ["log"],
    ["diff"],
    ["create"],
    ["rollback"],
    ["delete"],
    ["undelete"],
    ["explain"],
    ["lineage"],
    ["verify"],
    ["repair"],
    ["sweep"],
    ["doctor"],
    ["trace"],
    ["login"],
    ["logout"],
    ["whoami"],
    ["shred"],
    ["ref", "move"],
    ["ref", "ls"],
    ["ref", "log"],
    ["project", "create"],
    ["hold", "set"],
    ["hold", "lift"],
    ["policy", "show"],
    ["policy", "set"],
    ["index", "rebuild"],
    ["keys", "ls"],
    ["keys", "rotate"],
    ["keys", "rewrap"],
    ["keys", "retire"],
    ["keys", "epoch"],
    ["keys", "public"],
    *(["approvals", name] for name in ("ls", "show", "approve", "deny", "withdraw")),
    *(["approvals", name] for name in ("run", "enroll")),
    ["access", "explain"],
    *(["backup", name] for name in ("create", "ls", "show", "verify")),
    *(["backup", name] for name in ("extend", "hold")),
    *(["drill", name] for name in ("run", "ls", "show")),
    ["restore"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run([*command, "--help"]) == 0

    assert (
        f"strongroom {' '.join(command)}"
        in capsys.readouterr().out.split("For example:")[1]
    )


def test_every_command_is_tested_for_help() -> None:
    app = make_app()
    names = {
        info.callback.__name__ for info in app.registered_commands if info.callback
    }
    groups = {
        (group.name, info.name or info.callback.__name__)
        for group in app.registered_groups
        if group.typer_instance
        for info in group.typer_instance.registered_commands
        if info.callback
    }

    assert names == {command[0] for command in COMMANDS if len(command) == 1}
    assert groups == {tuple(command) for command in COMMANDS if len(command) == 2}
