# SPDX-License-Identifier: Apache-2.0
"""Transfers that were killed go on from another process, on a real stack."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3 import S3Settings, open_s3
from strongroom_server.services.downloads import hedging
from tests.support.cli import LiveStack
from tests.support.cutting_proxy import Plan, cutting_proxy
from tests.support.process_reads import ProcessReads
from tests.support.samples import filled
from tests.support.stack import BUCKET, running_weed
from tests.support.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MIB = 2**20
#: A file for each; no two chunks are alike.
SIZES = {"a/big": 320 * MIB, "a/small": 1000, "b": 200 * MIB}
ALL_BYTES = sum(SIZES.values())
#: Beyond the first record, which comes behind 128 MiB.
BEGUN_BYTES = 300 * MIB
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("resume") / "tree"
    (folder / "a").mkdir(parents=True)
    for name, size in SIZES.items():
        with (folder / name).open("wb") as file:
            for start in range(0, size, 16 * MIB):
                file.write(os.urandom(min(16 * MIB, size - start)))
    yield folder
    shutil.rmtree(folder)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_pulled(stack: LiveStack, artifact: str, tree: Path, out: Path) -> None:
    stack.check("pull", artifact, str(out))
    for name in SIZES:
        assert (out / name).read_bytes() == (tree / name).read_bytes()
    shutil.rmtree(out)


def test_a_push_that_was_killed_goes_on_from_another_process(
    stack: LiveStack, tree: Path, tmp_path: Path
) -> None:
    upload_id = str(uuid.uuid4())
    artifact = "resume/client-killed"
    reads = ProcessReads(stack.pid("server"))
    push = stack.start("push", str(tree), artifact, "--request-id", upload_id)
    wait_until(lambda: reads.so_far(push) > BEGUN_BYTES, push)
    push.kill()
    push.communicate()
    assert stack.run("show", artifact).code == 10

    again = stack.check(
        "push", str(tree), artifact, "--resume", upload_id, "--json"
    ).summary

    assert again["version"] == 1
    assert again["resumed_bytes"] >= 100 * MIB
    assert again["sent_bytes"] + again["resumed_bytes"] == ALL_BYTES
    check_pulled(stack, artifact, tree, tmp_path / "out")


def test_a_push_whose_server_was_killed_goes_on_at_another(
    stack: LiveStack, tree: Path, tmp_path: Path
) -> None:
    artifact = "resume/server-killed"
    server = stack.pid("server")
    reads = ProcessReads(server)
    push = stack.start("push", str(tree), artifact)
    try:
        wait_until(lambda: reads.so_far(push) > BEGUN_BYTES, push)
        os.kill(server, signal.SIGKILL)
        _, err = push.communicate(timeout=PATIENCE_S)
    finally:
        stack.up()

    assert push.returncode == 17, err
    # The command that the error names, as a person would paste it.
    (line,) = [line for line in err.splitlines() if line.startswith("  next:")]
    words = line.partition("Then go on: strongroom ")[2].split()
    assert words[:3] == ["push", str(tree), artifact]
    again = stack.check(*words, "--json").summary
    assert again["resumed_bytes"] >= 100 * MIB
    assert again["sent_bytes"] + again["resumed_bytes"] == ALL_BYTES
    check_pulled(stack, artifact, tree, tmp_path / "out")


def test_a_pull_that_was_killed_goes_on_in_the_middle(
    stack: LiveStack, tree: Path, tmp_path: Path
) -> None:
    artifact = "resume/pulled"
    stack.check("push", str(tree), artifact)
    out = tmp_path / "out"
    pull = stack.start("pull", artifact, str(out))
    wait_until(lambda: staged_bytes(tmp_path) > 100 * MIB, pull)
    pull.kill()
    pull.communicate()
    assert not out.exists()

    again = stack.check("pull", artifact, str(out), "--json").summary

    assert again["resumed_bytes"] >= 100 * MIB
    assert again["resumed_bytes"] + again["received_bytes"] == ALL_BYTES
    for name in SIZES:
        assert (out / name).read_bytes() == (tree / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def staged_bytes(folder: Path) -> int:
    """Return how much lies in hidden places below a folder."""
    return sum(
        path.stat().st_size
        for hidden in folder.glob(".*")
        for path in hidden.rglob("*")
        if path.is_file()
    )


@pytest.mark.alone
def test_a_connection_to_s3_that_stalls_is_overtaken_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hedging, "MIN_DELAY_S", 0.3)
    # Chunks enough for reads at the same time, whatever connections lie idle.
    data = filled("stalled", 64 * MIB)
    with contextlib.ExitStack() as parts:
        weed = parts.enter_context(running_weed(tmp_path / "weed"))
        proxy = parts.enter_context(cutting_proxy(weed.endpoint))
        settings = S3Settings(
            endpoint=weed.endpoint,
            region=weed.region,
            bucket=BUCKET,
            access_key=weed.strongroom.access_key,
            secret_key=weed.strongroom.secret_key,
        )
        executor = parts.enter_context(ThreadPoolExecutor(4))
        direct = parts.enter_context(open_s3(settings, SystemClock()))
        world = World(blobs=direct, executor=executor)
        world.push({"a": data})
        slow = parts.enter_context(
            open_s3(
                S3Settings(
                    endpoint=proxy.endpoint,
                    region=weed.region,
                    bucket=BUCKET,
                    access_key=weed.strongroom.access_key,
                    secret_key=weed.strongroom.secret_key,
                    read_timeout_s=20.0,
                ),
                SystemClock(),
            )
        )
        reader = world.reopened(blobs=slow)
        reader.artifacts.list_projects(page_size=0, page_token="")
        # Of the next connections, one passes on some of a chunk and falls silent.
        proxy.plans.extend([Plan(answer_bytes=100_000, stalls=True)])

        started_s = time.monotonic()
        assert reader.pull() == {"a": data}
        assert time.monotonic() - started_s < 15.0
        assert not proxy.plans
        proxy.close()
