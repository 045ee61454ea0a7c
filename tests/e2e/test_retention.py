# SPDX-License-Identifier: Apache-2.0
"""Trash, holds, sweeps, proof and repair on real parts, with two servers.

The second server shares bucket and Vault with the stack's own and does not wait
before it sweeps, which is safe: what keeps a sweep from harm needs no time.
"""

import filecmp
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from bucket import Bucket
from tamper import PROBE_BYTES, find_stored_byte, flipped

from tests.support.cli import LiveStack, Result

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SERVER = Path(sys.executable).with_name("strongroom-server")
IMPATIENT = "\n[sweep]\nmin_age_s = 0\ngrace_s = 0\nupload_age_s = 0\n"
SIZE = 300_000
#: More than any number of sweeps that it takes.
SWEEPS_S = 60.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A stack, and a second server on its store."""

    stack: LiveStack
    bucket: Bucket
    endpoint: str

    def impatient(self, *args: str) -> Result:
        """Run a command on the server that does not wait."""
        return self.stack.check("--endpoint", self.endpoint, *args)

    def sweep(self, folder: Path) -> list[dict[str, object]]:
        """Plan and apply sweeps until one has removed something; return what each did.

        The store tells the time in whole seconds, and what was done in the second
        that it tells is not over yet: a quick machine has done several by then.
        """
        done: list[dict[str, object]] = []
        deadline = time.monotonic() + SWEEPS_S
        while not any(item["removed_count"] for item in done):
            assert time.monotonic() < deadline, done
            plan = str(folder / f"plan-{len(done)}.json")
            self.impatient("sweep", "--plan", plan)
            applied = self.impatient("sweep", "--apply", plan, "--json")
            done.append(applied.summary)
        return done

    def packs(self) -> set[str]:
        """Return the keys of all packs."""
        return {item.key for item in self.bucket.objects("packs/")}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def second_server(stack: LiveStack, folder: Path) -> Iterator[str]:
    """Run another server on the stack's store; yield its endpoint."""
    endpoint = f"127.0.0.1:{free_port()}"
    text = (stack.root / "server" / "server.toml").read_text()
    for key, value in {
        "data": endpoint,
        "health": f"127.0.0.1:{free_port()}",
        "admin": f"127.0.0.1:{free_port()}",
        "spans_file": str(folder / "spans.jsonl"),
    }.items():
        text, found = re.subn(rf'(?m)^{key} = ".*"$', f'{key} = "{value}"', text)
        assert found == 1, key
    for section in ("index", "audit"):
        text = re.sub(
            rf'(?m)^\[{section}\]\npath = ".*"$',
            f'[{section}]\npath = "{folder / section}"',
            text,
        )
    # The stack's own server has it.
    text = re.sub(r"(?m)^\[shared_memory\]\n(?:[^\[\n].*\n)*", "", text)
    settings = folder / "server.toml"
    settings.write_text(text + IMPATIENT)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [SERVER, "serve", "--config", str(settings)], stderr=log
        )
    try:
        for _ in range(100):
            if stack.run("--endpoint", endpoint, "ls").code == 0:
                break
            assert process.poll() is None, (folder / "server.log").read_text()
        yield endpoint
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("retention")
    live = LiveStack(folder / ".strongroom")
    live.up()
    try:
        with second_server(live, folder) as endpoint:
            yield Pair(live, Bucket(live.root), endpoint)
    finally:
        live.down()


def push(pair: Pair, tree: Path, name: str) -> None:
    tree.mkdir(exist_ok=True)
    (tree / "big.bin").write_bytes(os.urandom(SIZE))
    pair.stack.check("push", str(tree), name)


def test_a_version_goes_and_comes_back_and_goes_for_good(
    pair: Pair, tmp_path: Path
) -> None:
    stack, tree = pair.stack, tmp_path / "in"
    name = "keep/swept"
    push(pair, tree, name)
    first_packs = pair.packs()
    push(pair, tree, name)
    stack.check("policy", "set", name, "--trash-days", "0", "--reason", "test")

    stack.check("hold", "set", f"{name}@1", "--reason", "case 7")
    held = stack.run("delete", f"{name}@1")
    stack.check("hold", "lift", f"{name}@1")
    stack.check("delete", f"{name}@1", "--reason", "leaked")
    trashed = stack.run("pull", f"{name}@1", str(tmp_path / "trashed"))
    stack.check("undelete", f"{name}@1")
    stack.check("pull", f"{name}@1", str(tmp_path / "back"))
    stack.check("delete", f"{name}@1")
    done = pair.sweep(tmp_path)

    assert (held.code, "LEGAL_HOLD" in held.err) == (16, True)
    assert (trashed.code, "VERSION_DELETED" in trashed.err) == (16, True)
    assert sum(int(str(item["purged_count"])) for item in done) == 1, done
    assert first_packs - pair.packs(), "its bytes are gone"
    gone = stack.run("pull", f"{name}@1", str(tmp_path / "gone"))
    assert (gone.code, "VERSION_PURGED" in gone.err) == (16, True)
    stack.check("pull", name, str(tmp_path / "kept"))
    assert filecmp.cmp(tree / "big.bin", tmp_path / "kept/big.bin", shallow=False)
    told = stack.check("log", name).out
    for words in ("to the trash", "out of the trash", "held no longer", "gone: 1"):
        assert words in told
    assert "0 damaged" in stack.check("verify", "--store").out
    assert "0 damaged" in stack.check("verify", "--store", "--without-keys").out


def test_a_patient_server_condemns_nothing_young(pair: Pair, tmp_path: Path) -> None:
    push(pair, tmp_path / "in", "keep/young")
    pair.stack.check("policy", "set", "keep/young", "--trash-days", "0")
    push(pair, tmp_path / "in", "keep/young")
    pair.stack.check("delete", "keep/young@1")
    before = pair.packs()

    plan = str(tmp_path / "plan.json")
    pair.stack.check("sweep", "--plan", plan)
    applied = pair.stack.check("sweep", "--apply", plan, "--json").summary

    assert applied["condemned_count"] == applied["removed_count"] == 0
    assert pair.packs() == before


def test_rot_is_found_named_and_mended(pair: Pair, tmp_path: Path) -> None:
    stack, tree, name = pair.stack, tmp_path / "in", "keep/rotten"
    before = pair.packs()
    push(pair, tree, name)
    [pack] = [
        item
        for item in pair.bucket.objects("packs/")
        if item.key not in before and item.size_bytes >= SIZE
    ]
    data = pair.bucket.read(pack)
    middle = len(data) // 2
    probe = data[middle - PROBE_BYTES // 2 : middle + PROBE_BYTES // 2]

    with flipped(find_stored_byte(stack.root / "seaweed", probe)):
        keyless = stack.run("verify", "--store", "--without-keys")
        found = stack.run("verify", "--store")
        stack.check("repair", f"{name}@1", "--from", str(tree))
        stack.check("pull", name, str(tmp_path / "out"))
        stack.check("verify", f"{name}@1")

    assert keyless.code == found.code == 14
    for result in (keyless, found):
        assert pack.key in result.out
    assert f"{name}@1 (refs: latest): 1 file\n      big.bin" in found.out
    assert filecmp.cmp(tree / "big.bin", tmp_path / "out/big.bin", shallow=False)


def test_an_index_is_built_anew(pair: Pair, tmp_path: Path) -> None:
    push(pair, tmp_path / "in", "keep/indexed")

    told = pair.stack.check("index", "rebuild", "--json").summary
    again = pair.stack.check("push", str(tmp_path / "in"), "keep/again", "--json")

    assert int(told["chunk_count"]) > 0
    assert int(again.summary["stored_bytes"]) < SIZE


def test_a_training_job_takes_nothing_away(pair: Pair, tmp_path: Path) -> None:
    push(pair, tmp_path / "in", "keep/safe")
    trainer = {"STRONGROOM_CONFIG": str(pair.stack.root / "client/trainer/client.toml")}

    refused = [
        pair.stack.run(*args, environ=trainer).code
        for args in (
            ("delete", "keep/safe@1"),
            ("hold", "lift", "keep/safe"),
            ("policy", "set", "keep/safe", "--keep-last", "1"),
            ("sweep", "--plan", str(tmp_path / "plan.json")),
            ("index", "rebuild"),
        )
    ]

    assert refused == [12] * 5
    assert pair.stack.check("explain", "keep/safe", environ=trainer).code == 0
