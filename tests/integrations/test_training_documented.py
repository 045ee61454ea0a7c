# SPDX-License-Identifier: Apache-2.0
"""What docs/training.md shows runs as it stands, in order."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.house.tree import ROOT

_BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LIBRARIES: Final = ("torch", "safetensors", "lightning")

# Lightning and torch warn of much that is no concern of ours.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in _LIBRARIES:
        pytest.importorskip(library, reason="not in this environment")
    monkeypatch.chdir(tmp_path)
    blocks = _BLOCK.findall((ROOT / "docs" / "training.md").read_text())
    names: dict[str, Any] = {}

    for block in blocks:
        exec(compile(block, "docs/training.md", "exec"), names)  # noqa: S102

    assert len(blocks) == 10
