# SPDX-License-Identifier: Apache-2.0
"""SeaweedFS as four processes of the stack, with three S3 identities and a bucket.

`weed server` would be one process, but it puts four sockets into `/tmp`, whatever
it is told, and waits three seconds for itself. Each on its own, master, volume
server, filer and S3 gateway write nothing outside their folder and are ready in
half a second.
"""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.dev.addresses import HOST, AddressBook, is_listening
from strongroom_server.dev.bucket_policy import bucket_policy
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.private_files import (
    make_private_folder,
    read_record,
    write_if_changed,
    write_record,
)
from strongroom_server.dev.processes import ManagedProcess, ProcessSpec
from strongroom_server.dev.programs import weed_program

BUCKET: Final = "strongroom"
REGION: Final = "us-east-1"
#: Makes buckets; stays in the folder, and no server is given it.
ADMIN: Final = "admin"
#: Reads, writes and lists the one bucket.
TENANT: Final = "strongroom"
#: Reads the one bucket, and removes versions of what a sweep may remove.
REMOVER: Final = "remover"
SHREDDER: Final = "shredder"

_START_TIMEOUT_S = 60.0
_STORAGE_TIMEOUT_S = 30.0
_PROBE_KEY = "strongroom-dev-probe"

# Volumes are files that only grow to this size; they are made two at a time, not
# seven, so that many small buckets need few files. A count far above need keeps
# small disks usable: what counts is then the free space, not a number of volumes.
_VOLUME_SIZE_MB = 1024
_VOLUME_COUNT = 4096
_MASTER_TOML = """\
[master.volume_growth]
copy_1 = 2
"""


@dataclass(frozen=True, slots=True)
class StoreCredentials:
    """An S3 identity."""

    access_key: str
    secret_key: str = field(repr=False)


class SeaweedFS:
    """The SeaweedFS of a stack's store; that of its backups is a kind of it.

    Attributes:
        part: Begins the names of its processes and ports.
        bucket: Its one bucket.
        users: Who uses the bucket; the first one writes.

    Args:
        layout: Where its files lie.
        addresses: Where its ports are kept.
        granted: What the tenant may use: the name of the bucket, or `*` for all
            (tests make buckets of their own).
    """

    part = "store"
    bucket = BUCKET
    users: tuple[str, ...] = (TENANT, REMOVER, SHREDDER)

    def __init__(
        self,
        layout: StackLayout,
        addresses: AddressBook,
        *,
        granted: str = "",
    ) -> None:
        self._layout = layout
        self._addresses = addresses
        self._granted = granted or self.bucket

    @property
    def endpoint(self) -> str:
        """The URL of the S3 gateway."""
        return f"http://{HOST}:{self._addresses.port(f'{self.part}-s3')}"

    @property
    def metrics(self) -> str:
        """The URL where the S3 gateway counts requests and bytes."""
        port = self._addresses.port(f"{self.part}-s3-metrics")
        return f"http://{HOST}:{port}/metrics"

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """The processes, in the order in which they start."""
        parts = (self._master(), self._volume(), self._filer(), self._gateway())
        return tuple(
            ManagedProcess(part, self._layout.root, Reason.STORE_UNAVAILABLE)
            for part in parts
        )

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self._layout.store

    def credentials_file(self, identity: str) -> Path:
        """The access key and secret key of one S3 identity."""
        return self.folder / f"{identity}.json"

    def policy(self) -> dict[str, object]:
        """Return what the bucket forbids to whom."""
        return bucket_policy(self.bucket, *self.users)

    def actions(self, identity: str) -> list[str]:
        """Return what an identity may, as far as the bucket does not forbid it."""
        if identity == ADMIN:
            return ["Admin"]
        return [f"{verb}:{self._granted}" for verb in ("Read", "Write", "List")]

    def credentials(self, identity: str) -> StoreCredentials:
        """Read the keys of one identity.

        Raises:
            PreconditionError: They are not there.
        """
        record = read_record(self.credentials_file(identity))
        return StoreCredentials(str(record["access_key"]), str(record["secret_key"]))

    def client(self, identity: str) -> Any:  # noqa: ANN401 - boto3 has no types
        """Give a boto3 client for one identity; short deadlines, no retries."""
        credentials = self.credentials(identity)
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(
                connect_timeout=5,
                read_timeout=20,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                proxies={},
            ),
        )

    def start(self) -> None:
        """Start all four unless all run, and wait until they listen.

        If one of them is gone, all are started anew: the others would find it
        again only after pauses that nobody can foretell.

        Raises:
            UnavailableError: One did not start; with the end of its log.
        """
        if all(process.pid is not None for process in self.processes):
            return
        self.stop()
        self._prepare()
        for process in self.processes:
            process.start()
            port = self._addresses.port(f"{process.spec.name}-grpc")
            process.wait_until(
                lambda waited=port: is_listening(waited),  # type: ignore[misc]
                _START_TIMEOUT_S,
                "did not listen",
            )

    def stop(self) -> bool:
        """Stop them, gateway first; say whether one was running."""
        stopped = [process.stop() for process in reversed(self.processes)]
        return any(stopped)

    def ensure_bucket(self) -> None:
        """Make the bucket, versioned and with Object Lock, and prove that it works.

        Raises:
            PreconditionError: The bucket is there, but keeps no versions.
            UnavailableError: Writing or reading back does not work.
        """
        self.make_bucket(self.bucket, versioning=True, lock=True)
        admin = self.client(ADMIN)
        try:
            policy = json.dumps(self.policy())
            admin.put_bucket_policy(Bucket=self.bucket, Policy=policy)
            self._wait_until_writable(admin)
        except (BotoCoreError, ClientError) as error:
            raise _not_working(self.endpoint, error) from error
        finally:
            admin.close()

    def make_bucket(self, name: str, *, versioning: bool, lock: bool) -> None:
        """Make a bucket unless it exists; a lock brings versions with it.

        Raises:
            PreconditionError: It should keep versions, but does not.
            UnavailableError: SeaweedFS refused.
        """
        admin = self.client(ADMIN)
        try:
            existing = [bucket["Name"] for bucket in admin.list_buckets()["Buckets"]]
            if name not in existing:
                admin.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
                if versioning and not lock:
                    admin.put_bucket_versioning(
                        Bucket=name, VersioningConfiguration={"Status": "Enabled"}
                    )
            status = admin.get_bucket_versioning(Bucket=name).get("Status")
        except (BotoCoreError, ClientError) as error:
            raise _not_working(self.endpoint, error) from error
        finally:
            admin.close()
        if versioning and status != "Enabled":
            raise PreconditionError(
                f"the bucket {name} exists, but keeps no versions",
                reason=Reason.STORE_UNSUITABLE,
                hint="Delete the stack's folder and run `strongroom dev up` again.",
                bucket=name,
            )

    def is_ready(self) -> bool:
        """Say whether the gateway lets who writes list the bucket."""
        client = self.client(self.users[0])
        try:
            client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True

    def _wait_until_writable(self, admin: Any) -> None:  # noqa: ANN401
        """Put and get one small object as who writes; the administrator removes it."""
        client = self.client(self.users[0])
        process = self.processes[-1]
        problems: list[str] = []

        def works() -> bool:
            try:
                place = {"Bucket": self.bucket, "Key": _PROBE_KEY}
                put = client.put_object(**place, Body=b"probe")
                place["VersionId"] = put["VersionId"]
                body = client.get_object(**place)["Body"].read()
                admin.delete_object(**place)
            except (BotoCoreError, ClientError) as error:
                problems[:] = [str(error)]
                return False
            return bool(body == b"probe")

        try:
            process.wait_until(works, _STORAGE_TIMEOUT_S, "stored nothing")
        except UnavailableError as error:
            if problems:
                raise _not_working(self.endpoint, problems[0]) from error
            raise
        finally:
            client.close()

    def _prepare(self) -> None:
        names = ("master", "volume", "filer")
        self._addresses.choose(
            (
                *(f"{self.part}-{name}" for name in names),
                *(f"{self.part}-{name}-grpc" for name in names),
                *(f"{self.part}-s3{kind}" for kind in ("", "-grpc", "-metrics")),
            )
        )
        folder = make_private_folder(self.folder)
        for name in names:
            make_private_folder(folder / name)
        identities = []
        for identity in (ADMIN, *self.users):
            self._ensure_credentials(identity)
            identities.append(self._identity(identity))
        text = json.dumps({"identities": identities}, indent=2)
        write_if_changed(folder / "identities.json", text)
        write_if_changed(folder / "master.toml", _MASTER_TOML)

    def _ensure_credentials(self, identity: str) -> None:
        path = self.credentials_file(identity)
        if not path.exists():
            keys: dict[str, object] = {
                "access_key": secrets.token_hex(10),
                "secret_key": secrets.token_urlsafe(30),
            }
            write_record(path, keys)

    def _identity(self, name: str) -> dict[str, object]:
        keys = self.credentials(name)
        pair = {"accessKey": keys.access_key, "secretKey": keys.secret_key}
        return {"name": name, "credentials": [pair], "actions": self.actions(name)}

    def _spec(self, part: str, *arguments: str, stop_timeout_s: float) -> ProcessSpec:
        name = f"{self.part}-{part}"
        port = self._addresses.port(name)
        return ProcessSpec(
            name=name,
            command=(
                str(weed_program()),
                "-logtostderr=true",
                part,
                f"-ip.bind={HOST}",
                f"-port={port}",
                f"-port.grpc={self._addresses.port(f'{name}-grpc')}",
                *arguments,
            ),
            # Sockets are named relative to this folder: a path of a socket may
            # not be longer than 107 bytes.
            cwd=self.folder,
            port=port,
            stop_timeout_s=stop_timeout_s,
        )

    def _at(self, part: str) -> str:
        """Spell an address as SeaweedFS does: HTTP port, dot, gRPC port."""
        ports = self._addresses
        name = f"{self.part}-{part}"
        return f"{HOST}:{ports.port(name)}.{ports.port(f'{name}-grpc')}"

    def _master(self) -> ProcessSpec:
        return self._spec(
            "master",
            f"-ip={HOST}",
            "-mdir=master",
            # One master: do not wait for others.
            "-peers=none",
            "-telemetry=false",
            f"-volumeSizeLimitMB={_VOLUME_SIZE_MB}",
            stop_timeout_s=10.0,
        )

    def _volume(self) -> ProcessSpec:
        return self._spec(
            "volume",
            f"-ip={HOST}",
            "-dir=volume",
            f"-master={self._at('master')}",
            f"-max={_VOLUME_COUNT}",
            "-preStopSeconds=0",
            stop_timeout_s=20.0,
        )

    def _filer(self) -> ProcessSpec:
        return self._spec(
            "filer",
            f"-ip={HOST}",
            "-defaultStoreDir=filer",
            f"-master={self._at('master')}",
            "-localSocket=filer.sock",
            "-iam=false",
            # On SIGTERM it waits 15 s for a stream that it has with itself. By
            # then the gateway is gone and each change is in the file system, so
            # SIGKILL loses nothing.
            stop_timeout_s=1.0,
        )

    def _gateway(self) -> ProcessSpec:
        return self._spec(
            "s3",
            f"-filer={self._at('filer')}",
            "-config=identities.json",
            "-localSocket=s3.sock",
            "-localFilerSocket=filer.sock",
            "-iam=false",
            f"-metricsIp={HOST}",
            f"-metricsPort={self._addresses.port(f'{self.part}-s3-metrics')}",
            # Catalogue services that would listen on fixed ports.
            "-port.iceberg=0",
            "-port.lance=0",
            stop_timeout_s=10.0,
        )


def _not_working(endpoint: str, error: object) -> UnavailableError:
    return UnavailableError(
        f"SeaweedFS at {endpoint} does not store anything: {error}",
        reason=Reason.STORE_UNAVAILABLE,
        hint="Look at the free disk space, and at the logs of its processes.",
        endpoint=endpoint,
    )
