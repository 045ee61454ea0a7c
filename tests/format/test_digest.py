# SPDX-License-Identifier: Apache-2.0
"""Version digests: the order of files matters, and coreutils find the same."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.digest import (
    EXPLAIN_DIGEST,
    VersionDigester,
    format_digest,
    parse_digest,
    path_order,
)
from tests.support.properties import QUICK

EMPTY_FILE = "sha256:" + hashlib.sha256().hexdigest()


@QUICK
@given(st.binary(min_size=32, max_size=32))
def test_a_digest_reads_back(value: bytes) -> None:
    assert bytes.fromhex(parse_digest(format_digest(value))) == value


@QUICK
@given(st.one_of(st.text(), st.text("0123456789abcdefABCDEF:sh", max_size=80)))
def test_anything_else_is_no_digest(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_digest(text)

    assert caught.value.reason is Reason.ARGUMENT_INVALID


@pytest.mark.parametrize("size", [0, 20, 31, 33])
def test_a_digest_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        format_digest(bytes(size))


@pytest.mark.parametrize("second", ["a", "A", ""])
def test_files_come_once_and_in_byte_order(second: str) -> None:
    digester = VersionDigester()
    digester.add("a", 0, EMPTY_FILE)

    with pytest.raises(InvalidArgumentError) as caught:
        digester.add(second, 0, EMPTY_FILE)

    assert caught.value.reason is Reason.PATH_MALFORMED


@pytest.mark.parametrize(
    "paths", [("a", "a/b"), ("a", "a-b", "a/b"), ("a", "aa", "aa.b", "aa/c")]
)
def test_a_file_is_not_a_folder_as_well(paths: tuple[str, ...]) -> None:
    digester = VersionDigester()
    for path in paths[:-1]:
        digester.add(path, 0, EMPTY_FILE)

    with pytest.raises(InvalidArgumentError) as caught:
        digester.add(paths[-1], 0, EMPTY_FILE)

    assert caught.value.reason is Reason.PATH_MALFORMED


def test_files_whose_names_begin_alike_are_no_folders() -> None:
    digester = VersionDigester()

    for path in ("a", "a-b", "aa", "b/a", "b/a.x/c", "b/aa"):
        digester.add(path, 0, EMPTY_FILE)


def test_byte_order_is_not_the_order_of_characters_in_utf_16() -> None:
    assert path_order("\uffff") < path_order("\U00010000")


@pytest.mark.skipif(shutil.which("bash") is None, reason="the recipe is for a shell")
def test_the_recipe_for_a_shell_finds_the_digest(tmp_path: Path) -> None:
    files = {"z": b"", "a/b": b"1", "a-b": b"22", "ünïcode/x y": b"3" * 1000, "A": b"4"}
    digester = VersionDigester()
    for path in sorted(files, key=path_order):
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(files[path])
        digest = "sha256:" + hashlib.sha256(files[path]).hexdigest()
        digester.add(path, len(files[path]), digest)

    run = subprocess.run(
        ["bash", "-c", EXPLAIN_DIGEST],  # noqa: S607 - the bash of the path
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )

    assert "sha256:" + run.stdout.split()[0] == digester.digest()
