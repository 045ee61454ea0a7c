# SPDX-License-Identifier: Apache-2.0
"""Every file says under which licence it stands and what it is for."""

import ast
from pathlib import Path

import pytest

from tests.house.tree import ROOT, python_files, shown, text_files

SPDX = "SPDX-License-Identifier: Apache-2.0"


@pytest.mark.parametrize("path", list(python_files()), ids=shown)
def test_a_module_opens_with_its_licence_and_its_caption(path: Path) -> None:
    source = path.read_text()

    caption = ast.get_docstring(ast.parse(source)) or ""

    assert source.startswith(f"# {SPDX}\n")
    assert caption.split("\n")[0].strip(), "no caption on the docstring's first line"


def test_protos_and_scripts_name_their_licence_near_the_top() -> None:
    scripts = [path for path in text_files() if path.suffix in {".proto", ".sh"}]
    scripts += [ROOT / "Makefile", ROOT / ".ci" / "run"]

    silent = [
        shown(path)
        for path in scripts
        if SPDX not in "".join(path.read_text().splitlines()[:2])
    ]

    assert silent == []


def test_the_licence_is_the_apache_licence_whole() -> None:
    text = (ROOT / "LICENSE").read_text()

    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
