# SPDX-License-Identifier: Apache-2.0
"""Nothing is left half done, and nothing tells on the machine it was made on."""

import re
from typing import Final

from tests.house.tree import python_files, shown, text_files

UNFINISHED: Final = re.compile(r"\b(T[O]DO|FIX[M]E|X[X]X)\b")
MACHINE_PATHS: Final = re.compile(r"(?<![\w.])/(work|root/[.]|opt/pypi)\b")
CODE: Final = frozenset({".hcl", ".md", ".proto", ".py", ".sh", ".yaml", ".yml"})


def lines_with(pattern: re.Pattern[str], suffixes: frozenset[str]) -> list[str]:
    return [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in text_files()
        if path.suffix in suffixes
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]


def test_nothing_is_marked_as_unfinished() -> None:
    assert lines_with(UNFINISHED, CODE) == []


def test_no_file_names_a_folder_of_the_machine_it_was_made_on() -> None:
    assert lines_with(MACHINE_PATHS, CODE | {".toml", ".lock", ".txt", ".json"}) == []


def test_the_tests_of_the_house_look_at_files_at_all() -> None:
    seen = {shown(path) for path in python_files()}

    assert {"client/strongroom/errors.py", "tests/house/tree.py"} <= seen
