# SPDX-License-Identifier: Apache-2.0
"""The command line loads what the called command needs, and little else."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from strongroom._version import VERSION
from strongroom.cli.commands import called_command
from strongroom.cli.plain_values import pass_plain_values
from strongroom.cli.program import make_app, run

#: What takes long to load, and that few commands need.
HEAVY = ["pydantic", "opentelemetry", "importlib.metadata", "rich", "numpy", "boto3"]
#: What a push and a pull have of our own.
OTHERS = [
    "strongroom.cli.approvals",
    "strongroom.cli.listing",
    "strongroom.values.keys",
    "strongroom.values.upkeep",
    "strongroom._convert.requests",
    "strongroom._login.issuer",
    "strongroom_server",
]


def loaded_by(*args: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    script = (
        "import json, sys\n"
        f"sys.argv = {['strongroom', *args]!r}\n"
        "from strongroom.cli.main import main\n"
        "main()\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd="/",
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_version_is_told_without_loading_any_command() -> None:
    loaded = loaded_by("--version")

    assert not loaded & {*HEAVY, *OTHERS, "grpc", "google.protobuf", "typer", "asyncio"}
    assert len([name for name in loaded if name.startswith("strongroom")]) <= 6


@pytest.mark.parametrize(
    "args", [("push", "/no/such", "demo/a"), ("pull", "demo/a", "/no/such")]
)
def test_a_transfer_loads_no_other_command_and_no_checks_of_arguments(
    args: tuple[str, ...],
) -> None:
    assert not loaded_by(*args) & {*HEAVY, *OTHERS}


def test_a_client_is_made_without_values_that_nobody_asked_for() -> None:
    script = (
        "import sys, strongroom; strongroom.Client; "
        "print(sum(name.startswith('strongroom.values.') for name in sys.modules), "
        "'opentelemetry' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.split() == ["2", "False"]


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION


@pytest.mark.parametrize(
    ("args", "called"),
    [
        (["push", "a", "b"], "push"),
        (["--config", "push", "pull"], "pull"),
        (["--endpoint=h:1", "ls"], "ls"),
        (["--help", "push"], None),
        (["--version", "push"], None),
        (["--config"], None),
        ([], None),
    ],
)
def test_the_command_is_the_first_word_that_is_no_option(
    args: list[str], called: str | None
) -> None:
    assert called_command(args) == called


def test_one_command_is_as_it_is_among_all() -> None:
    everything = getattr(get_command(make_app()), "commands", {})

    for name, command in everything.items():
        alone = getattr(get_command(make_app([name])), "commands", {})
        assert list(alone) == [name]
        assert alone[name].help == command.help
        assert [item.opts for item in alone[name].params] == [
            item.opts for item in command.params
        ]
        assert list(getattr(alone[name], "commands", {})) == list(
            getattr(command, "commands", {})
        )
    assert list(getattr(get_command(make_app(["psh"])), "commands", {})) == [
        *everything
    ]


@pytest.mark.parametrize("word", ["access", "backup", "drill"])
def test_a_word_that_is_also_a_group_is_a_word(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["project", "create", word, "--help"]) == 0
    assert "project create" in capsys.readouterr().out


def test_commands_of_the_server_are_in_their_groups() -> None:
    for command in (["access", "test"], ["backup", "prove"], ["drill", "verify"]):
        assert run([*command, "--help"]) == 0


def test_what_is_not_plain_is_typers_to_refuse(tmp_path: Path) -> None:
    app = typer.Typer()
    seen: list[object] = []

    @app.command()
    def count(number: int, path: Path, words: list[str]) -> None:
        seen.extend((number, path, words))

    command = get_command(app)
    pass_plain_values(command)

    command(["7", str(tmp_path), "a", "b"], standalone_mode=False)
    with pytest.raises(Exception, match=r"(?i)valid integer"):
        command(["seven", str(tmp_path), "a"], standalone_mode=False)

    assert seen == [7, tmp_path, ["a", "b"]]
