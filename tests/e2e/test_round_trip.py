# SPDX-License-Identifier: Apache-2.0
"""Trees go in and come out, byte for byte, and anybody can recompute the digest."""

import filecmp
import os
import subprocess
from pathlib import Path

import pytest

from strongroom.format.digest import EXPLAIN_DIGEST
from tests.support.cli import LiveStack

pytestmark = pytest.mark.e2e


def make_tree(root: Path) -> Path:
    """Write a tree with all that a version can hold."""
    (root / "deep/er").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    (root / "deep/er/größe 日本.bin").write_bytes(os.urandom(3_000_001))
    (root / "deep-").write_bytes(b"sorts before deep/")
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "big.bin").write_bytes(os.urandom(40 * 1024 * 1024 + 17))
    for number in range(300):
        (root / f"deep/{number:04d}.txt").write_text(f"line {number}\n" * number)
    return root


def assert_same_tree(left: Path, right: Path) -> None:
    """Compare names, bytes and executable bits."""
    compared = filecmp.dircmp(left, right)
    assert not compared.left_only
    assert not compared.right_only
    for name in compared.common_files:
        assert (left / name).read_bytes() == (right / name).read_bytes(), name
        assert os.access(left / name, os.X_OK) == os.access(right / name, os.X_OK)
    for name in compared.common_dirs:
        assert_same_tree(left / name, right / name)


def test_a_tree_comes_back_byte_for_byte(stack: LiveStack, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "in")
    out = tmp_path / "out"

    pushed = stack.check("push", str(tree), "demo/round-trip", "--json").summary
    stack.check("pull", "demo/round-trip", str(out), "--json")

    assert_same_tree(tree, out)
    explained = stack.check("show", "demo/round-trip", "--explain-digest").out
    assert EXPLAIN_DIGEST.strip() in explained
    recomputed = subprocess.run(
        ["bash", "-c", EXPLAIN_DIGEST],  # noqa: S607 -- the recipe as people run it
        cwd=out,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()[0]
    assert pushed["digest"] == f"sha256:{recomputed}"


def test_pushing_the_same_tree_again_makes_no_version(
    stack: LiveStack, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")

    first = stack.check("push", str(tmp_path), "demo/again", "--json").summary
    second = stack.check("push", str(tmp_path), "demo/again", "--json").summary

    assert first["version"] == second["version"] == 1
    assert second["unchanged"] is True
