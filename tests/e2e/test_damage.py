# SPDX-License-Identifier: Apache-2.0
"""Stored objects that rot or vanish: never wrong bytes, always the right error.

A byte of an object is flipped where SeaweedFS keeps it, under the version id that
readers pin, or the object is removed for good with the administrator's rights.
"""

import filecmp
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from bucket import Bucket, StoredObject
from tamper import PROBE_BYTES, find_stored_byte, flipped

from tests.support.cli import LiveStack
from tests.support.refusals import Refusal, check_refused

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of object.

    Attributes:
        prefix: Where it lies in the bucket.
        nth: Which one below the prefix, by size.
        flipped, gone: What is said of it, as reasons.
        says: What the error names; `{}` stands for the artifact.
    """

    prefix: str
    nth: int
    flipped: str
    gone: str
    says: tuple[str, ...]


PARTS = {
    "pack": Part("packs/", -1, "CHUNK_CORRUPT", "CHUNK_MISSING", ("'big.bin'", "{}@1")),
    "file-table": Part("packs/", 0, "CHUNK_CORRUPT", "CHUNK_MISSING", ("{}@1",)),
    "manifest": Part(
        "manifests/", 0, "MANIFEST_CORRUPT", "MANIFEST_MISSING", ("manifest", "{}@1")
    ),
    "journal-entry": Part(
        "journals/", 0, "SIGNATURE_INVALID", "JOURNAL_CORRUPT", ("journal entry 0",)
    ),
    "key-slot": Part("keys/", 0, "KEY_SLOT_CORRUPT", "KEY_SLOT_MISSING", ("key",)),
}
HOWS = ("flipped", "gone")


@dataclass(frozen=True, slots=True)
class Stored:
    """One artifact and the objects that its push made."""

    artifact: str
    tree: Path
    objects: tuple[StoredObject, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """A stack whose server knows nothing yet of the artifacts in it."""

    stack: LiveStack
    bucket: Bucket
    stored: dict[str, Stored]

    def restart(self) -> None:
        """Let the server forget all that it keeps in memory and in its index."""
        os.kill(self.stack.pid("server"), signal.SIGKILL)
        shutil.rmtree(self.stack.root / "server/index")
        self.stack.up()


def names() -> Iterator[str]:
    for part in PARTS:
        for how in HOWS:
            # A project each, for the key slot is a project's.
            yield f"{part}-{how}"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("damage")
    live = LiveStack(folder / ".strongroom")
    live.up()
    try:
        made = Bench(live, Bucket(live.root), {})
        seen = set(made.bucket.objects())
        for name in names():
            tree = folder / name
            tree.mkdir()
            (tree / "big.bin").write_bytes(os.urandom(200_000))
            live.check("push", str(tree), f"{name}/art")
            now = set(made.bucket.objects())
            made.stored[name] = Stored(f"{name}/art", tree, tuple(now - seen))
            seen = now
        made.restart()
        yield made
    finally:
        live.down()


@contextmanager
def damaged(bench: Bench, victim: StoredObject, how: str) -> Iterator[None]:
    """Damage an object inside the block, and make it good if that is possible."""
    data = bench.bucket.read(victim)
    middle = len(data) // 2
    with ExitStack() as healing:
        if how == "gone":
            bench.bucket.remove(victim)
            healing.callback(bench.bucket.overwrite, victim.key, data)
        elif victim.key.startswith(("journals/", "keys/")):
            # Text, and so compressed on SeaweedFS's disk. But these objects are read
            # by their oldest version: another one in its place is what is read. It
            # still is text, for what is no text is found long before any check.
            letter = b"B" if data[middle : middle + 1] == b"A" else b"A"
            wrong = data[:middle] + letter + data[middle + 1 :]
            bench.bucket.remove(victim)
            healing.callback(bench.bucket.overwrite, victim.key, data)
            placed = bench.bucket.overwrite(victim.key, wrong)
            healing.callback(bench.bucket.remove, placed)
        else:
            probe = data[middle - PROBE_BYTES // 2 : middle + PROBE_BYTES // 2]
            byte = find_stored_byte(bench.stack.root / "seaweed", probe)
            healing.enter_context(flipped(byte))
        yield


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", PARTS)
def test_damage_is_named_and_hands_out_nothing(
    bench: Bench, tmp_path: Path, name: str, how: str
) -> None:
    part, stored = PARTS[name], bench.stored[f"{name}-{how}"]
    artifact, out = stored.artifact, tmp_path / "out"
    found = [item for item in stored.objects if item.key.startswith(part.prefix)]
    victim = sorted(found, key=lambda item: (item.size_bytes, item.key))[part.nth]
    says = [text.format(artifact) for text in part.says]
    refusal = Refusal(14, getattr(part, how), says)

    with damaged(bench, victim, how):
        check_refused(bench.stack, refusal, "pull", artifact, str(out))

        assert list(tmp_path.iterdir()) == []
        verified = bench.stack.run("verify", artifact)
        assert (verified.code, "Traceback" in verified.err) == (14, False), verified
        assert refusal.reason in verified.err
    check_recovers(bench, stored, out)


def check_recovers(bench: Bench, stored: Stored, out: Path) -> None:
    """Check that the content is there again: by itself, or once it is pushed."""
    pushed = bench.stack.check("push", str(stored.tree), stored.artifact, "--json")
    bench.stack.check("pull", stored.artifact, str(out))

    assert filecmp.cmpfiles(stored.tree, out, ["big.bin"], shallow=False)[0]
    assert pushed.summary["version"] in {1, 2}
