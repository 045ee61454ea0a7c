# SPDX-License-Identifier: Apache-2.0
"""Peers with environments of their own: dvc, AWS's encryption clients, borg."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.measuring import Usage, run_measured
from tests.bench.stacks import PEER_BUCKET, BenchStack

_ENCRYPTING_COPY: Final = Path(__file__).with_name("encrypting_copy.py")
#: What the tables call the ways of `encrypting_copy`.
ENCRYPTION_SDK: Final = "AWS Encryption SDK"
ENCRYPTION_CLIENT: Final = "S3 Encryption Client"
_WAYS: Final = {ENCRYPTION_SDK: "esdk", ENCRYPTION_CLIENT: "s3ec"}


@dataclass
class EncryptionClient:
    """Encrypted objects, a prefix a version, by one of AWS's two clients.

    Attributes:
        name: Which of them.
        python: The interpreter that has them.
    """

    name: str
    stack: BenchStack
    work: Path
    prefix: str
    python: str

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
            *(self.python, str(_ENCRYPTING_COPY), verb, str(folder)),
            *(self.stack.endpoint, PEER_BUCKET, f"{self.prefix}/{version}"),
            _WAYS[self.name],
        )
        return run_peer(self.stack, command, self.work, self.work, {})


@dataclass
class Dvc:
    """`dvc add` and `dvc push`, `dvc pull`: files by their MD5, one object each.

    Attributes:
        program: Where `dvc` is.
    """

    stack: BenchStack
    work: Path
    prefix: str
    program: str
    name: str = "dvc"
    _pointers: dict[str, Path] = field(default_factory=dict)

    def put(self, folder: Path, version: str) -> Usage:
        """Take it into a new repository, and push that."""
        room = self._room(version)
        # What dvc is given lies in its repository; to copy it there is not measured.
        shutil.copytree(folder, room / "data")
        usage = self._run(room, '"$0" add --quiet data && "$0" push --quiet')
        pointer = self.work / f"{self.prefix}-{version}.dvc"
        shutil.copy(room / "data.dvc", pointer)
        self._pointers[version] = pointer
        shutil.rmtree(room)
        return usage

    def get(self, version: str, target: Path) -> Usage:
        """Pull it into a repository that has nothing yet."""
        room = self._room(f"{version}-get")
        shutil.copy(self._pointers[version], room / "data.dvc")
        usage = self._run(room, '"$0" pull --quiet')
        (room / "data").rename(target)
        shutil.rmtree(room)
        return usage

    def stored_bytes(self) -> int:
        """Sum up the objects."""
        return self.stack.stored_bytes(PEER_BUCKET, f"{self.prefix}/")

    def _room(self, name: str) -> Path:
        room = self.work / f"{self.prefix}-{name}"
        (room / ".dvc").mkdir(parents=True)
        (room / ".dvc" / "config").write_text(
            "[core]\n    no_scm = true\n    analytics = false\n    remote = store\n"
            f"['remote \"store\"']\n    url = s3://{PEER_BUCKET}/{self.prefix}\n"
            f"    endpointurl = {self.stack.endpoint}\n"
        )
        return room

    def _run(self, room: Path, line: str) -> Usage:
        environ = {
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(self.work / "dvc-global"),
            "DVC_SYSTEM_CONFIG_DIR": str(self.work / "dvc-system"),
            "DVC_SITE_CACHE_DIR": str(self.work / f"{room.name}-site"),
        }
        command = ("sh", "-euc", line, self.program)
        return run_peer(self.stack, command, self.work, room, environ)


@dataclass
class Borg:
    """`borg create` and `borg extract`, into a repository on this disk: it has no S3.

    Attributes:
        program: Where `borg` is.
    """

    stack: BenchStack
    work: Path
    prefix: str
    program: str
    name: str = "borg (local disk)"

    def prepare(self) -> None:
        """Make the repository."""
        self._run(self.work, "init", "--encryption", "repokey-blake2", self._place)

    def put(self, folder: Path, version: str) -> Usage:
        """Back it up."""
        return self._run(folder, "create", f"{self._place}::{version}", ".")

    def get(self, version: str, target: Path) -> Usage:
        """Restore it."""
        target.mkdir()
        return self._run(target, "extract", f"{self._place}::{version}")

    def stored_bytes(self) -> int:
        """Sum up the repository."""
        files = Path(self._place).rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())

    @property
    def _place(self) -> str:
        return str(self.work / self.prefix)

    def _run(self, folder: Path, *arguments: str) -> Usage:
        environ = {
            "BORG_PASSPHRASE": "bench",
            "BORG_BASE_DIR": str(self.work / f"{self.prefix}-home"),
        }
        command = (self.program, *arguments)
        return run_peer(self.stack, command, self.work, folder, environ)


def run_peer(
    stack: BenchStack,
    command: Sequence[str],
    work: Path,
    folder: Path,
    environ: Mapping[str, str],
) -> Usage:
    """Run a peer's command, which may use the store.

    Args:
        stack: With the store.
        command: The program and its arguments.
        work: For what it prints.
        folder: Where it runs.
        environ: What it is told beside.
    """
    return run_measured(
        command,
        watched=stack.watched,
        environ={**stack.peer_environ, **environ},
        cwd=folder,
        scratch=work,
    )
