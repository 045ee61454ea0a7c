# SPDX-License-Identifier: Apache-2.0
"""A directory to or from plain objects, with boto3 tuned as far as it goes.

    boto3_copy.py put FOLDER ENDPOINT BUCKET PREFIX
    boto3_copy.py get FOLDER ENDPOINT BUCKET PREFIX

A program of its own, because what is compared is whole processes.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

_THREADS: Final = 8
_TRANSFER: Final = TransferConfig(
    multipart_chunksize=16 << 20, max_concurrency=_THREADS, io_chunksize=1 << 20
)


def main(arguments: Sequence[str]) -> int:
    """Copy; return the exit code."""
    verb, folder, endpoint, bucket, prefix = arguments
    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=2 * _THREADS,
            s3={"payload_signing_enabled": False, "addressing_style": "path"},
        ),
    )
    copy = _put if verb == "put" else _get
    copy(client, Path(folder), bucket, prefix)
    return 0


def _put(client: Any, folder: Path, bucket: str, prefix: str) -> None:  # noqa: ANN401
    def put(path: Path) -> None:
        key = f"{prefix}/{path.relative_to(folder).as_posix()}"
        client.upload_file(str(path), bucket, key, Config=_TRANSFER)

    _each(put, [path for path in folder.rglob("*") if path.is_file()])


def _get(client: Any, folder: Path, bucket: str, prefix: str) -> None:  # noqa: ANN401
    def get(key: str) -> None:
        path = folder / key.removeprefix(f"{prefix}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(path), Config=_TRANSFER)

    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=f"{prefix}/"
    )
    _each(get, [row["Key"] for page in pages for row in page.get("Contents", ())])


def _each(copy: Any, items: Sequence[object]) -> None:  # noqa: ANN401
    with ThreadPoolExecutor(_THREADS) as executor:
        for _ in executor.map(copy, items):
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
