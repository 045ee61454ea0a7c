# SPDX-License-Identifier: Apache-2.0
"""Trees on disk: made from a mapping, and read back into one."""

import os
from collections.abc import Mapping
from pathlib import Path

MIB = 1024 * 1024
#: Every kind of file that a version can hold.
FILES: Mapping[str, bytes] = {
    "a-b": b"sorts before a/",
    "a.txt": b"sorts before a/, too",
    "a/b": b"2",
    "a/c/größe 日本.bin": os.urandom(3 * MIB + 1),
    "ab": b"sorts after a/",
    "empty": b"",
    "exactly-one-block": os.urandom(MIB),
    "run.sh": b"#!/bin/sh\n",
}
EXECUTABLE = frozenset({"run.sh"})


def write_tree(
    root: Path, files: Mapping[str, bytes], executable: frozenset[str] = EXECUTABLE
) -> Path:
    """Write files below `root`, and return it."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if name in executable:
            path.chmod(0o755)
    return root


def read_tree(root: Path) -> dict[str, bytes]:
    """Return all files below `root` by path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def leftovers(folder: Path) -> list[str]:
    """Return what a pull has left of its hidden siblings."""
    return [path.name for path in folder.rglob(".*strongroom-*")]
