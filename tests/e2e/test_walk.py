# SPDX-License-Identifier: Apache-2.0
"""The walk of `docs/operations.md`, run as it stands on a real stack.

The document is the test: each command of its section is run in the terminal of its
prompt, must end with the code behind it, and must print what stands below it.
"""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import ROOT
from tests.support.cli import STRONGROOM, TIMEOUT_S, LiveStack
from tests.support.people import secrets_of_people, terminal_of
from tests.support.searching import search, written_files

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

HEADING: Final = "## 5. Two people destroy a project: a walk"
BLOCK: Final = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROMPT: Final = re.compile(r"(?P<who>[a-z]+)\$ (?P<text>.*?)(?: # ends with (\d+))?")
APPROVAL: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{10}\b")
DIGEST: Final = re.compile(r"\b[0-9a-f]{64}\b")
SHOWN: Final = re.compile(r"^digest +([0-9a-f]{64})$", re.MULTILINE)
ELLIPSIS: Final = "…"
#: How old a login may be by a rule of the stack's own, and how soon it counts.
HASTY_S: Final = 20
RELOAD_S: Final = 6


@dataclass
class Step:
    """A command of the document, and what it says of it."""

    who: str
    command: str
    code: int
    expected: list[str] = field(default_factory=list)


@dataclass
class Terminal:
    """Where one of them types: what was exported stays."""

    folder: Path
    exports: list[str] = field(default_factory=list)

    def run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit code and all that it printed."""
        if command.startswith("export "):
            self.exports.append(command)
        done = subprocess.run(
            ["bash", "-c", "\n".join([*self.exports, command])],  # noqa: S607
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={
                "PATH": f"{STRONGROOM.parent}:{os.environ['PATH']}",
                "HOME": str(self.folder / "home"),
            },
        )
        return done.returncode, done.stdout


def steps() -> list[Step]:
    """Read the walk."""
    text = (ROOT / "docs" / "operations.md").read_text()
    after = text.split(HEADING, 1)[1]
    section = re.split("^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
    found: list[Step] = []
    for block in BLOCK.findall(section):
        for line in block.splitlines():
            prompt = PROMPT.fullmatch(line)
            if prompt is not None:
                who, command, code = prompt.groups()
                found.append(Step(who, command, int(code or 0)))
            else:
                found[-1].expected.append(line)
    return found


def matches(expected: str, output: str) -> bool:
    """Tell whether a line of the output is what the document shows."""
    pattern = ".*".join(map(re.escape, expected.split(ELLIPSIS)))
    return re.search(f"^{pattern}$", output, re.MULTILINE) is not None


@dataclass
class Walk:
    """The walk that was gone, in its folder."""

    stack: LiveStack
    folder: Path
    approval: str
    output: str


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Go the walk, step by step, as the document says."""
    folder = tmp_path_factory.mktemp("walk")
    stack = LiveStack(folder / ".strongroom")
    terminals = {who: Terminal(folder) for who in ("you", "alice", "bob")}
    approval = digest = ""
    said: list[str] = []
    try:
        for step in steps():
            command = DIGEST.sub(digest, APPROVAL.sub(approval, step.command))
            code, output = terminals[step.who].run(command)
            said.append(output)
            assert code == step.code, (step, output)
            if not approval and "APPROVAL_REQUIRED" in output:
                approval = APPROVAL.findall(output)[0]
            if shown := SHOWN.search(output):
                digest = shown[1]
            for line in step.expected:
                assert matches(APPROVAL.sub(approval, line), output), (line, output)
        yield Walk(stack, folder, approval, "".join(said))
    finally:
        stack.down()


def test_the_document_has_the_walk() -> None:
    found = steps()

    assert {step.who for step in found} == {"you", "alice", "bob"}
    assert sum(step.code != 0 for step in found) >= 8, "what must fail is walked, too"


def test_the_walk_goes_as_the_document_says(walk: Walk) -> None:
    assert walk.approval


def test_the_receipt_names_both_people(walk: Walk) -> None:
    receipt = (walk.folder / "old-runs.shred-receipt.json").read_text()

    assert json.loads(receipt)
    assert "Traceback" not in walk.output


def test_no_password_token_or_phone_is_left_anywhere_else(walk: Walk) -> None:
    """Search all that the stack wrote: logs, audit log, spans, settings, output."""
    root = walk.folder / ".strongroom"
    wanted = list(secrets_of_people(root))
    assert {item.name for item in wanted} >= {
        *("alice's password", "bob's password", "alice's phone", "bob's phone"),
        *("bob's token", "the security key of alice", "the security key of bob"),
    }
    assert "alice's token" not in {item.name for item in wanted}, "she has logged out"
    places = [*written_files(walk.stack), ("what was said", walk.output.encode())]

    assert search(places, wanted) == []


def test_a_login_that_is_not_fresh_is_asked_for_anew(walk: Walk) -> None:
    """As after five minutes, but by a rule that wants a login of this moment."""
    root = walk.folder / ".strongroom"
    alice = terminal_of("alice", root)
    walk.stack.check("login", environ=alice)
    (root / "server" / "policies" / "hasty.cedar").write_text(
        f"""@id("hasty")
        forbid (principal is Operator, action == Action::"project.create", resource)
        unless {{ context.auth_age_s <= {HASTY_S} }};"""
    )
    threading.Event().wait(HASTY_S + RELOAD_S)

    refused = walk.stack.run("project", "create", "late", "--json", environ=alice)
    walk.stack.check("login", "--fresh", environ=alice)
    made = walk.stack.run("project", "create", "late", environ=alice)

    told = json.loads(refused.err.splitlines()[-1])
    assert (refused.code, told["reason"]) == (13, "STEP_UP_REQUIRED")
    assert "strongroom login --fresh" in told["hint"]
    assert made.code == 0, made
