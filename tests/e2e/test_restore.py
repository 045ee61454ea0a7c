# SPDX-License-Identifier: Apache-2.0
"""Restores by real programs: to files, into another prefix, into the living store."""

import filecmp
import json
import os
import signal
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# Of examples/, which is on the path of tests.
from bucket import Bucket

from tests.support.cli import STRONGROOM, TIMEOUT_S, LiveStack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

SERVER = STRONGROOM.with_name("strongroom-server")
SIZE = 3_000_000
NAME, ALONE = "demo/model", "clinic/scans"


def trees(folder: Path) -> dict[str, Path]:
    """Make what is pushed: two versions of one artifact, one of another."""
    first, second, other = (folder / name for name in ("first", "second", "other"))
    for tree in (first, second, other):
        (tree / "sub").mkdir(parents=True)
        (tree / "sub" / "notes.txt").write_text(tree.name)
        (tree / "weights.bin").write_bytes(os.urandom(SIZE))
    return {f"{NAME}@1": first, f"{NAME}@2": second, f"{ALONE}@1": other}


def same(one: Path, other: Path) -> bool:
    names = ["sub/notes.txt", "weights.bin"]
    found = {
        str(path.relative_to(other)) for path in other.rglob("*") if path.is_file()
    }
    match, _, _ = filecmp.cmpfiles(one, other, names, shallow=False)
    return set(match) == set(names) == found


def restore(config: Path, *args: str) -> list[dict[str, Any]]:
    """Run `strongroom-server restore`, which must succeed; return what it says."""
    done = subprocess.run(
        [SERVER, "restore", "--config", config, "--json", *args],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, (args, done)
    return [json.loads(line) for line in done.stdout.splitlines()]


def elsewhere(stack: LiveStack, folder: Path, prefix: str) -> Path:
    """Write a server's settings that differ in prefix, index and audit log."""
    written = (stack.root / "server/server.toml").read_text()
    settings = tomllib.loads(written)
    for old, new in (
        ('\nprefix = ""\n', f'\nprefix = "{prefix}"\n'),
        (settings["index"]["path"], str(folder / f"{prefix}-index")),
        (settings["audit"]["path"], str(folder / f"{prefix}-audit")),
    ):
        assert old in written
        written = written.replace(old, new, 1)
    config = folder / f"{prefix}.toml"
    config.write_text(written.replace("\n[audit]\n", '\n[audit]\nlog = "after"\n'))
    return config


@contextmanager
def serving(stack: LiveStack, config: Path, folder: Path) -> Iterator[None]:
    """Have a server with other settings in place of the stack's."""
    os.kill(stack.pid("server"), signal.SIGKILL)
    log = folder / "elsewhere.log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [SERVER, "serve", "--config", config], stdout=file, stderr=file
        ) as server,
    ):
        try:
            wait_until(lambda: stack.run("whoami").code == 0, timeout_s=60)
            yield
        finally:
            server.terminate()
            server.wait(30)


def check_versions(stack: LiveStack, pushed: dict[str, Path], folder: Path) -> None:
    for number, (name, tree) in enumerate(pushed.items()):
        target = folder / str(number)
        stack.check("pull", name, str(target))
        assert same(tree, target), name


def check_files(stack: LiveStack, pushed: dict[str, Path], folder: Path) -> None:
    """Restore to a folder, by settings that say no more than is needed."""
    settings = (stack.root / "server/server.toml").read_text()
    parts = settings.split("\n[")
    needed = ["", *(part for part in parts if part.startswith(("vault]", "backup]")))]
    config = folder / "least.toml"
    config.write_text("\n[".join(needed))
    target = folder / "files"
    plan = restore(config, "--to-folder", str(target), "--dry-run")[-1]
    assert plan["message_type"] == "plan"
    assert (plan["version_count"], plan["file_count"]) == (3, 6)
    assert not any(kek["problem"] for kek in plan["keks"])
    assert not target.exists()
    report = restore(config, "--to-folder", str(target))[-1]
    assert (report["copied_count"], report["damaged_count"]) == (6, 0)
    for name, tree in pushed.items():
        assert same(tree, target / name.replace("@", "/"))
    one = folder / "one"
    restore(
        config, "--to-folder", str(one), "--artifact", NAME, "--version", "1",
        "--path", "sub/",
    )  # fmt: skip
    found = [path for path in one.rglob("*") if path.is_file()]
    assert one / f"{NAME}/1/sub/notes.txt" in found
    assert not any(path.name == "weights.bin" for path in found)


def kill_under_way(config: Path, bucket: Bucket) -> None:
    """Begin to restore slowly, and kill the program once a first pack is copied."""
    command: list[str | Path] = [
        SERVER, "restore", "--config", config, "--to-store", "--json"
    ]  # fmt: skip
    with subprocess.Popen(
        [*command, "--max-bytes-per-second", "3000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as slow:
        try:
            wait_until(
                lambda: (
                    any(True for _ in bucket.objects("moved/packs/"))
                    or slow.poll() is not None
                ),
                timeout_s=TIMEOUT_S,
            )
        finally:
            slow.kill()
        assert slow.wait(30) == -signal.SIGKILL


def test_restores_bring_back_every_byte(
    own_backed_stack: LiveStack, tmp_path: Path
) -> None:
    stack = own_backed_stack
    pushed = trees(tmp_path / "trees")
    for name, tree in pushed.items():
        exclusive = ["--exclusive"] if name.startswith(ALONE) else []
        stack.check("push", str(tree), name.partition("@")[0], *exclusive)
    stack.check("ref", "move", NAME, "prod", "1")
    stack.check("backup", "create")
    check_files(stack, pushed, tmp_path)
    check_living(stack, pushed, tmp_path)
    check_elsewhere(stack, pushed, tmp_path)


def check_living(stack: LiveStack, pushed: dict[str, Path], folder: Path) -> None:
    """Lose packs and the journal, and delete a version: all of it comes back."""
    bucket = Bucket(stack.root)
    for stored in [*bucket.objects("packs/"), *bucket.objects("journals/")]:
        bucket.remove(stored)
    receipt, keys = folder / "receipt.json", folder / "keys.json"
    for name in (NAME, ALONE):
        told = stack.check("restore", name, "--backup", "1", "--json").summary
        assert told["damaged_count"] == 0
    check_versions(stack, pushed, folder / "mended")
    stack.check("delete", f"{NAME}@2", "--reason", "by mistake")
    args = ("--backup", "1", "--move-ref", "prod", "--out", str(receipt))
    stack.check("restore", f"{NAME}@2", *args)
    keys.write_text(stack.check("keys", "public").out)
    told = json.loads(
        stack.check("receipt", "verify", str(receipt), "--keys", str(keys)).out
    )
    assert told["versions"][0]["new_version"] == 3
    stack.check("pull", f"{NAME}@prod", str(folder / "again"))
    assert same(pushed[f"{NAME}@2"], folder / "again")


def check_elsewhere(stack: LiveStack, pushed: dict[str, Path], folder: Path) -> None:
    """Restore into another prefix, be killed, go on, and serve from there."""
    with tempfile.TemporaryDirectory(prefix="els-") as name:
        config = elsewhere(stack, Path(name), "moved")
        kill_under_way(config, Bucket(stack.root))
        refused = subprocess.run(
            [SERVER, "serve", "--config", config],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert refused.returncode != 0
        assert "strongroom.json is gone" in refused.stderr
        report = restore(config, "--to-store")[-1]
        assert report["there_count"] > 0
        assert (report["version_count"], report["damaged_count"]) == (3, 0)
        with serving(stack, config, folder):
            check_versions(stack, pushed, folder / "moved")
            stack.check("pull", f"{NAME}@prod", str(folder / "prod"))
            assert same(pushed[f"{NAME}@1"], folder / "prod")
            stack.check("verify", "--store")
            pushed_again = stack.check(
                "push", str(pushed[f"{NAME}@2"]), "demo/again", "--json"
            )
            assert pushed_again.code == 0
