# SPDX-License-Identifier: Apache-2.0
"""The dev stack's bucket as its administrator sees it: every object, every version."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of one object.

    Attributes:
        key: Its key.
        version_id: Its VersionId.
        size_bytes: Its size.
    """

    key: str
    version_id: str
    size_bytes: int


class Bucket:
    """The bucket of one stack, with its admin's rights: to do anything.

    Attributes:
        name: The bucket's name.
    """

    def __init__(self, folder: Path) -> None:
        settings = tomllib.loads((folder / "server" / "server.toml").read_text())
        keys = json.loads((folder / "seaweed" / "admin.json").read_text())
        self.name: str = settings["store"]["bucket"]
        self._s3 = boto3.client(
            "s3",
            endpoint_url=settings["store"]["endpoint"],
            region_name=settings["store"]["region"],
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret_key"],
            config=Config(
                connect_timeout=5,
                read_timeout=30,
                # What S3 gives out is to be seen, right or wrong.
                response_checksum_validation="when_required",
            ),
        )

    def objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every version of every object."""
        pages = self._s3.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.name, Prefix=prefix):
            for item in page.get("Versions", ()):
                yield StoredObject(item["Key"], item["VersionId"], item["Size"])

    def read(self, stored: StoredObject) -> bytes:
        """Return the bytes of one version of an object."""
        answer = self._s3.get_object(
            Bucket=self.name, Key=stored.key, VersionId=stored.version_id
        )
        data: bytes = answer["Body"].read()
        return data

    def read_newest(self, key: str) -> bytes:
        """Return the bytes of the newest version of an object."""
        data: bytes = self._s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def overwrite(self, key: str, data: bytes) -> StoredObject:
        """Put `data` where something is already."""
        answer = self._s3.put_object(Bucket=self.name, Key=key, Body=data)
        return StoredObject(key, answer["VersionId"], len(data))

    def remove(self, stored: StoredObject) -> None:
        """Remove one version of an object for good."""
        self._s3.delete_object(
            Bucket=self.name, Key=stored.key, VersionId=stored.version_id
        )
