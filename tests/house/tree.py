# SPDX-License-Identifier: Apache-2.0
"""Which files the repository is made of, for the tests of the house."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS: Final = ("client", "server", "tests", "examples")
_SKIPPED: Final = frozenset({"build", "dist", "__pycache__", "node_modules"})
_TEXT_SUFFIXES: Final = frozenset(
    {".hcl", ".html", ".in", ".js", ".json", ".lock", ".md", ".proto", ".py", ".pyi"}
    | {".sh", ".toml", ".ts", ".txt", ".yaml", ".yml"}
)
_TEXT_NAMES: Final = frozenset({"Makefile", "Dockerfile", ".gitignore", "run"})


def text_files() -> Iterator[Path]:
    """Yield each text file that belongs to the repository, in a fixed order.

    Folders that git ignores are left out: build output, caches, stacks, venvs.
    """
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = sorted(
            name
            for name in subfolders
            if name not in _SKIPPED
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or name in {".ci", ".github"})
        )
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix in _TEXT_SUFFIXES or name in _TEXT_NAMES:
                yield path


def python_files() -> Iterator[Path]:
    """Yield each Python file that people wrote: generated code is left out."""
    for path in text_files():
        top = path.relative_to(ROOT).parts[0]
        is_generated = path.match("strongroom/v1/*_pb2*.py")
        if path.suffix == ".py" and top in SOURCE_FOLDERS and not is_generated:
            yield path


def shown(path: Path) -> str:
    """Return the path as people name it: from the root of the repository."""
    return path.relative_to(ROOT).as_posix()
