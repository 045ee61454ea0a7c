# SPDX-License-Identifier: Apache-2.0
"""What the tests of whole stacks share: starting one, looking at it from outside."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from strongroom_server.dev.addresses import AddressBook
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.seaweed import SeaweedFS
from strongroom_server.dev.stack import Stack, is_healthy

#: The server has tests of its own; these are about what it stands on.
COMPONENTS = ("vault", "store")


@contextlib.contextmanager
def stack_in(root: Path) -> Iterator[Stack]:
    stack = Stack(root, components=COMPONENTS)
    try:
        yield stack
    finally:
        stack.down(lambda _line: None)


def bring_up(stack: Stack) -> list[str]:
    lines: list[str] = []
    assert is_healthy(stack.up(lines.append))
    return lines


def pids(stack: Stack) -> dict[str, int | None]:
    return {process.name: process.pid for process in stack.status()}


def parts(stack: Stack) -> tuple[OpenBao, SeaweedFS]:
    addresses = AddressBook(stack.layout.addresses)
    return OpenBao(stack.layout, addresses), SeaweedFS(stack.layout, addresses)


def processes_that_mention(root: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                command = (entry / "cmdline").read_bytes()
                cwd = (entry / "cwd").readlink()
                if bytes(root) in command or cwd.is_relative_to(root):
                    found.append(int(entry.name))
    return found
