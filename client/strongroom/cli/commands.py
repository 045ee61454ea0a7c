# SPDX-License-Identifier: Apache-2.0
"""Where each command is, so that a program loads only the one that is called."""

import importlib
from collections.abc import Iterator, Sequence
from typing import Final

import typer

#: The module of each command, in the order of the help; the function has its name.
_COMMANDS: Final = {
    "push": "transfers",
    "pull": "transfers",
    "cat": "transfers",
    "ls": "listing",
    "show": "listing",
    "log": "listing",
    "diff": "listing",
    "create": "changing",
    "rollback": "rolling_back",
    "restore": "restoring",
    "delete": "keeping",
    "undelete": "keeping",
    "explain": "explaining",
    "lineage": "lineage",
    "verify": "proving",
    "repair": "maintaining",
    "sweep": "maintaining",
    "shred": "shredding",
    "doctor": "proving",
    "trace": "proving",
    "login": "signing_in",
    "logout": "signing_in",
    "whoami": "signing_in",
}
#: The module of each group of commands; what makes it is named `NAME_app`.
_GROUPS: Final = {
    "ref": "rolling_back",  # which adds `ref log`
    "project": "changing",
    "hold": "keeping",
    "policy": "keeping",
    "index": "maintaining",
    "keys": "keys",
    "backup": "backing_up",
    "drill": "drilling",
    "approvals": "approvals",
    "access": "access",
}
#: What may stand in front of a command, each with a value.
_VALUED: Final = ("--config", "--endpoint")


def called_command(args: Sequence[str]) -> str | None:
    """Return the first word that is no option, if all before it is understood.

    Nothing is returned where the program's own help or version may be asked for.
    """
    words = iter(args)
    for word in words:
        if word in _VALUED:
            next(words, None)
        elif not word.startswith("-"):
            return word
        elif not word.startswith(tuple(f"{option}=" for option in _VALUED)):
            return None
    return None


def is_own_command(name: str | None) -> bool:
    """Return whether a name is a command of ours, to which nobody adds any."""
    return name in _COMMANDS


def add_own_commands(app: typer.Typer, called: str | None) -> None:
    """Add the command that is called; all of them, if none of them is."""
    for name, command in _found(_COMMANDS, called):
        app.command(name)(getattr(command, name))
    for name, module in _found(_GROUPS, called):
        app.add_typer(_own(getattr(module, f"{name}_app")), name=name)


def _found(places: dict[str, str], called: str | None) -> Iterator[tuple[str, object]]:
    known = called in _COMMANDS or called in _GROUPS
    for name, module in places.items():
        if name == called or not known:
            yield name, importlib.import_module(f"strongroom.cli.{module}")


def _own(group: typer.Typer) -> typer.Typer:
    """Return a group that other distributions may add commands to, for one program."""
    own = typer.Typer(
        help=group.info.help, no_args_is_help=True, pretty_exceptions_enable=False
    )
    own.registered_commands += group.registered_commands
    own.registered_groups += group.registered_groups
    own.registered_callback = group.registered_callback
    return own
