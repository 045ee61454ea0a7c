# SPDX-License-Identifier: Apache-2.0
"""`strongroom dev`: start, stop and look at a development stack.

Data goes to standard output, everything that is said to a person to standard
error. Errors are told by the program `strongroom`, which these commands are part of;
`status` ends with 3 if a process is not well.
"""

import contextlib
import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom.errors import NotFoundError, Reason
from strongroom_server.dev.addresses import HOST, AddressBook
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.people import PEOPLE, PERIOD_S, Person, person
from strongroom_server.dev.sign_in import sign_in
from strongroom_server.dev.stack import (
    DOWN,
    WITH_BACKUPS,
    WITH_SIDECAR,
    ProcessStatus,
    Stack,
    is_healthy,
)

_NOT_HEALTHY = 3

app = typer.Typer(
    name="dev",
    help="A development stack: OpenBao, SeaweedFS and the server on 127.0.0.1.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        envvar="STRONGROOM_DEV_DIR",
        help="The stack's folder; nothing is written outside it. Unless given, the "
        "nearest .strongroom with a stack above the working directory.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_Backups = Annotated[
    bool,
    typer.Option(
        "--backups",
        help="With a second SeaweedFS, whose bucket locks what it is given, for "
        "backups; from then on other commands are about it, too.",
    ),
]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="alice or bob.")]
_Url = Annotated[
    str,
    typer.Argument(metavar="URL", help="As `strongroom login` prints it, in quotes."),
]
_FOLDER_NAME = ".strongroom"


@app.command()
def up(
    folder: _Folder = None, backups: _Backups = False, as_json: _Json = False
) -> None:
    """Start the stack, or mend it if it runs; wait until it works."""
    stack = _stack(folder)
    if backups:
        stack = Stack(stack.layout.root, components=WITH_BACKUPS)
    with _stopping():
        processes = stack.up(_say)
    _print_processes(stack, processes, as_json=as_json)
    _say(f"The stack runs in {stack.layout.root}; Strongroom on {stack.endpoint}.")
    _say(f"  logs       {stack.layout.root / 'logs'}")
    _say("  try        strongroom doctor")
    _say("  people     strongroom dev people")
    _say("  stop       strongroom dev down")


@app.command()
def sidecar(folder: _Folder = None, as_json: _Json = False) -> None:
    """Start a sidecar beside the stack, as one runs beside a trainer.

    It may do what `trainer` may. From then on `up`, `down` and `status` are about it,
    too.
    """
    stack = Stack(_stack(folder).layout.root, components=WITH_SIDECAR)
    processes = stack.up(_say)
    _print_processes(stack, processes, as_json=as_json)
    settings = stack.layout.sidecar_client
    _say(f"The sidecar listens in {stack.layout.sidecar}.")
    _say(f"  try        strongroom --config {settings} doctor")


@app.command()
def down(folder: _Folder = None, as_json: _Json = False) -> None:
    """Stop the stack; everything stored in it stays."""
    stack = _stack(folder)
    stopped = stack.down(_say)
    if as_json:
        _print_json({"root": str(stack.layout.root), "stopped": stopped})
    elif not stopped:
        _say(f"Nothing was running in {stack.layout.root}.")


@app.command()
def status(folder: _Folder = None, as_json: _Json = False) -> None:
    """Show one line per process; exit with 3 unless all are well."""
    stack = _stack(folder)
    processes = stack.status()
    _print_processes(stack, processes, as_json=as_json)
    if not is_healthy(processes):
        if not stack.exists:
            _say(f"There is no stack in {stack.layout.root}; `strongroom dev up`.")
        raise typer.Exit(_NOT_HEALTHY)


@app.command()
def env(folder: _Folder = None, as_json: _Json = False) -> None:
    """Print shell exports that make other commands use this stack.

    No secret is among them: those stay in files of the stack's folder.
    """
    variables = _variables(_stack(folder))
    if as_json:
        _print_json(variables)
        return
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def people(folder: _Folder = None, as_json: _Json = False) -> None:
    """List the people of the stack, their roles, and where their settings lie."""
    stack = _stack(folder)
    _check_exists(stack)
    found = [_told_person(stack, person(stack.layout, name)) for name in PEOPLE]
    if as_json:
        _print_json({"people": found})
        return
    for one in found:
        print(f"{one['name']:<8} {', '.join(one['roles'])}")
        print(f"  settings  {one['settings']}")
        print(f"  password  in {one['password_file']}")
    _say("  sign in    strongroom --config SETTINGS login")
    _say("  phone      strongroom dev otp NAME")


@app.command()
def otp(name: _Name, folder: _Folder = None, as_json: _Json = False) -> None:
    """Print the code that somebody's phone would show now; each is good once."""
    stack = _stack(folder)
    _check_exists(stack)
    now = time.time()
    code = person(stack.layout, name).code(now)
    left_s = PERIOD_S - int(now) % PERIOD_S
    if as_json:
        _print_json({"code": code, "seconds_left": left_s})
        return
    print(code)
    _say(f"good for {left_s} more seconds")


@app.command("sign-in")
def sign_in_as(name: _Name, url: _Url, folder: _Folder = None) -> None:
    """Sign in as somebody without a browser: password, code, and back to the program.

    For example, all in one terminal:

      BROWSER='strongroom dev sign-in alice %s' strongroom login
    """
    stack = _stack(folder)
    _check_exists(stack)
    bao = OpenBao(stack.layout, AddressBook(stack.layout.addresses))
    sign_in(bao.client(), person(stack.layout, name), url)
    _say(f"Signed in as {name}.")


def _told_person(stack: Stack, who: Person) -> dict[str, Any]:
    """Say what a person needs to know of themselves, but no secret."""
    return {
        "name": who.name,
        "principal": f"operator:{who.name}",
        "roles": list(who.roles),
        "settings": str(stack.layout.client(who.name) / "client.toml"),
        "password_file": str(who.password_file),
    }


def _stack(folder: Path | None) -> Stack:
    """Return the stack of a folder, or the nearest one, as clients find theirs.

    If there is none, it is the one that `up` would make here.
    """
    if folder is not None:
        return Stack(folder)
    here = Path.cwd()
    for parent in (here, *here.parents):
        stack = Stack(parent / _FOLDER_NAME)
        if stack.exists:
            return stack
    return Stack(here / _FOLDER_NAME)


def _check_exists(stack: Stack) -> None:
    if not stack.exists:
        raise NotFoundError(
            f"there is no stack in {stack.layout.root}",
            reason=Reason.PATH_NOT_FOUND,
            hint="Run `strongroom dev up`, or name another folder with --dir.",
            path=stack.layout.root,
        )


def _variables(stack: Stack) -> dict[str, str]:
    layout = stack.layout
    _check_exists(stack)
    ports = AddressBook(layout.addresses)
    return {
        "STRONGROOM_DEV_DIR": str(layout.root),
        "STRONGROOM_CONFIG": str(layout.client_settings),
        "BAO_ADDR": f"https://{HOST}:{ports.port('vault')}",
        "BAO_CACERT": str(layout.vault_ca),
        "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{ports.port('store-s3')}",
    }


def _print_processes(
    stack: Stack, processes: list[ProcessStatus], *, as_json: bool
) -> None:
    if as_json:
        _print_json(
            {
                "root": str(stack.layout.root),
                "healthy": is_healthy(processes),
                "endpoint": stack.endpoint,
                "client_config": str(stack.layout.client_settings),
                "processes": [process.as_record() for process in processes],
            }
        )
        return
    for process in processes:
        if process.health == DOWN:
            print(f"{process.name:<14} {DOWN}")
            continue
        print(
            f"{process.name:<14} {process.health:<6} pid {process.pid:<8} "
            f"port {process.port:<6} up {_format_age(process.age_s or 0)}"
        )


def _format_age(age_s: int) -> str:
    minutes, seconds = divmod(age_s, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Say what Ctrl-C leaves behind; errors are told by the program, as all are."""
    try:
        yield
    except KeyboardInterrupt:
        _say("What this command had started is stopped again.")
        raise


def _print_json(record: object) -> None:
    print(json.dumps(record))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
