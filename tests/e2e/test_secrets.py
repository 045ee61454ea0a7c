# SPDX-License-Identifier: Apache-2.0
"""Keys, tokens and credentials are nowhere but where they belong.

All secrets of a stack are gathered, domain keys included, which Vault unwraps for
the test; then every command and with them every call is used, and all that the
stack wrote, said or was started with is searched for them.
"""

import os
import re
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from strongroom.cli import program
from tests.rpc.access_table import RPCS
from tests.support.cli import LiveStack
from tests.support.drafts import use_drafts
from tests.support.every_command import NAME, Session, is_running
from tests.support.searching import (
    Place,
    Wanted,
    processes,
    search,
    stored_objects,
    written_files,
)
from tests.support.stack_secrets import Secrets

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

#: Commands that are not of the product, or that never end.
NOT_USED = {"dev up", "dev down"}


def leaves() -> Iterator[str]:
    """Yield every command that there is."""
    app = program.make_app()
    program._add_commands(app, ["--help"])

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401
        children: Mapping[str, object] = getattr(command, "commands", {})
        for name, child in children.items():
            yield from walk(child, (*path, name))
        if not children:
            yield " ".join(path)

    return walk(get_command(app), ())


def called(stack: LiveStack) -> set[str]:
    """Return every method that the server's spans name."""
    spans = (stack.root / "telemetry/server-spans.jsonl").read_text()
    return {method for method in RPCS if method.lstrip("/") in spans}


def test_no_secret_is_said_stored_logged_or_passed_on(
    own_backed_stack: LiveStack, tmp_path: Path
) -> None:
    own_stack = own_backed_stack
    session = Session(own_stack, tmp_path)
    session.transfer()
    use_drafts(own_stack.root / "client.toml", NAME)
    session.keep()
    session.protect()
    session.agree()
    session.beside()
    session.operate()
    started = list(processes(own_stack))
    objects = dict(stored_objects(own_stack))
    wanted = Secrets(own_stack).all(objects)
    crash(own_stack)

    files = list(written_files(own_stack))
    places = (*objects.items(), *files, *started, *session.said)

    assert search(places, wanted) == []
    assert look_like_secrets(places) <= {
        item.at_home for item in wanted if "PEM" in item.name
    }
    # What was searched is all there is: every command, every call, every kind of file.
    unused = {
        leaf
        for leaf in leaves()
        if not any(f"{line} ".startswith(f"{leaf} ") for line in session.used)
    }
    assert unused == NOT_USED
    assert called(own_stack) == set(RPCS)
    names = {name.split("/", maxsplit=1)[0] for name, _ in files}
    assert {"server", "logs", "telemetry", "seaweed", "vault"} <= names
    kinds = {item.name.split(" of ")[0] for item in wanted}
    assert {"master key", "dedup key", "the S3 secret key", "the secret id"} <= kinds
    assert {"alice's password", "bob's phone", "bob's token"} <= kinds
    # A search that cannot find anything proves nothing: each is found at its home.
    homes = {item.name: item.value for item in wanted if item.at_home}
    found = search(files, [Wanted(name, value) for name, value in homes.items()])
    # In PEM, lines end in the middle of a key.
    broken = {name for name in homes if f"{name} in PEM" in homes}
    assert {name for _, name in found} >= homes.keys() - broken


#: A private key in PEM, and a token of Vault or OpenBao.
SHAPES = re.compile(rb"PRIVATE KEY-----|\b(?:s|b|r|hv[sbr])\.[A-Za-z0-9]{24,}\b")


def look_like_secrets(places: Iterable[Place]) -> set[frozenset[str]]:
    """Return where something has the shape of a secret, whoever knows of it."""
    return {frozenset({name}) for name, data in places if SHAPES.search(data)}


def crash(stack: LiveStack) -> None:
    """Kill the server as a bug in a library would; it must leave no core."""
    process = stack.processes()["server"]
    pid = int(process["pid"])
    limits = Path(f"/proc/{pid}/limits").read_text()
    [core] = [line for line in limits.splitlines() if line.startswith("Max core")]
    assert core.split()[4:6] == ["0", "0"], core
    folder = Path(f"/proc/{pid}/cwd").resolve()
    before = set(folder.iterdir())
    os.kill(pid, signal.SIGSEGV)
    while is_running(pid):
        time.sleep(0.05)
    assert {path.name for path in set(folder.iterdir()) - before} == set()
