# SPDX-License-Identifier: Apache-2.0
"""A backup after a change of one tensor: what it copies, beside restic and rclone.

    make bench-backup
    make bench-backup BENCH_ARGS="--size 64MiB"

Starts a stack of its own with a backup bucket in a temporary folder on this disk. A
checkpoint of sixteen tensors is pushed and backed up; `restic backup` and `rclone sync`
take the same file to folders of their own. Then one tensor is another one, and all
three go on. Each says what it copied, and how long that took. Exit code 0 if the backup
copied no more than an eighth of the checkpoint (the tensor is a sixteenth), and a deep
check finds nothing wrong, else 1.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.bench_memory import parse_size
from tests.bench.measuring import MIB, BenchError, end_like_interrupt, say
from tests.bench.programs import find_programs
from tests.support.cli import LiveStack

ROOT: Final = Path(__file__).resolve().parents[2]
ARTIFACT: Final = "bench/model"
TENSORS: Final = 16
CHANGED: Final = 7
_TIMEOUT_S: Final = 3600.0
_BLOCK_BYTES: Final = MIB


@dataclass(frozen=True)
class Copied:
    """What one program copied: bytes, and in how many seconds."""

    size_bytes: int
    seconds: float

    def told(self) -> str:
        """Return it as people read it."""
        return f"{self.size_bytes / MIB:9.2f} MiB  {self.seconds:6.2f} s"


@dataclass(frozen=True)
class Bench:
    """One run: a stack with a backup bucket, and folders for the others."""

    stack: LiveStack
    folder: Path
    restic: str
    rclone: str

    def back_up(self) -> Copied:
        """Push the checkpoint, and have the store backed up."""
        self.stack.check("push", str(self.source), ARTIFACT, "--kind", "checkpoint")
        begin = time.monotonic()
        told = self.stack.check("backup", "create", "--json", "--no-progress")
        summary = told.lines[-1]
        return Copied(int(summary["copied_bytes"]), time.monotonic() - begin)

    def back_up_by_restic(self) -> Copied:
        """Have restic back the checkpoint up, into a folder."""
        repository = self.folder / "restic"
        environ = {
            **os.environ,
            "RESTIC_REPOSITORY": str(repository),
            "RESTIC_PASSWORD": "of a benchmark",
            "RESTIC_CACHE_DIR": str(self.folder / "restic-cache"),
        }
        if not repository.exists():
            _run([self.restic, "init"], environ)
        begin = time.monotonic()
        told = _run([self.restic, "backup", "--json", str(self.source)], environ)
        seconds = time.monotonic() - begin
        summary = _last(told, "message_type", "summary")
        # Encrypted and packed; older releases tell the bytes before that alone.
        copied = summary.get("data_added_packed", summary["data_added"])
        return Copied(int(copied), seconds)

    def sync_by_rclone(self) -> Copied:
        """Have rclone bring a folder up to the checkpoint."""
        target = str(self.folder / "rclone")
        command = [self.rclone, "sync", str(self.source), target]
        begin = time.monotonic()
        # rclone logs to standard error, and says what it moved at its end.
        told = _run([*command, "--use-json-log", "-v", "--stats", "1h"], os.environ)
        seconds = time.monotonic() - begin
        found = [line["stats"] for line in _lines(told) if "stats" in line]
        if not found:
            message = "rclone did not say what it moved"
            raise BenchError(message)
        return Copied(int(found[-1]["bytes"]), seconds)

    @property
    def source(self) -> Path:
        """Where the checkpoint lies."""
        return self.folder / "checkpoint"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; return the exit code."""
    end_like_interrupt()
    parser = argparse.ArgumentParser(description="A backup after a small change.")
    parser.add_argument("--size", type=parse_size, default=256 * MIB, metavar="256MiB")
    size_bytes = parser.parse_args(arguments).size
    programs = find_programs(ROOT / "build" / "bench-tools")
    if not programs.restic or not programs.rclone:
        say("bench-backup: restic or rclone is not installed: apt-get install both")
        return 1
    with tempfile.TemporaryDirectory(prefix="backup-") as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < 8 * size_bytes + (1 << 30):
            say("bench-backup: there is too little disk")
            return 1
        stack = LiveStack(folder / ".strongroom", backups=True)
        stack.up()
        try:
            bench = Bench(stack, folder, programs.restic, programs.rclone)
            return measure(bench, size_bytes)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            say(f"bench-backup: failed: {error}")
            return 1
        finally:
            stack.down()


def measure(bench: Bench, size_bytes: int) -> int:
    """Measure both rounds, print them, and return the exit code."""
    tensor_bytes = size_bytes // TENSORS
    bench.source.mkdir()
    say(f"a checkpoint of {TENSORS} tensors, {size_bytes / MIB:.0f} MiB of noise")
    rounds: list[dict[str, Copied]] = []
    for label in ("first", "after a change of one tensor"):
        _write(bench.source / "model.safetensors", tensor_bytes, is_new=not rounds)
        found = {
            "strongroom backup create": bench.back_up(),
            "restic backup": bench.back_up_by_restic(),
            "rclone sync": bench.sync_by_rclone(),
        }
        rounds.append(found)
        say(f"\n{label}: copied, in")
        for name, copied in found.items():
            say(f"  {name:26}{copied.told()}")
    checked = bench.stack.run("backup", "verify", "--deep", "--no-progress")
    say(f"\nstrongroom backup verify --deep: {checked.out.strip()}")
    copied_bytes = rounds[1]["strongroom backup create"].size_bytes
    is_kept = copied_bytes <= size_bytes // (TENSORS // 2) and checked.code == 0
    say(
        f"one tensor is {tensor_bytes / MIB:.2f} MiB: {'kept' if is_kept else 'MISSED'}"
    )
    return 0 if is_kept else 1


def _write(path: Path, tensor_bytes: int, *, is_new: bool) -> None:
    """Write a checkpoint of noise, or give the one that is there another tensor."""
    header = {
        f"layer.{number}": {
            "dtype": "U8",
            "shape": [tensor_bytes],
            "data_offsets": [number * tensor_bytes, (number + 1) * tensor_bytes],
        }
        for number in range(TENSORS)
    }
    data = json.dumps(header).encode()
    data += b" " * (-len(data) % 8)
    begin = 8 + len(data)
    with path.open("wb" if is_new else "r+b") as file:
        if is_new:
            file.write(len(data).to_bytes(8, "little") + data)
            _noise(file, TENSORS * tensor_bytes)
        else:
            file.seek(begin + CHANGED * tensor_bytes)
            _noise(file, tensor_bytes)


def _noise(file: Any, size_bytes: int) -> None:  # noqa: ANN401 -- an open file
    for offset in range(0, size_bytes, _BLOCK_BYTES):
        file.write(os.urandom(min(_BLOCK_BYTES, size_bytes - offset)))


def _run(command: Sequence[str], environ: Any) -> str:  # noqa: ANN401 -- as `os.environ`
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env=dict(environ),
    )
    if done.returncode:
        message = f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr}"
        raise BenchError(message)
    return done.stdout + done.stderr


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def _last(text: str, key: str, value: str) -> dict[str, Any]:
    found = [line for line in _lines(text) if line.get(key) == value]
    if not found:
        message = f"nothing told of {key} {value}"
        raise BenchError(message)
    return found[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
