# SPDX-License-Identifier: Apache-2.0
"""Documents keep their word: links lead somewhere, commands and targets exist."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import ROOT, shown, text_files

README_LINES: Final = 200
DOCUMENTS: Final = [path for path in text_files() if path.suffix == ".md"]
#: A fenced block, or a span of code in a line.
CODE: Final = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
MAKE: Final = re.compile(r"\bmake ((?:[a-z][a-z0-9-]*)(?: [a-z][a-z0-9-]*)*)")
#: A command as typed: at the start of a line or span, perhaps after a prompt.
COMMAND: Final = re.compile(r"^[`$ ]*strongroom((?: [a-z][a-z-]*)+)", re.MULTILINE)


def prose(text: str) -> str:
    """Return a document without its code, in which nothing is a link."""
    return CODE.sub("", text)


def code(path: Path) -> str:
    """Return all code of a document: blocks and spans, one after another."""
    return "\n".join(CODE.findall(path.read_text()))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ +(.+?) *$", path.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def links(path: Path) -> Iterator[str]:
    for target in LINK.findall(prose(path.read_text())):
        if not re.match(r"[a-z]+:", target):
            yield target


def named_commands() -> list[str]:
    """Return each `strongroom …` that a document shows, without its arguments."""
    named = {
        found.strip() for path in DOCUMENTS for found in COMMAND.findall(code(path))
    }
    return sorted(named)


def test_the_readme_is_read_in_one_sitting() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()

    assert 30 <= len(lines) <= README_LINES


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_a_link_within_the_repository_leads_somewhere(path: Path) -> None:
    broken = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_a_make_target_that_a_document_names_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))

    named = {word for words in MAKE.findall(code(path)) for word in words.split()}

    assert named - targets == set()


@pytest.mark.parametrize("command", named_commands())
def test_a_command_that_a_document_names_exists_and_has_help(command: str) -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "strongroom", *command.split(), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert command.split(maxsplit=1)[0] in run.stdout


def test_the_first_two_commands_of_the_readme_are_the_demo_and_the_tests() -> None:
    readme = code(ROOT / "README.md")
    ci = (ROOT / ".ci" / "run").read_text()

    assert MAKE.findall(readme)[:2] == ["demo", "test"]
    assert "\nmake test\n" in ci


def test_every_row_of_the_bench_is_said_to_be_reached_and_no_other() -> None:
    aims = (ROOT / "docs" / "performance.md").read_text()
    table = (ROOT / "tests" / "bench" / "table").glob("[a-z]*.py")
    cases = [path.read_text() for path in table if not path.name.startswith("test_")]

    told = set(re.findall(r"^\| ([A-Z]\d[a-z]?) \|", aims, re.MULTILINE))

    assert told == set(re.findall(r'"([A-Z]\d[a-z]?) [\w{]', "\n".join(cases)))


@pytest.mark.parametrize(
    "name", ["design.md", "format.md", "threat-model.md", "errors.md"]
)
def test_the_documents_that_hold_our_promises_exist(name: str) -> None:
    assert (ROOT / "docs" / name).is_file()
