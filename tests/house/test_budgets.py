# SPDX-License-Identifier: Apache-2.0
"""No module over 400 lines, no function over 60: what outgrows that is two ideas."""

import ast
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import python_files, shown

MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60
FORBIDDEN_NAMES: Final = frozenset(
    {"utils.py", "util.py", "common.py", "helpers.py", "base.py", "misc.py"}
)


@pytest.mark.parametrize("path", list(python_files()), ids=shown)
def test_a_module_keeps_its_budgets(path: Path) -> None:
    source = path.read_text()

    long_functions = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]

    assert source.count("\n") <= MODULE_LINES
    assert long_functions == []


def test_no_module_is_named_after_nothing() -> None:
    nameless = [shown(path) for path in python_files() if path.name in FORBIDDEN_NAMES]

    assert nameless == []
