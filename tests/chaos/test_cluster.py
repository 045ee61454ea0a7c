# SPDX-License-Identifier: Apache-2.0
"""The harness itself: what is killed comes back, and nothing is left running."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import strongroom
from tests.chaos.cluster import Cluster, processes_below
from tests.chaos.proxy import Odds

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # A short path, for the servers' sockets.
    root = Path(tempfile.mkdtemp(prefix="chaos-"))
    made = Cluster(root / "cluster", count=1, seed=1)
    try:
        made.start()
        yield made
    finally:
        made.stop()
    assert made.left_over() == []
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("part", "which"),
    [("store", 0), ("store", 1), ("store", 2), ("store", 3), ("vault", 0)],
)
def test_what_is_killed_comes_back_and_keeps_what_it_had(
    cluster: Cluster, tmp_path: Path, part: str, which: int
) -> None:
    source, content = tmp_path / "source", f"{part} {which}".encode()
    source.mkdir()
    (source / "before").write_bytes(content)
    with strongroom.Client(cluster.settings(0)) as client:
        before = client.push(source, "chaos/parts").version

        cluster.kill(part, which=which)
        was_up = cluster.is_up(part)
        cluster.mend(part)

        assert not was_up
        assert cluster.is_up(part)
        assert client.read_bytes(f"{before.name}/before") == content
        (source / "after").write_bytes(content)
        assert client.push(source, "chaos/parts").version.number == before.number + 1


def test_a_server_goes_on_when_its_index_is_deleted_under_its_feet(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"with an index")
    with strongroom.Client(cluster.settings(0)) as client:
        client.push(tmp_path, "chaos/index")
        assert cluster.drop_index(0)
        (tmp_path / "file").write_bytes(b"without an index")

        pushed = client.push(tmp_path, "chaos/index").version

        assert client.read_bytes(f"{pushed.name}/file") == b"without an index"
        cluster.kill("server-0", which=0)
        cluster.mend("server-0")
        assert client.read_bytes(f"{pushed.name}/file") == b"without an index"


def test_faults_strike_s3_and_vault(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in bad weather")
    cluster.set_odds(s3=Odds(error=0.2, delay=0.2), vault=Odds(delay=1.0))
    try:
        with strongroom.Client(cluster.settings(0)) as client:
            client.push(tmp_path, "chaos/weather")
    finally:
        cluster.calm()

    store, vault = cluster.proxies
    assert store.faults["5xx"] + store.faults["delay"]
    assert vault.faults["delay"]


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*(sys.executable, "-m", "tests.chaos.chaos"), "--seed", "1", "--servers", "1"],
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        while "servers are up" not in process.stderr.readline():
            assert process.poll() is None
        assert processes_below(tmp_path)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "interrupted" in out
    assert processes_below(tmp_path) == []
