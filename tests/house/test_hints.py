# SPDX-License-Identifier: Apache-2.0
"""What errors and help say to run next can be run: every command in them exists."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest
from typer.main import get_command

from strongroom.cli import program
from strongroom_server import __main__ as server
from tests.house.tree import python_files, shown

#: A command as texts of the product name it: in backticks, or at their beginning.
NAMED: Final = re.compile(r"(?:`|\A)strongroom(-server)?((?: [a-z][a-z-]*){1,3})\b")
#: What begins like a command, and names a kind of file.
NO_COMMANDS: Final = frozenset({"software security key"})
PRODUCT: Final = ("client/", "server/")


def named_commands() -> Iterator[tuple[str, str, str]]:
    """Yield each command that a text names, where, and whether of the server."""
    for path in python_files():
        if not shown(path).startswith(PRODUCT):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for of_server, words in NAMED.findall(node.value):
                    if words.strip() not in NO_COMMANDS:
                        yield f"{shown(path)}:{node.lineno}", of_server, words.strip()


def test_a_command_that_the_product_names_exists() -> None:
    app = program.make_app()
    program._add_commands(app, ["--help"])
    root = get_command(app)

    def exists(words: list[str]) -> bool:
        command: object = root
        for word in words:
            below = getattr(command, "commands", None)
            if not below:
                return True  # What follows a command is an argument of it.
            if word not in below:
                return False
            command = below[word]
        return True

    named = [(place, words) for place, of, words in named_commands() if not of]

    assert len(named) > 50
    assert [item for item in named if not exists(item[1].split())] == []


def test_a_command_of_the_server_that_the_product_names_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = {words: place for place, of, words in named_commands() if of}

    assert len(named) > 3
    wrong = []
    for words, place in named.items():
        with pytest.raises(SystemExit) as ended:
            server.main([*words.split()[:2], "--help"])
        if ended.value.code != 0:
            wrong.append((place, words))
    capsys.readouterr()
    assert wrong == []
