# SPDX-License-Identifier: Apache-2.0
"""Looking for what must not be there: in every object, file and process of a stack."""

import base64
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from tests.support.cli import LiveStack

#: Where something was found: the name of a file, object or process.
Place = tuple[str, bytes]
#: Fewer bytes than these are found by chance.
_LEAST_BYTES = 8


@dataclass(frozen=True)
class Wanted:
    """Something to look for.

    Attributes:
        name: What it is, for people; not the thing itself.
        value: Its bytes.
        at_home: Files that it belongs in, relative to the stack's folder.
    """

    name: str
    value: bytes
    at_home: frozenset[str] = frozenset()


def spellings(value: bytes) -> frozenset[bytes]:
    """Return how bytes may look in a file: as they are, and as software writes them."""
    found = {value, value[::-1], repr(value)[2:-1].encode()}
    found |= {value.hex().encode(), value.hex().upper().encode()}
    found |= {value[::-1].hex().encode(), value.hex(":").encode()}
    found.add(",".join(map(str, value)).encode())
    found.add(", ".join(map(str, value)).encode())
    if value.isascii():
        found |= {value.upper(), value.decode().encode("utf-16-le")}
    for shift in range(3):
        # Base64 at each alignment, without its uncertain ends.
        padded = bytes(shift) + value
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(padded)[shift + 1 : -4])
        found.add(base64.b32encode(padded)[shift + 2 : -8])
    return frozenset(spelling for spelling in found if len(spelling) >= _LEAST_BYTES)


def search(places: Iterable[Place], wanted: Iterable[Wanted]) -> list[tuple[str, str]]:
    """Return where something was found that is not at home there."""
    sought = [(item, spellings(item.value)) for item in wanted]
    return [
        (place, item.name)
        for place, data in places
        for item, spelt in sought
        if place not in item.at_home and any(spelling in data for spelling in spelt)
    ]


def stored_objects(stack: LiveStack) -> Iterator[Place]:
    """Yield every version of every object in the bucket, its key before its bytes."""
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


def written_files(stack: LiveStack) -> Iterator[Place]:
    """Yield every file of the stack: index, audit log, spans, logs, Vault, S3."""
    for path in sorted(stack.root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(stack.root)), path.read_bytes()


def processes(stack: LiveStack) -> Iterator[Place]:
    """Yield arguments and environment of every process of the stack."""
    for name, process in stack.processes().items():
        for kind in ("cmdline", "environ"):
            yield f"{name}: {kind}", Path(f"/proc/{process['pid']}/{kind}").read_bytes()
