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


def make_cases(store: S3BlobStore, peer: Any) -> list[Case]:  # noqa: ANN401
    """Fill the bucket, and return what is asked of it."""
    small, large = secrets.token_bytes(KIB), secrets.token_bytes(MIB)
    versions = {
        size: store.put_new(f"get/{size}", data)
        for size, data in ((KIB, small), (MIB, large))
    }
    store.put_new("one/key", small)
    for number in range(ROWS):
        store.put_new(f"many/{number:020d}", b"x")
    buffer = bytearray(MIB)

    def get(size: int) -> bytes:
        place = {"Bucket": BUCKET, "Key": f"get/{size}", "VersionId": versions[size]}
        return bytes(peer.get_object(**place)["Body"].read())

    def put(key: str, data: bytes) -> object:
        checksum = b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        return peer.put_object(
            Bucket=BUCKET, Key=key, Body=data, IfNoneMatch="*", ChecksumCRC32=checksum
        )

    def rows(prefix: str) -> object:
        return peer.list_object_versions(Bucket=BUCKET, Prefix=prefix, MaxKeys=ROWS)

    def pull(_: int) -> None:
        store.read_into(
            f"get/{MIB}",
            version_id=versions[MIB],
            offset_bytes=0,
            buffer=memoryview(buffer),
        )

    return [
        Case(
            "list one key",
            lambda _: list(store.first_versions("one/")),
            lambda _: rows("one/"),
        ),
        Case(
            "list 1000 keys",
            lambda _: list(store.first_versions("many/")),
            lambda _: rows("many/"),
            4,
        ),
        Case(
            "get 1 KiB",
            lambda _: store.get(f"get/{KIB}", version_id=versions[KIB], max_bytes=KIB),
            lambda _: get(KIB),
        ),
        Case("get 1 MiB", pull, lambda _: get(MIB), 20),
        Case(
            "put 1 KiB",
            lambda number: store.put_new(f"put/ours/{number}", small),
            lambda number: put(f"put/peer/{number}", small),
        ),
        Case(
            "put 1 MiB",
            lambda number: store.put_new(f"large/ours/{number}", large),
            lambda number: put(f"large/peer/{number}", large),
            10,
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
    peer = make_peer(settings)
    with open_s3(settings, SystemClock()) as store:
        cases = make_cases(store, peer)
        for turn in range(TURNS):
            for case in cases:
                case.take(turn)
    peer.close()
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
