# SPDX-License-Identifier: Apache-2.0
"""Somebody is killed in the middle of a distributed checkpoint through a sidecar.

No half checkpoint is there, the last good one loads, and the next save works.
`tests/e2e/test_kill_saves.py` does the same at other moments, without torch.
"""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.config import load_settings
from tests.support.cli import LiveStack
from tests.support.ranks import ranks, run_ranks

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
dcp = pytest.importorskip("torch.distributed.checkpoint")
ours = pytest.importorskip("strongroom.integrations.checkpoint")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(600),  # each rank imports torch for itself
    # Without a process group torch says that it saves from one process: meant.
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled"),
]


@pytest.fixture
def beside(live: LiveStack) -> LiveStack:
    """The stack, with a sidecar."""
    live.check("dev", "sidecar", "--dir", str(live.root))
    return live


def config_of(stack: LiveStack) -> Path:
    return stack.root / "sidecar/client.toml"


def numbers(client: Client, artifact: str) -> list[int]:
    return [version.number for version in client.list_versions(artifact)]


@pytest.mark.parametrize("victim", ["rank", "sidecar", "server"])
def test_four_ranks_leave_the_last_checkpoint_and_no_half_one(
    beside: LiveStack, tmp_path: Path, victim: str
) -> None:
    artifact = f"demo/ranks-{victim}"
    uri = f"strongroom://{artifact}"
    environ = {
        "STRONGROOM_CONFIG": str(config_of(beside)),
        "STRONGROOM_TEST_VICTIM": "" if victim == "rank" else str(beside.pid(victim)),
    }

    with ranks("die", uri, 4, tmp_path, environ) as running:
        if victim == "rank":
            assert running[2].wait(timeout=200) == -signal.SIGKILL
        for process in running:
            process.wait(timeout=250)  # what is gone is told, and none goes on
    beside.up()

    assert all(process.returncode for process in running)
    with Client(load_settings(config_file=config_of(beside))) as client:
        assert numbers(client, artifact) == [1]
    # Other ranks, as a launcher would start them.
    run_ranks("go-on", uri, 4, tmp_path, environ)
    with Client(load_settings(config_file=beside.root / "client.toml")) as client:
        assert numbers(client, artifact) == [2, 1]
        assert {file.path for file in client.list_files(artifact)} == {
            ".metadata",
            *(f"__{rank}_0.distcp" for rank in range(4)),
        }


@pytest.mark.parametrize("killed", ["server", "sidecar"])
def test_a_job_that_outlives_its_server_saves_again(
    beside: LiveStack, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    artifact = f"demo/alone-{killed}"
    uri = f"strongroom://{artifact}"
    folder = beside.root / "sidecar" if killed == "sidecar" else beside.root
    with Client(load_settings(config_file=folder / "client.toml")) as client:
        writer = ours.StrongroomWriter(uri, client=client)
        state = {"a": torch.ones(1 << 20), "b": torch.ones(1 << 20)}
        dcp.save(state, storage_writer=writer, no_dist=True)
        write = torch.save

        def killing(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as torch has them
            write(*arguments, **options)
            os.kill(beside.pid(killed), signal.SIGKILL)

        with monkeypatch.context() as broken:
            broken.setattr(torch, "save", killing)
            with pytest.raises(dcp.api.CheckpointException, match="UnavailableError"):
                dcp.save(
                    {"a": torch.rand(1 << 20)}, storage_writer=writer, no_dist=True
                )
        beside.up()

        assert numbers(client, artifact) == [1]
        loaded = {"a": torch.empty(1 << 20)}
        reader = ours.StrongroomReader(uri, client=client)
        dcp.load(loaded, storage_reader=reader, no_dist=True)
        assert torch.equal(loaded["a"], state["a"])
        state["b"] += 1
        dcp.save(state, storage_writer=writer, no_dist=True)
        assert numbers(client, artifact) == [2, 1]
