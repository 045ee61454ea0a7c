# SPDX-License-Identifier: Apache-2.0
"""Plaintext and names are nowhere but where they belong.

Marker strings go into names, contents and metadata; then every byte that the
stack has written, S3 objects, index, audit log, spans and all logs, is searched
for them, in clear and in the encodings that software likes to use.
"""

import base64
import binascii
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.support.cli import LiveStack

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


def spellings(marker: str) -> Iterator[bytes]:
    """Yield how a marker may look in a file."""
    plain = marker.encode()
    yield plain
    yield plain.upper()
    yield binascii.hexlify(plain)
    yield marker.encode("utf-16-le")
    for shift in range(3):
        # Base64 of the marker at each alignment, without its uncertain ends.
        yield base64.b64encode(b"\0" * shift + plain)[shift + 1 : -4]


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


def stored_objects(stack: LiveStack) -> Iterator[tuple[str, bytes]]:
    """Yield every version of every object in the bucket."""
    settings = tomllib.loads((stack.root / "server/server.toml").read_text())["store"]
    credentials = json.loads(Path(settings["credentials_file"]).read_text())
    client = boto3.client(
        "s3",
        endpoint_url=settings["endpoint"],
        region_name=settings["region"],
        aws_access_key_id=credentials["access_key"],
        aws_secret_access_key=credentials["secret_key"],
        config=Config(s3={"addressing_style": "path"}),
    )
    pages = client.get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=settings["bucket"]):
        for item in page.get("Versions", []):
            body = client.get_object(
                Bucket=settings["bucket"], Key=item["Key"], VersionId=item["VersionId"]
            )["Body"].read()
            yield item["Key"], item["Key"].encode() + b"\n" + body
    client.close()


def written_files(stack: LiveStack) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the stack: index, audit log, spans, logs, Vault, S3."""
    for path in sorted(stack.root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(stack.root)), path.read_bytes()


def test_no_marker_is_in_any_object_or_file(
    own_stack: LiveStack, tmp_path: Path
) -> None:
    push_markers(own_stack, tmp_path / "in")
    objects = list(stored_objects(own_stack))
    files = list(written_files(own_stack))

    found = [
        (place, marker)
        for place, data in (*objects, *files)
        for marker in MARKERS
        if any(spelling in data for spelling in spellings(marker))
    ]

    assert not found
    kinds = {key.split("/", maxsplit=1)[0] for key, _ in objects}
    assert {"packs", "manifests", "journals", "projects", "keys", "index"} <= kinds
    names = {name.split("/", maxsplit=1)[0] for name, _ in files}
    assert {"server", "logs", "telemetry", "seaweed", "vault"} <= names


def test_the_search_finds_what_it_should(tmp_path: Path) -> None:
    """A search that cannot find anything proves nothing."""
    for marker in MARKERS:
        encoded = base64.b64encode(f"xy{marker}z".encode())
        assert any(spelling in encoded for spelling in spellings(marker))
        assert any(item in f"a{marker}b".encode() for item in spellings(marker))
