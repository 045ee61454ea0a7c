# SPDX-License-Identifier: Apache-2.0
"""Where the bucket is, and a botocore client that keeps to it."""

import os
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.config import Config

from strongroom_server.adapters.s3.answers import take_whole_answers_only


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


def make_client(settings: S3Settings) -> Any:  # noqa: ANN401 - botocore has no types
    """Return a client that has made no call yet; botocore may refuse the settings."""
    # Settings are all there is: no AWS_* variable, no ~/.aws, no proxy variable.
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "ca_bundle": (None, None, None, None),
        }
    )
    client = session.create_client(
        "s3",
        region_name=settings.region,
        endpoint_url=settings.endpoint,
        verify=settings.ca_file or None,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.session_token or None,
        config=Config(
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            max_pool_connections=settings.pool_size,
            proxies={},
            retries={"mode": "standard", "total_max_attempts": 1},
            # A SHA-256 of the body for the signature costs 10 ms for 16 MiB; the
            # CRC-32 that `put_new` sends costs 4 ms and finds the same accidents.
            # Intent is not S3's to find: every pack is authenticated when read.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            # Its body check knows bytes and files only, not buffers.
            parameter_validation=False,
        ),
    )
    take_whole_answers_only(client)
    return client
