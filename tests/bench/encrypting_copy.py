# SPDX-License-Identifier: Apache-2.0
"""A directory to or from encrypted objects, with the two encryption clients of AWS.

    encrypting_copy.py put FOLDER ENDPOINT BUCKET PREFIX esdk
    encrypting_copy.py get FOLDER ENDPOINT BUCKET PREFIX s3ec

`esdk` is the AWS Encryption SDK with a raw AES key and frames of 1 MiB, streamed by
boto3; `s3ec` is the Amazon S3 Encryption Client, whose KMS is played by this process,
which flatters it. A program of its own, because what is compared is whole processes.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

_THREADS: Final = 8
_FRAME_BYTES: Final = 1 << 20
#: Nothing here is secret but by name.
_KEY: Final = bytes(range(32))


class _Kms:
    """Hands out one data key, wrapped in nothing."""

    meta: Final = SimpleNamespace(config=SimpleNamespace(user_agent_extra=""))

    def generate_data_key(self, **_asked: object) -> dict[str, bytes]:
        """Make a key."""
        key = os.urandom(32)
        return {"Plaintext": key, "CiphertextBlob": key}

    def decrypt(self, *, CiphertextBlob: bytes, **_asked: object) -> dict[str, bytes]:  # noqa: N803 (AWS's)
        """Give it back."""
        return {"Plaintext": CiphertextBlob}


@dataclass(frozen=True, slots=True)
class _Place:
    """A client, and where it works."""

    client: Any
    bucket: str
    prefix: str

    def key(self, folder: Path, path: Path) -> str:
        return f"{self.prefix}/{path.relative_to(folder).as_posix()}"

    def keys(self) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}/"
        )
        for page in pages:
            for row in page.get("Contents", ()):
                yield row["Key"]


_Copy = tuple[Callable[[Path, str], object], Callable[[str, Path], object]]


def _encryption_sdk(place: _Place) -> _Copy:
    """Return how the Encryption SDK puts and gets a file."""
    import aws_encryption_sdk as sdk  # noqa: PLC0415 (only one of them is asked for)
    from aws_encryption_sdk.identifiers import (  # noqa: PLC0415
        EncryptionKeyType,
        WrappingAlgorithm,
    )
    from aws_encryption_sdk.internal.crypto.wrapping_keys import (  # noqa: PLC0415
        WrappingKey,
    )
    from aws_encryption_sdk.key_providers.raw import (  # noqa: PLC0415
        RawMasterKeyProvider,
    )

    class Provider(RawMasterKeyProvider):  # type: ignore[misc] # it has no types
        provider_id = "bench"

        def _get_raw_key(self, key_id: str) -> object:
            del key_id
            return WrappingKey(
                wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
                wrapping_key=_KEY,
                wrapping_key_type=EncryptionKeyType.SYMMETRIC,
            )

    provider = Provider()
    provider.add_master_key("bench")
    client = sdk.EncryptionSDKClient()
    transfer = TransferConfig(
        multipart_chunksize=16 << 20, max_concurrency=_THREADS, io_chunksize=1 << 20
    )

    def put(path: Path, key: str) -> None:
        with (
            path.open("rb") as file,
            client.stream(
                mode="e", source=file, key_provider=provider, frame_length=_FRAME_BYTES
            ) as sealed,
        ):
            place.client.upload_fileobj(sealed, place.bucket, key, Config=transfer)

    def get(key: str, path: Path) -> None:
        body = place.client.get_object(Bucket=place.bucket, Key=key)["Body"]
        with (
            path.open("wb") as file,
            client.stream(mode="d", source=body, key_provider=provider) as opened,
        ):
            for block in opened:
                file.write(block)

    return put, get


def _encryption_client(place: _Place) -> _Copy:
    """Return how the S3 Encryption Client puts and gets a file."""
    from s3_encryption import (  # noqa: PLC0415 (only one of them is asked for)
        S3EncryptionClient,
        S3EncryptionClientConfig,
    )
    from s3_encryption.materials.kms_keyring import KmsKeyring  # noqa: PLC0415

    config = S3EncryptionClientConfig(KmsKeyring(_Kms(), "bench"))
    client = S3EncryptionClient(place.client, config)

    def put(path: Path, key: str) -> None:
        client.upload_file(str(path), place.bucket, key, multipart_chunksize=16 << 20)

    def get(key: str, path: Path) -> None:
        body = client.get_object(Bucket=place.bucket, Key=key)["Body"]
        with path.open("wb") as file:
            while block := body.read(_FRAME_BYTES):
                file.write(block)

    return put, get


def main(arguments: Sequence[str]) -> int:
    """Copy; return the exit code."""
    verb, where, endpoint, bucket, prefix, how = arguments
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=2 * _THREADS,
        s3={"addressing_style": "path"},
    )
    client: Any = boto3.client("s3", endpoint_url=endpoint, config=config)
    place, folder = _Place(client, bucket, prefix), Path(where)
    put, get = (_encryption_sdk if how == "esdk" else _encryption_client)(place)

    def upload(path: Path) -> None:
        put(path, place.key(folder, path))

    def download(key: str) -> None:
        path = folder / key.removeprefix(f"{prefix}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        get(key, path)

    with ThreadPoolExecutor(_THREADS) as executor:
        if verb == "put":
            files = [path for path in folder.rglob("*") if path.is_file()]
            list(executor.map(upload, files))
        else:
            list(executor.map(download, place.keys()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
