# SPDX-License-Identifier: Apache-2.0
"""The settings of a replicator: a file of its own, with two buckets and no Vault."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom_server.config.sections import TelemetrySection, WorkersSection
from strongroom_server.config.tables import (
    check_url,
    load_sections,
    read_document,
    read_environ,
    setting_error,
)
from strongroom_server.core.shred_receipt import parse_keys
from strongroom_server.core.signatures import PublicKey

#: Of a file with public keys; a key has some KiB.
_MAX_KEYS_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimarySection:
    """`[store]`: the primary's bucket, which is read and never written.

    Attributes:
        endpoint: The URL of its S3; `http://` on loopback only.
        bucket: The bucket.
        credentials_file: JSON with `access_key` and `secret_key` of a credential that
            may list versions and read them there, and nothing else.
        region: Any name will do for stores that have none.
        prefix: Put before every key.
        ca_file: Certificates to trust for `endpoint`; the public ones if missing.
    """

    endpoint: str
    bucket: str
    credentials_file: Path
    region: str = "us-east-1"
    prefix: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSection:
    """`[replica]`: the bucket that follows it.

    Attributes:
        endpoint: The URL of its S3; `http://` on loopback only.
        bucket: Versioned; made before, and empty.
        credentials_file: JSON with `access_key` and `secret_key` of a credential that
            may list, read and write there, and never delete.
        region: Any name will do for stores that have none.
        prefix: Put before every key.
        ca_file: Certificates to trust for `endpoint`; the public ones if missing.
        every_s: Between two rounds.
        alarm_s: The replicator complains when the replica is further behind.
        max_bytes_per_second: What is read of the primary at most; 0 for no limit.
        public_keys_file: What `strongroom keys public` printed; then signatures are
            checked, too, and only what the store's servers signed is taken.
    """

    endpoint: str
    bucket: str
    credentials_file: Path
    region: str = "us-east-1"
    prefix: str = ""
    ca_file: Path | None = None
    every_s: float = 15.0
    alarm_s: float = 900.0
    max_bytes_per_second: int = 0
    public_keys_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationSettings:
    """All settings, one attribute a section of the file."""

    store: PrimarySection
    replica: ReplicaSection
    workers: WorkersSection = field(default_factory=WorkersSection)
    telemetry: TelemetrySection = field(default_factory=TelemetrySection)


def read_replication_settings(path: Path) -> ReplicationSettings:
    """Read a replicator's settings file and the environment.

    Raises:
        InvalidArgumentError: It cannot be read, or a setting is missing, unknown or
            cannot be (SETTING_INVALID).
    """
    settings = load_sections(ReplicationSettings, read_document(path), read_environ())
    _check(settings)
    return settings


def read_public_keys(
    settings: ReplicationSettings,
) -> Mapping[str, PublicKey] | None:
    """Return the keys that the store signs with; None if signatures are not checked.

    Raises:
        InvalidArgumentError: The file holds none (SETTING_INVALID).
    """
    path = settings.replica.public_keys_file
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return parse_keys(file.read(_MAX_KEYS_BYTES))
    except (OSError, ValueError) as error:
        message = f"{path} holds no public keys: write it with `strongroom keys public`"
        raise setting_error(message) from error


def _check(settings: ReplicationSettings) -> None:
    store, replica = settings.store, settings.replica
    for name, section in (("store", store), ("replica", replica)):
        check_url(f"{name}.endpoint", section.endpoint)
        if not section.bucket:
            message = f"the setting {name}.bucket is empty"
            raise setting_error(message)
    here, there = (
        (section.endpoint.rstrip("/"), section.bucket) for section in (store, replica)
    )
    if here == there and _overlap(store.prefix, replica.prefix):
        message = "[store] and [replica] are one and the same place"
        raise setting_error(message)
    if store.credentials_file == replica.credentials_file:
        message = (
            f"{store.credentials_file} is a credential of both sides: that of [store] "
            "is not to write, and that of [replica] is not to reach the primary"
        )
        raise setting_error(message)
    if not settings.workers.threads or not replica.every_s or not replica.alarm_s:
        message = "workers.threads, replica.every_s and replica.alarm_s cannot be 0"
        raise setting_error(message)


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
