# SPDX-License-Identifier: Apache-2.0
"""Who is compared: Strongroom, restic, rclone, and plain objects by three programs.

`more_peers` has those that come with environments of their own.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from strongroom_server.dev.seaweed import BUCKET
from tests.bench.measuring import Usage, run_measured
from tests.bench.more_peers import run_peer
from tests.bench.stacks import PEER_BUCKET, STRONGROOM, BenchStack

_BOTO3_COPY: Final = Path(__file__).with_name("boto3_copy.py")
_SEED_NAME: Final = "README.md"


class Tool(Protocol):
    """Keeps versions of a directory in the store.

    Attributes:
        name: What the tables call it.
    """

    name: str

    def put(self, folder: Path, version: str) -> Usage:
        """Store a directory as a version."""

    def get(self, version: str, target: Path) -> Usage:
        """Write a version to a directory that does not exist yet."""

    def stored_bytes(self) -> int:
        """Sum up what the tool has in the store."""


@dataclass
class Strongroom:
    """`strongroom push` and `strongroom pull`, through the one server.

    Attributes:
        artifact: `project/artifact`; a project of its own shares with nobody.
        kind: What the artifact holds.
        codec: Of its policy; "" leaves the policy as it is by default.
        before: A program and arguments that run our command, such as a sampler.
    """

    name: str
    stack: BenchStack
    work: Path
    artifact: str
    kind: str
    codec: str = ""
    before: tuple[str, ...] = ()
    _numbers: dict[str, int] = field(default_factory=dict)

    def prepare(self) -> None:
        """Set the policy, for which there must be an artifact."""
        if not self.codec:
            return
        seed = self.work / _SEED_NAME
        seed.write_text("A version before the first.\n")
        self._run("push", str(seed), self.artifact, "--kind", self.kind)
        self._run("policy", "set", self.artifact, "--codec", self.codec)

    def put(self, folder: Path, version: str) -> Usage:
        """Push it as the next version."""
        usage = self._run(
            "push", str(folder), self.artifact, "--kind", self.kind, "--json"
        )
        self._numbers[version] = int(_summary(usage)["version"])
        return usage

    def get(self, version: str, target: Path) -> Usage:
        """Pull it."""
        return self.pull_number(self._numbers[version], target)

    def pull_number(self, number: int, target: Path) -> Usage:
        """Pull the version that the server numbered so."""
        return self._run("pull", f"{self.artifact}@{number}", str(target))

    def diff(self, base: str, target: str) -> dict[str, Any]:
        """Return the summary of how two versions differ."""
        usage = self._run(
            "diff",
            f"{self.artifact}@{self._numbers[base]}",
            f"@{self._numbers[target]}",
            "--json",
        )
        return _summary(usage)

    def stored_bytes(self) -> int:
        """Sum up the whole bucket: only this tool writes while it is measured."""
        return self.stack.stored_bytes(BUCKET)

    def _run(self, *arguments: str) -> Usage:
        return run_measured(
            [*self.before, str(STRONGROOM), *arguments],
            watched=self.stack.watched,
            environ=self.stack.environ,
            cwd=self.work,
            scratch=self.work,
        )


def _summary(usage: Usage) -> dict[str, Any]:
    """Return the JSON that our command printed; a sampler may have said more."""
    lines = (line for line in reversed(usage.out.splitlines()) if line[:1] == "{")
    summary: dict[str, Any] = json.loads(next(lines, "{}"))
    return summary


@dataclass
class Restic:
    """`restic backup` and `restic restore`, repository version 2 on S3."""

    stack: BenchStack
    work: Path
    prefix: str
    program: str
    name: str = "restic"
    _snapshots: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the repository."""
        self._run(self.work, "init", "--repository-version", "2")

    def put(self, folder: Path, version: str) -> Usage:
        """Back it up."""
        usage = self._run(folder, "backup", "--json", ".")
        summary: dict[str, Any] = json.loads(usage.out.splitlines()[-1])
        self._snapshots[version] = str(summary["snapshot_id"])
        return usage

    def get(self, version: str, target: Path) -> Usage:
        """Restore it."""
        snapshot = self._snapshots[version]
        return self._run(self.work, "restore", snapshot, "--target", str(target))

    def stored_bytes(self) -> int:
        """Sum up the repository."""
        return self.stack.stored_bytes(PEER_BUCKET, f"{self.prefix}/")

    def _run(self, folder: Path, *arguments: str) -> Usage:
        cache = self.work / "restic-cache"
        environ = {
            "RESTIC_REPOSITORY": (
                f"s3:{self.stack.endpoint}/{PEER_BUCKET}/{self.prefix}"
            ),
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": str(cache),
        }
        return run_peer(
            self.stack, [self.program, *arguments], self.work, folder, environ
        )


@dataclass
class Boto3:
    """Plain objects, a prefix a version, by boto3, tuned or as it comes."""

    stack: BenchStack
    work: Path
    prefix: str
    name: str = "boto3 tuned"
    tuned: bool = True

    def put(self, folder: Path, version: str) -> Usage:
        """Upload every file."""
        return self._run("put", folder, version)

    def get(self, version: str, target: Path) -> Usage:
        """Download every file."""
        return self._run("get", target, version)

    def stored_bytes(self) -> int:
        """Sum up the objects."""
        return self.stack.stored_bytes(PEER_BUCKET, f"{self.prefix}/")

    def _run(self, verb: str, folder: Path, version: str) -> Usage:
        command = (
            *(sys.executable, str(_BOTO3_COPY), verb, str(folder)),
            *(self.stack.endpoint, PEER_BUCKET, f"{self.prefix}/{version}"),
            "tuned" if self.tuned else "default",
        )
        return run_peer(self.stack, command, self.work, self.work, {})


@dataclass
class AwsCli:
    """Plain objects, a prefix a version, by `aws s3 cp`.

    Attributes:
        packages: The folder that `awscli` is installed in.
    """

    stack: BenchStack
    work: Path
    prefix: str
    packages: str
    name: str = "aws s3 cp"

    def put(self, folder: Path, version: str) -> Usage:
        """Upload every file."""
        return self._run(str(folder), self._place(version))

    def get(self, version: str, target: Path) -> Usage:
        """Download every file."""
        return self._run(self._place(version), str(target))

    def stored_bytes(self) -> int:
        """Sum up the objects."""
        return self.stack.stored_bytes(PEER_BUCKET, f"{self.prefix}/")

    def _place(self, version: str) -> str:
        return f"s3://{PEER_BUCKET}/{self.prefix}/{version}"

    def _run(self, source: str, target: str) -> Usage:
        command = (
            *(sys.executable, "-m", "awscli", "--endpoint-url", self.stack.endpoint),
            *("s3", "cp", "--recursive", "--only-show-errors", source, target),
        )
        environ = {"PYTHONPATH": self.packages, "AWS_CONFIG_FILE": "/dev/null"}
        return run_peer(self.stack, command, self.work, self.work, environ)


@dataclass
class RcloneCrypt:
    """Encrypted objects, a prefix a version, by `rclone copy` to a crypt remote."""

    stack: BenchStack
    work: Path
    prefix: str
    program: str
    name: str = "rclone crypt"

    def put(self, folder: Path, version: str) -> Usage:
        """Upload every file."""
        return self._run(str(folder), f"sealed:{version}")

    def get(self, version: str, target: Path) -> Usage:
        """Download every file."""
        return self._run(f"sealed:{version}", str(target))

    def stored_bytes(self) -> int:
        """Sum up the objects."""
        return self.stack.stored_bytes(PEER_BUCKET, f"{self.prefix}/")

    def _run(self, source: str, target: str) -> Usage:
        command = (self.program, "copy", "--transfers", "16", source, target)
        environ = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_PLAIN_TYPE": "s3",
            "RCLONE_CONFIG_PLAIN_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_PLAIN_ENV_AUTH": "true",
            "RCLONE_CONFIG_PLAIN_ENDPOINT": self.stack.endpoint,
            "RCLONE_CONFIG_PLAIN_NO_CHECK_BUCKET": "true",
            "RCLONE_CONFIG_SEALED_TYPE": "crypt",
            "RCLONE_CONFIG_SEALED_REMOTE": f"plain:{PEER_BUCKET}/{self.prefix}",
            "RCLONE_CONFIG_SEALED_PASSWORD": self._obscured(),
        }
        return run_peer(self.stack, command, self.work, self.work, environ)

    def _obscured(self) -> str:
        done = subprocess.run(
            [self.program, "obscure", "-"],
            input="bench",
            env={**self.stack.peer_environ, "RCLONE_CONFIG": "/dev/null"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip()


@dataclass
class S5cmd:
    """Plain objects, a prefix a version, by s5cmd."""

    stack: BenchStack
    work: Path
    prefix: str
    program: str
    name: str = "s5cmd"

    def put(self, folder: Path, version: str) -> Usage:
        """Upload every file."""
        return self._run(f"{folder}/", f"{self._place(version)}/")

    def get(self, version: str, target: Path) -> Usage:
        """Download every file."""
        return self._run(f"{self._place(version)}/*", f"{target}/")

    def stored_bytes(self) -> int:
        """Sum up the objects."""
        return self.stack.stored_bytes(PEER_BUCKET, f"{self.prefix}/")

    def _place(self, version: str) -> str:
        return f"s3://{PEER_BUCKET}/{self.prefix}/{version}"

    def _run(self, source: str, target: str) -> Usage:
        command = (
            *(self.program, "--log", "error", "--endpoint-url", self.stack.endpoint),
            *("cp", source, target),
        )
        return run_peer(self.stack, command, self.work, self.work, {})
