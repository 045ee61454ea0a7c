# SPDX-License-Identifier: Apache-2.0
"""What a store holds before a disaster, and whether it holds it afterwards.

Versions are remembered by the digests of what was written, never by what a server
said: `lost` reads each of them back, file by file.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import strongroom
from strongroom.errors import StrongroomError
from tests.support.numbers import weights, weights_file
from tests.support.samples import filled

DATASET: Final = "vision/photos"
CHECKPOINT: Final = "train/model"
EXCLUSIVE: Final = "train/patients"
#: What is written behind a backup, for the first time; its key is there before.
LATE: Final = "vision/notes"
PROD: Final = "prod"
#: Small files of the dataset, and bytes of each.
_SMALL: Final = 30
_SMALL_BYTES: Final = 1500
_ROWS_BYTES: Final = 400_000
#: Numbers in each tensor of the checkpoint, two bytes each.
_NUMBERS: Final = 150_000
KEPT_VERSIONS: Final = 9


@dataclass(frozen=True, slots=True)
class Written:
    """A version as it was written.

    Attributes:
        name: `project/artifact`.
        number: The version's.
        files: The SHA-256 of each file, by path.
        size_bytes: Of all files.
        time: When it was committed, as the server says.
    """

    name: str
    number: int
    files: Mapping[str, str]
    size_bytes: int
    time: datetime

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class Loss:
    """What is not as it was written."""

    what: str
    why: str
    size_bytes: int


@dataclass
class Contents:
    """Writes versions, and remembers them.

    Attributes:
        settings: How a client reaches the server; read anew each time.
        folder: For what is sent and fetched.
        versions: All that were written, in order.
        refs: Where refs point, by artifact and name.
    """

    settings: Path
    folder: Path
    versions: list[Written] = field(default_factory=list)
    refs: dict[tuple[str, str], int] = field(default_factory=dict)
    _round: int = 0

    def client(self) -> strongroom.Client:
        """Return a client of the server as it is now."""
        return strongroom.connect(config_file=self.settings)

    def begin(self) -> None:
        """Write datasets and checkpoints in several versions, refs, and a policy."""
        with self.client() as client:
            for step in range(3):
                self._push(client, DATASET, dataset(step), "dataset")
                self._push(client, CHECKPOINT, checkpoint(step), "checkpoint")
            self._push(client, EXCLUSIVE, {"scan": filled("scan", 90_000)}, "dataset")
            policy = strongroom.ArtifactPolicy(keep_last=KEPT_VERSIONS)
            client.set_policy(CHECKPOINT, policy)
            for version in (1, 2):
                self._move(client, CHECKPOINT, version)
            self._move(client, DATASET, 3)

    def go_on(self) -> list[Written]:
        """Commit more, as one does behind a backup; return what was committed."""
        self._round += 1
        before = len(self.versions)
        with self.client() as client:
            step = 2 + self._round
            self._push(client, CHECKPOINT, checkpoint(step), "checkpoint")
            note = {"note": filled(f"note {self._round}", 5000)}
            self._push(client, LATE, note, "dataset")
        return self.versions[before:]

    def forget(self, versions: Iterable[Written]) -> None:
        """Take versions for lost: nothing protected them."""
        gone = {str(item) for item in versions}
        self.versions = [item for item in self.versions if str(item) not in gone]

    def lost(self, versions: Iterable[Written] | None = None) -> Iterator[Loss]:
        """Yield what cannot be read back as it was written, and refs that moved."""
        with self.client() as client:
            for version in self.versions if versions is None else versions:
                yield from self._lost(client, version)
            for (name, ref), number in self.refs.items():
                try:
                    found = {
                        item.name: item.version for item in client.artifact(name).refs
                    }
                except StrongroomError as error:
                    yield Loss(f"{name}@{ref}", error.message, 0)
                    continue
                if found.get(ref) != number:
                    why = f"it points at {found.get(ref)}, and not at {number}"
                    yield Loss(f"{name}@{ref}", why, 0)

    def _lost(self, client: strongroom.Client, version: Written) -> Iterator[Loss]:
        target = self.folder / "read"
        try:
            client.pull(str(version), target)
        except StrongroomError as error:
            yield Loss(str(version), f"{error.reason.value}: {error.message}",
                       version.size_bytes)  # fmt: skip
            return
        try:
            yield from compare(version, target)
        finally:
            shutil.rmtree(target)

    def _push(
        self,
        client: strongroom.Client,
        name: str,
        files: Mapping[str, bytes],
        kind: str,
    ) -> None:
        tree = self.folder / "sent"
        for path, data in files.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        try:
            pushed = client.push(tree, name, kind=kind, exclusive=name == EXCLUSIVE)
        finally:
            shutil.rmtree(tree)
        digests = {
            path: hashlib.sha256(data).hexdigest() for path, data in files.items()
        }
        size = sum(map(len, files.values()))
        self.versions.append(
            Written(
                name, pushed.version.number, digests, size, pushed.version.create_time
            )
        )

    def _move(self, client: strongroom.Client, name: str, version: int) -> None:
        client.move_ref(name, PROD, version, reason="ready")
        self.refs[name, PROD] = version


def compare(version: Written, folder: Path) -> Iterator[Loss]:
    """Yield what differs between a folder and a version as it was written."""
    found = {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file()
    }
    for path, digest in version.files.items():
        if path not in found:
            yield Loss(f"{version}/{path}", "it is not there", 0)
        elif hashlib.sha256(found[path].read_bytes()).hexdigest() != digest:
            size = found[path].stat().st_size
            yield Loss(f"{version}/{path}", "it has other bytes", size)
    for path in sorted(set(found) - set(version.files)):
        yield Loss(f"{version}/{path}", "nobody wrote it", 0)


def dataset(step: int) -> dict[str, bytes]:
    """Return many small files and a large one; each step changes two and adds one."""
    files = {
        f"images/{number:03}.jpg": filled(f"image {number}", _SMALL_BYTES + number)
        for number in range(_SMALL + step)
    }
    files["images/000.jpg"] = filled(f"image 0 of {step}", _SMALL_BYTES)
    files["rows.bin"] = filled("rows", _ROWS_BYTES) + filled(f"rows {step}", 5000)
    return files


def checkpoint(step: int) -> dict[str, bytes]:
    """Return weights after some steps, so that each is a delta to the one before."""
    tensors = {
        "embed": weights(_NUMBERS, seed=1),
        "head": weights(_NUMBERS, seed=2, steps=step),
    }
    return {
        "model.safetensors": weights_file(tensors),
        "state.json": f'{{"step": {step}}}'.encode(),
    }
