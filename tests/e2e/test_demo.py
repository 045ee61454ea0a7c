# SPDX-License-Identifier: Apache-2.0
"""The demo shows what it says: its tools find and break things, and it runs twice."""

import base64
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from plaintext import RUN_BYTES, PlaintextSearch
from tamper import (
    PROBE_BYTES,
    TamperError,
    crc32c,
    find_stored_byte,
    flipped,
)

from tests.support.stack import WeedForTests, running_weed

ROOT = Path(__file__).resolve().parents[2]
NAME = "demo/minilm"


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(2).randbytes(300_000)


@pytest.fixture(scope="module")
def search(content: bytes) -> PlaintextSearch:
    return PlaintextSearch([NAME], [content, b"too short"])


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedForTests]:
    with running_weed(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.mark.parametrize("start", [0, 1, 63, 64, 4_095, 123_457, 299_000])
@pytest.mark.parametrize("offset", [0, 1, 7, 13])
def test_a_run_of_plaintext_is_found_wherever_it_lies(
    search: PlaintextSearch, content: bytes, start: int, offset: int
) -> None:
    stored = bytes(offset) + content[start : start + RUN_BYTES] + b"after"

    assert list(search.find(stored))


@pytest.mark.parametrize(
    "stored",
    [
        NAME.encode(),
        NAME.encode().hex().encode(),
        NAME.encode().hex().upper().encode(),
        base64.b64encode(b"a" + NAME.encode() + b"bc"),
        base64.b64encode(b"ab" + NAME.encode() + b"bc"),
        base64.b64encode(b"abc" + NAME.encode() + b"bc"),
    ],
)
def test_a_name_is_found_in_each_spelling(
    search: PlaintextSearch, stored: bytes
) -> None:
    assert list(search.find(b"\x00" + stored + b"\xff")) == [f"the name {NAME!r}"]


def test_nothing_is_found_in_other_bytes(search: PlaintextSearch) -> None:
    other = random.Random(3)

    for size in (0, 1, 7, 8, 15, 16, 1_000_003):
        assert list(search.find(other.randbytes(size))) == []


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.e2e
@pytest.mark.parametrize("size", [3_000, 9_000_000])
def test_a_flipped_byte_is_what_s3_serves_until_it_is_healed(
    weed: WeedForTests, tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    stored = random.Random(size).randbytes(size)
    bucket = weed.make_bucket(f"flip-{size}")
    s3 = weed.client("admin")
    version = s3.put_object(Bucket=bucket, Key="packs/ab", Body=stored)["VersionId"]
    url = s3.generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "packs/ab", "VersionId": version}
    )

    def served() -> bytes:
        # Not by boto3, which would compare with the checksum of the upload.
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - http:
            body: bytes = answer.read()
        return body

    middle = size // 2
    probe = stored[middle - PROBE_BYTES // 2 : middle + PROBE_BYTES // 2]
    byte = find_stored_byte(weed_folder(weed), probe)
    with flipped(byte) as (before, after):
        wrong = bytearray(served())
    healed = served()
    s3.close()

    assert before == stored[middle]
    assert wrong[middle] == after == before ^ 1
    wrong[middle] = before
    assert wrong == stored
    assert healed == stored


@pytest.mark.e2e
def test_a_byte_that_is_not_stored_cannot_be_flipped(weed: WeedForTests) -> None:
    with pytest.raises(TamperError, match="no volume file"):
        find_stored_byte(weed_folder(weed), random.Random(5).randbytes(PROBE_BYTES))


def weed_folder(weed: WeedForTests) -> Path:
    """Return where SeaweedFS keeps its data: beside its credentials."""
    return weed.credentials_file.parent


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="no torch: `make demo` brings it"
)
def test_the_demo_ends_well_twice_in_a_row(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

    try:
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, tmp_path / "examples" / "demo.py"],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )

            assert done.stdout.endswith("\ndemo: ok\n"), done.stdout + done.stderr
            assert done.returncode == 0
    finally:
        subprocess.run(
            [Path(sys.executable).parent / "strongroom", "dev", "down"],
            cwd=tmp_path,
            timeout=60,
            check=True,
        )
