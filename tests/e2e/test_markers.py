# SPDX-License-Identifier: Apache-2.0
"""Plaintext and names are nowhere but where they belong.

Marker strings go into names, contents and metadata; then every byte that the
stack has written, S3 objects, index, audit log, spans and all logs, is searched
for them, in clear and in the encodings that software likes to use.
"""

import base64
from pathlib import Path

import pytest

from tests.support.cli import LiveStack
from tests.support.searching import (
    Wanted,
    processes,
    search,
    stored_objects,
    written_files,
)

pytestmark = pytest.mark.e2e

#: Lower-case, so that they can stand in names, too.
MARKERS = (
    "zebramarkerproject",
    "zebramarkerartifact",
    "zebramarkerref",
    "zebramarkerpath",
    "zebramarkercontent",
    "zebramarkermessage",
    "zebramarkerkey",
    "zebramarkervalue",
    "zebramarkerreason",
    "zebramarkermissing",
)
WANTED = [Wanted(marker, marker.encode()) for marker in MARKERS]


def push_markers(stack: LiveStack, folder: Path) -> None:
    """Use every call that takes a name, with markers in all of them."""
    content = b"zebramarkercontent " * 1000
    folder.mkdir()
    (folder / "zebramarkerpath.txt").write_bytes(content)
    (folder / "zebramarkerpath-dir").mkdir()
    (folder / "zebramarkerpath-dir" / "zebramarkerpath.bin").write_bytes(content * 999)
    name = "zebramarkerproject/zebramarkerartifact"
    stack.check(
        "push", str(folder), name,
        "--message", "zebramarkermessage",
        "--meta", "zebramarkerkey=zebramarkervalue",
        "--json",
    )  # fmt: skip
    (folder / "zebramarkerpath.txt").write_bytes(content[::-1])
    stack.check("push", str(folder), name, "--json")
    reason = ("--reason", "zebramarkerreason")
    stack.check("ref", "move", name, "zebramarkerref", "1", *reason)
    stack.check("pull", f"{name}@zebramarkerref", str(folder.parent / "out"))
    for command in ("log", "show", "ls", "verify"):
        stack.check(command, name)
    stack.check("diff", f"{name}@1", f"{name}@2")
    assert stack.run("show", "zebramarkermissing/zebramarkermissing").code == 10
    assert stack.run("show", f"{name}@zebramarkermissing").code == 10
    assert stack.run("cat", f"{name}/zebramarkermissing").code == 10


def test_no_marker_is_in_any_object_or_file(
    own_stack: LiveStack, tmp_path: Path
) -> None:
    push_markers(own_stack, tmp_path / "in")
    objects = list(stored_objects(own_stack))
    files = list(written_files(own_stack))

    found = search((*objects, *files, *processes(own_stack)), WANTED)

    assert not found
    kinds = {key.split("/", maxsplit=1)[0] for key, _ in objects}
    assert {"packs", "manifests", "journals", "projects", "keys", "index"} <= kinds
    names = {name.split("/", maxsplit=1)[0] for name, _ in files}
    assert {"server", "logs", "telemetry", "seaweed", "vault"} <= names


def test_the_search_finds_what_it_should() -> None:
    """A search that cannot find anything proves nothing."""
    for marker in MARKERS:
        for text in (
            base64.b64encode(f"xy{marker}z".encode()),
            f"a{marker}b".encode(),
            marker.encode().hex().encode(),
            marker.encode("utf-16-le"),
        ):
            assert ("place", marker) in search([("place", text)], WANTED)
