# SPDX-License-Identifier: Apache-2.0
"""Versions written through a sidecar on a real stack: by whom, what, and how little."""

import hashlib
import io
import json
import os
import shutil
import signal
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

import strongroom
from strongroom.client import Client
from tests.bench.checkpoints import tensors_of, write_checkpoint
from tests.support.cli import LiveStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

MIB = 1024 * 1024
CHECKPOINT_BYTES = 48 * MIB


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """A stack with a sidecar. Its path is short: it holds a socket."""
    root = Path(tempfile.mkdtemp(prefix="sw-"))
    live = LiveStack(root / "s")
    live.check("dev", "sidecar", "--dir", str(live.root))
    try:
        yield live
    finally:
        live.down()
    shutil.rmtree(root)


def settings_of(stack: LiveStack) -> Path:
    return stack.root / "sidecar/client.toml"


@pytest.fixture
def client(stack: LiveStack) -> Iterator[Client]:
    with strongroom.connect(config_file=settings_of(stack)) as made:
        yield made


@pytest.fixture
def direct(stack: LiveStack) -> Iterator[Client]:
    """A client of central's own."""
    with strongroom.connect(config_file=stack.root / "client.toml") as made:
        yield made


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three versions: one, a tenth of it changed, all of it stepped on."""
    tensors = tensors_of(CHECKPOINT_BYTES)
    folders = []
    for number in (1, 2, 3):
        folders.append(tmp_path_factory.mktemp(f"v{number}"))
        write_checkpoint(folders[-1] / "model.safetensors", tensors, number)
    return folders


def packs_of(stack: LiveStack) -> int:
    """Return how many bytes of packs there are."""
    settings = tomllib.loads((stack.root / "server/server.toml").read_text())["store"]
    credentials = json.loads(Path(settings["credentials_file"]).read_text())
    client = boto3.client(
        "s3",
        endpoint_url=settings["endpoint"],
        region_name=settings["region"],
        aws_access_key_id=credentials["access_key"],
        aws_secret_access_key=credentials["secret_key"],
        config=Config(s3={"addressing_style": "path"}),
    )
    pages = client.get_paginator("list_object_versions")
    sizes = [
        item["Size"]
        for page in pages.paginate(Bucket=settings["bucket"])
        for item in page.get("Versions", [])
        if "packs/" in item["Key"]
    ]
    client.close()
    return sum(sizes)


def content_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_versions_of_a_checkpoint_are_as_small_as_through_central(
    stack: LiveStack, checkpoints: list[Path], client: Client, tmp_path: Path
) -> None:
    added: dict[str, list[int]] = {}
    for name, config in (
        ("beside/model", settings_of(stack)),
        ("direct/model", stack.root / "client.toml"),
    ):
        for folder in checkpoints:
            arguments = ("push", str(folder), name, "--kind", "checkpoint", "--json")
            pushed = stack.check("--config", str(config), *arguments)
            added.setdefault(name, []).append(pushed.summary["stored_bytes"])
    for ours, theirs in zip(added["beside/model"], added["direct/model"], strict=True):
        assert ours <= theirs * 1.02 + 64 * 1024
    size = (checkpoints[0] / "model.safetensors").stat().st_size
    assert added["beside/model"][1] < 0.1 * size
    assert added["beside/model"][2] < 0.25 * size

    for number, folder in enumerate(checkpoints, 1):
        for config in (settings_of(stack), stack.root / "client.toml"):
            target = tmp_path / f"{number}-{config.parent.name}"
            version = f"beside/model@{number}"
            stack.check("--config", str(config), "pull", version, str(target))
            assert content_of(target) == content_of(folder)
    report = stack.check("verify", "beside/model", "--json").summary
    assert report["damaged_count"] == 0
    assert client.show("beside/model@3").digested_by


def test_who_digested_a_version_is_told(
    client: Client, direct: Client, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    [writer] = client.push(tmp_path, "demo/told").version.digested_by
    assert writer.endswith("/sa/trainer/job/local")

    (tmp_path / "file").write_bytes(b"more")
    assert not direct.push(tmp_path, "demo/told").version.digested_by


def test_what_only_a_sidecar_has_seen_is_sent_to_central_again(
    client: Client, direct: Client, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"a" * 5000)
    client.push(tmp_path, "demo/again")
    (tmp_path / "b").write_bytes(b"b")

    version = direct.push(tmp_path, "demo/again").version

    assert version.number == 2
    assert not version.digested_by
    assert direct.read_bytes("demo/again/a") == b"a" * 5000


def test_many_small_files_and_odd_ones(
    client: Client, direct: Client, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    for number in range(2500):
        (tree / f"{number:05d}").write_bytes(b"%d" % number * (number % 50))
    (tree / "deep/er/run.sh").write_bytes(b"#!/bin/sh\n")
    (tree / "deep/er/run.sh").chmod(0o755)
    (tree / "exactly").write_bytes(os.urandom(16 * MIB))
    (tree / "more").write_bytes(os.urandom(33 * MIB + 7))

    client.push(tree, "demo/odd")

    for reader in (client, direct):
        target = tmp_path / str(id(reader))
        reader.pull("demo/odd", target)
        assert content_of(target) == content_of(tree)
        assert os.access(target / "deep/er/run.sh", os.X_OK)


def test_drafts_go_through_it(client: Client, direct: Client) -> None:
    data = os.urandom(20 * MIB)
    draft = client.draft("demo/draft")
    draft.put("rank0", data)
    # Of a stream nobody knows the size before its end.
    draft.put("rank1", io.BytesIO(data[: 3 * MIB] + b"end"))
    version = draft.commit(expected_file_count=2).version

    assert direct.read_bytes("demo/draft/rank0") == data
    assert direct.read_bytes("demo/draft/rank1") == data[: 3 * MIB] + b"end"
    assert version.digested_by


@pytest.mark.parametrize("victim", ["sidecar", "server"])
def test_whoever_is_killed_nothing_shows_and_the_next_push_works(
    stack: LiveStack, direct: Client, tmp_path: Path, victim: str
) -> None:
    name = f"demo/killed-{victim}"
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "big").write_bytes(os.urandom(160 * MIB))
    before = packs_of(stack)
    push = stack.start("--config", str(settings_of(stack)), "push", str(tree), name)
    try:
        end_s = time.monotonic() + 60
        while packs_of(stack) < before + 16 * MIB:
            assert time.monotonic() < end_s
            assert push.poll() is None
            time.sleep(0.02)
        os.kill(stack.pid(victim), signal.SIGKILL)
        stack.up()
        push.communicate(timeout=120)
    finally:
        push.kill()
        push.communicate()

    with strongroom.connect(config_file=settings_of(stack)) as client:
        result = client.push(tree, name)

    # It may have gone on by itself; then there is nothing left to do.
    assert result.version.number == 1
    assert result.unchanged == (push.returncode == 0)
    target = tmp_path / "target"
    direct.pull(name, target)
    assert content_of(target) == content_of(tree)


def test_the_sidecars_log_says_so_and_nothing_secret(stack: LiveStack) -> None:
    log = (stack.root / "logs/sidecar.log").read_text()
    calls = [json.loads(line) for line in log.splitlines() if '"call"' in line]

    assert any(call["method"].endswith("/WriteVersion") for call in calls)
    assert "Traceback" not in log
    assert "X-Amz-Signature" not in log
