# SPDX-License-Identifier: Apache-2.0
"""The commands as one program: how they are found, and how they end."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from typer.main import get_command

from strongroom._version import VERSION
from strongroom.cli.commands import add_own_commands, called_command, is_own_command
from strongroom.cli.output import print_error
from strongroom.cli.plain_values import pass_plain_values
from strongroom.cli.session import Session
from strongroom.errors import (
    InternalError,
    InvalidArgumentError,
    Reason,
    StrongroomError,
)

#: Other distributions and extras add commands here.
ENTRY_POINTS: Final = "strongroom.commands"
INTERRUPTED: Final = 130
TERMINATED: Final = 143
BROKEN_PIPE: Final = 141
_USAGE: Final = 2
_STOPPED: Final = "strongroom: interrupted"
#: What an interruption leaves behind, by command.
_STOPPED_TEXT: Final = {
    "push": f"{_STOPPED}; no version was made",
    "pull": f"{_STOPPED}; no target was made",
    "sweep": f"{_STOPPED}; what was done stays done, and the same plan goes on",
    "rewrap": f"{_STOPPED}; what was done stays done, and the same command goes on",
}
_EXIT_CODES: Final = (
    "Exit codes: 0 ok, 2 usage, 10 not found, 11 conflict or exists, 12 denied, "
    "13 sign in again or ask for approval, 14 damaged, 16 precondition, "
    "17 unavailable or full, 130 interrupted; any other is a failure, too."
)


def run(args: Sequence[str]) -> int:
    """Run one command; never show a traceback.

    Args:
        args: What follows `strongroom`.

    Returns:
        The exit code.
    """
    as_json = "--json" in args
    terminated: list[int] = []
    try:
        with _termination_as_interrupt(terminated):
            code = _run(list(args) or ["--help"])
            sys.stdout.flush()
    except StrongroomError as error:
        if error.reason is Reason.ARGUMENT_INVALID and not error.hint:
            error.hint = f"{_command_path(args)} --help"
        print_error(error, as_json=as_json)
        return error.exit_code
    except BrokenPipeError:
        # The reader has enough; Python must not flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that may catch it
        return _unexpected(error, as_json=as_json)
    if code == INTERRUPTED:
        print(_STOPPED_TEXT.get(_command(args), _STOPPED), file=sys.stderr)
        return TERMINATED if terminated else INTERRUPTED
    return code


def _command(args: Sequence[str]) -> str:
    return next((item for item in args if item in _STOPPED_TEXT), "")


def _command_path(args: Sequence[str]) -> str:
    """Return the names of the command that was called, from the first on."""
    names = ["strongroom"]
    commands: Mapping[str, object] = getattr(
        get_command(make_app(args)), "commands", {}
    )
    for item in args:
        if item in commands:
            names.append(item)
            commands = getattr(commands[item], "commands", {})
    return " ".join(names)


def make_app(args: Sequence[str] = ()) -> typer.Typer:
    """Return the program, without what other distributions add.

    Args:
        args: What follows `strongroom`. Other commands than the one that is called
            are left out: they take longer to load than many take to run.
    """
    app = typer.Typer(
        name="strongroom",
        help="An encrypted artifact store for AI training.",
        epilog=_EXIT_CODES,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    add_own_commands(app, called_command(args))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        print(f"strongroom {VERSION}")
        raise typer.Exit


def _options(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(help="A client.toml to read in place of the nearest one."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="host:port of the server.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Encrypted, versioned artifacts for AI training."""
    del version  # its callback has printed it
    context.obj = Session(config_file=config, endpoint=endpoint)


def _run(args: list[str]) -> int:
    app = make_app(args)
    _add_commands(app, args)
    program = get_command(app)
    pass_plain_values(program)
    code = program(args, prog_name="strongroom", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _add_commands(app: typer.Typer, args: list[str]) -> None:
    """Mount what other distributions add, but load only what is called or listed."""
    word = called_command(args)
    if is_own_command(word):
        return
    # Late: it takes 20 ms, and looks at every distribution that is installed.
    from importlib import metadata

    listed = args[0] in {"--help", "--show-completion", "--install-completion"}
    for entry_point in metadata.entry_points(group=ENTRY_POINTS):
        # `access.test` is the command `test` of the group `access`.
        *groups, name = entry_point.name.split(".")
        if groups and word is not None and groups[0] != word:
            continue  # Of the groups, the called one alone is there to mount it in.
        called = {*groups, name} <= {*args}
        if not (called or listed or (groups and {*groups} <= {*args})):
            continue
        try:
            commands = entry_point.load()
        except ModuleNotFoundError as error:
            if not called:
                continue  # an extra that is not installed has nothing to list
            command = " ".join([*groups, name])
            message = f"`strongroom {command}` needs the module {error.name!r}"
            raise InvalidArgumentError(
                message,
                hint="In the source folder: pip install '.[devstack]'",
                module=error.name or "",
            ) from error
        _mount(app, groups, name, commands)


def _mount(
    app: typer.Typer, groups: Sequence[str], name: str, commands: object
) -> None:
    """Mount a group, or a command, below the groups that the program has."""
    for group in groups:
        app = next(
            item.typer_instance
            for item in app.registered_groups
            if item.name == group and item.typer_instance is not None
        )
    if isinstance(commands, typer.Typer):
        app.add_typer(commands, name=name)
    elif callable(commands):
        app.command(name)(commands)


def _unexpected(error: Exception, *, as_json: bool) -> int:
    if type(error).__name__ == "Abort":
        # Typer's, of a question that nobody answered.
        nobody = InvalidArgumentError(
            "the question was not answered; nothing was done",
            hint="Answer it at a terminal; commands that ask have --yes.",
        )
        print_error(nobody, as_json=as_json)
        return nobody.exit_code
    show = getattr(error, "show", None)
    format_message = getattr(error, "format_message", None)
    if format_message is not None and show is not None:
        # Click's errors, which typer brings along under a private name.
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "strongroom"
        if type(error).__name__ == "NoArgsIsHelpError":
            show()
            return _USAGE
        usage = InvalidArgumentError(format_message(), hint=f"{path} --help")
        print_error(usage, as_json=as_json)
        return usage.exit_code
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    print_error(
        InternalError(
            f"a bug in the strongroom command: {type(error).__name__} at {place}: "
            f"{error}",
            hint="Please report this line; see SECURITY.md if it looks dangerous.",
        ),
        as_json=as_json,
    )
    return InternalError.exit_code


@contextmanager
def _termination_as_interrupt(received: list[int]) -> Iterator[None]:
    """Let SIGTERM clean up as Ctrl-C does, and note it in `received`."""

    def interrupt(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
