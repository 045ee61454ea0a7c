# SPDX-License-Identifier: Apache-2.0
"""What a request to S3 costs, ours beside botocore's: `python -m tests.bench.s3_calls`.

One SeaweedFS on this machine, one thread, in turns. Prints milliseconds at the median,
and of the client's processor time at the least of all turns: what others do on the
machine makes processor time more, and never less.
"""

import secrets
import sys
import tempfile
import time
import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import botocore.session
from botocore.config import Config

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3 import S3BlobStore, S3Settings, open_s3
from tests.support.stack import BUCKET, WeedForTests, running_weed

TURNS: Final = 12
#: Requests in a turn; less of those that move much.
REQUESTS: Final = 100
KIB: Final = 1 << 10
MIB: Final = 1 << 20
ROWS: Final = 1000

Request = Callable[[int], object]


@dataclass
class Case:
    """One request, by us and by botocore."""

    name: str
    ours: Request
    peer: Request
    count: int = REQUESTS
    wall_ms: dict[str, list[float]] = field(default_factory=dict)
    busy_ms: dict[str, list[float]] = field(default_factory=dict)

    def take(self, turn: int) -> None:
        """Measure one turn of each, in changing order."""
        sides = [("ours", self.ours), ("botocore", self.peer)]
        for side, request in sides[:: -1 if turn % 2 else 1]:
            walls = self.wall_ms.setdefault(side, [])
            busy = time.thread_time_ns()
            for number in range(self.count):
                began = time.perf_counter_ns()
                request(turn * self.count + number)
                walls.append((time.perf_counter_ns() - began) / 1e6)
            busy = time.thread_time_ns() - busy
            self.busy_ms.setdefault(side, []).append(busy / self.count / 1e6)

    def show(self) -> str:
        """Return a row of the table."""
        walls = {side: median(taken) for side, taken in self.wall_ms.items()}
        busy = {side: min(taken) for side, taken in self.busy_ms.items()}
        return (
            f"| {self.name} | {walls['ours']:.3f} | {walls['botocore']:.3f} "
            f"| {busy['ours']:.3f} | {busy['botocore']:.3f} |"
        )


def make_peer(settings: S3Settings) -> Any:  # noqa: ANN401 - botocore has no types
    """Return a client as the adapter had it before ADR 0044."""
    return botocore.session.Session().create_client(
        "s3",
        region_name=settings.region,
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            parameter_validation=False,
        ),
    )


@dataclass(frozen=True, slots=True)
class Peer:
    """What the adapter did, by botocore."""

    client: Any

    def rows(self, prefix: str) -> object:
        """List a page."""
        return self.client.list_object_versions(
            Bucket=BUCKET, Prefix=prefix, MaxKeys=ROWS
        )

    def get(self, key: str, version_id: str) -> bytes:
        """Get an object."""
        answer = self.client.get_object(Bucket=BUCKET, Key=key, VersionId=version_id)
        return bytes(answer["Body"].read())

    def put(self, key: str, data: bytes) -> object:
        """Put an object where none is."""
        checksum = b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        return self.client.put_object(
            Bucket=BUCKET, Key=key, Body=data, IfNoneMatch="*", ChecksumCRC32=checksum
        )


def make_cases(store: S3BlobStore, peer: Peer) -> list[Case]:
    """Fill the bucket, and return what is asked of it."""
    store.put_new("one/key", b"x")
    for number in range(ROWS):
        store.put_new(f"many/{number:020d}", b"x")
    cases = [
        Case(
            "list one key",
            lambda _: list(store.first_versions("one/")),
            lambda _: peer.rows("one/"),
        ),
        Case(
            f"list {ROWS} keys",
            lambda _: list(store.first_versions("many/")),
            lambda _: peer.rows("many/"),
            4,
        ),
    ]
    for name, size, turns in (("1 KiB", KIB, REQUESTS), ("1 MiB", MIB, 20)):
        cases += _of_size(store, peer, name, secrets.token_bytes(size), turns)
    return cases


def _of_size(
    store: S3BlobStore, peer: Peer, name: str, data: bytes, turns: int
) -> list[Case]:
    key, buffer = f"get/{len(data)}", memoryview(bytearray(len(data)))
    version_id = store.put_new(key, data)
    return [
        Case(
            f"get {name}",
            lambda _: store.read_into(
                key, version_id=version_id, offset_bytes=0, buffer=buffer
            ),
            lambda _: peer.get(key, version_id),
            turns,
        ),
        Case(
            f"put {name}",
            lambda number: store.put_new(f"{len(data)}/ours/{number}", data),
            lambda number: peer.put(f"{len(data)}/peer/{number}", data),
            turns,
        ),
    ]


def run(weed: WeedForTests) -> None:
    """Measure every case, and print the table."""
    settings = S3Settings(
        endpoint=weed.endpoint,
        region=weed.region,
        bucket=BUCKET,
        access_key=weed.strongroom.access_key,
        secret_key=weed.strongroom.secret_key,
    )
    peer = Peer(make_peer(settings))
    with open_s3(settings, SystemClock()) as store:
        cases = make_cases(store, peer)
        for turn in range(TURNS):
            for case in cases:
                case.take(turn)
    peer.client.close()
    print("| request | ours, ms | botocore, ms | our CPU, ms | botocore's CPU, ms |")
    print("|---|---|---|---|---|")
    for case in cases:
        print(case.show())


def main() -> int:
    """Measure on a SeaweedFS of our own."""
    with tempfile.TemporaryDirectory() as folder, running_weed(Path(folder)) as weed:
        run(weed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
