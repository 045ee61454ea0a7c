# SPDX-License-Identifier: Apache-2.0
"""Where the bucket is, and how long to wait for it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self


class BucketPlace(Protocol):
    """Where a bucket is, as each section of the settings says that has one."""

    @property
    def endpoint(self) -> str:
        """See `S3Settings`."""
        ...

    @property
    def region(self) -> str:
        """See `S3Settings`."""
        ...

    @property
    def bucket(self) -> str:
        """See `S3Settings`."""
        ...

    @property
    def prefix(self) -> str:
        """See `S3Settings`."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """See `S3Settings`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is, and how long to wait for it.

    Attributes:
        endpoint: A URL. Unencrypted HTTP is for 127.0.0.1.
        region: Any name will do for stores that have none.
        bucket: Versioned, and so made before.
        prefix: Put before every key; "" or a path.
        access_key: Of the S3 credential.
        secret_key: Of the S3 credential.
        session_token: Of a temporary credential, or "".
        ca_file: Certificates to trust for `endpoint`; "" means certifi's.
        pool_size: Connections that are kept open.
        attempt_count: How often a call that may be repeated is tried.
        connect_timeout_s: To connect, and to send one piece.
        read_timeout_s: Between two arrivals of bytes.
        operation_timeout_s: For a whole call, with all its attempts.
        page_size: Rows asked for in one page of a listing; S3 gives at most 1000.
        role: Which bucket of ours it is, as errors call it; "" for the store's own.
            Its name is for the server's settings: callers are told errors.
    """

    endpoint: str
    region: str
    bucket: str
    prefix: str = ""
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    ca_file: str = ""
    pool_size: int = 16
    attempt_count: int = 4
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    operation_timeout_s: float = 45.0
    page_size: int = 1000
    role: str = ""

    @classmethod
    def of(
        cls,
        place: BucketPlace,
        credentials: tuple[str, str],
        *,
        pool_size: int,
        role: str = "",
    ) -> Self:
        """Return the settings of a section; `credentials` are the two keys."""
        access_key, secret_key = credentials
        return cls(
            endpoint=place.endpoint,
            region=place.region,
            bucket=place.bucket,
            prefix=place.prefix,
            access_key=access_key,
            secret_key=secret_key,
            ca_file=str(place.ca_file or ""),
            pool_size=pool_size,
            role=role,
        )

    @property
    def key_prefix(self) -> str:
        """What is put before every key: "", or a path with a "/" at its end."""
        prefix = self.prefix.strip("/")
        return f"{prefix}/" if prefix else ""
