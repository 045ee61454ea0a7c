# SPDX-License-Identifier: Apache-2.0
"""A directory to or from plain objects, with boto3, as it comes or tuned.

    boto3_copy.py put FOLDER ENDPOINT BUCKET PREFIX tuned
    boto3_copy.py get FOLDER ENDPOINT BUCKET PREFIX default

A program of its own, because what is compared is whole processes.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class _Copier:
    """A client, where it works, and how it cuts files."""

    client: Any
    bucket: str
    prefix: str
    transfer: TransferConfig

    def put(self, folder: Path) -> None:
        """Upload every file."""

        def put(path: Path) -> None:
            key = f"{self.prefix}/{path.relative_to(folder).as_posix()}"
            self.client.upload_file(str(path), self.bucket, key, Config=self.transfer)

        _each(put, [path for path in folder.rglob("*") if path.is_file()])

    def get(self, folder: Path) -> None:
        """Download every object."""

        def get(key: str) -> None:
            path = folder / key.removeprefix(f"{self.prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(self.bucket, key, str(path), Config=self.transfer)

        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}/"
        )
        _each(get, [row["Key"] for page in pages for row in page.get("Contents", ())])


def main(arguments: Sequence[str]) -> int:
    """Copy; return the exit code."""
    verb, folder, endpoint, bucket, prefix, how = arguments
    config, transfer = Config(s3={"addressing_style": "path"}), TransferConfig()
    if how == "tuned":
        config = Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=2 * _THREADS,
            s3={"payload_signing_enabled": False, "addressing_style": "path"},
        )
        transfer = TransferConfig(
            multipart_chunksize=16 << 20, max_concurrency=_THREADS, io_chunksize=1 << 20
        )
    client: Any = boto3.client("s3", endpoint_url=endpoint, config=config)
    copier = _Copier(client, bucket, prefix, transfer)
    copy = copier.put if verb == "put" else copier.get
    copy(Path(folder))
    return 0


def _each(copy: Any, items: Sequence[object]) -> None:  # noqa: ANN401
    with ThreadPoolExecutor(_THREADS) as executor:
        for _ in executor.map(copy, items):
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
