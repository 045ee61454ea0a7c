# SPDX-License-Identifier: Apache-2.0
"""PyTorch: state dictionaries in and out, and a data set over a version's files."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from strongroom.client import Client
from strongroom.client.tensors import DEFAULT_PATH
from strongroom.errors import InvalidArgumentError
from strongroom.format.names import Uri, check_path, parse_uri
from strongroom.integrations.readers import TravellingReader
from strongroom.values import FileRange, Kind, PushResult


def load_state_dict(client: Client, uri: str) -> dict[str, torch.Tensor]:
    """Return all tensors of a safetensors file, on the CPU.

    The file streams into the tensors' own memory, so it is in memory once. Every byte
    has been authenticated by the server; nothing is returned before the digest of the
    whole file has been verified, too, unless the server shares memory with us.

    Args:
        client: Reads the file.
        uri: `project/artifact@version/path`; without a path, `model.safetensors`.

    Raises:
        IntegrityError: Stored bytes are damaged, or it is no safetensors file.
        NotFoundError: There is no such artifact, version or path.
    """
    return dict(client.tensors(uri))


def save_state_dict(
    client: Client,
    state: Mapping[str, torch.Tensor],
    artifact: str,
    *,
    path: str = DEFAULT_PATH,
    files: Mapping[str, bytes] | None = None,
    kind: Kind | str | None = Kind.WEIGHTS,
    message: str = "",
    metadata: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> PushResult:
    """Store tensors as a safetensors file in the next version of an artifact.

    Tensors may be on any device; those that share memory are refused by
    safetensors. The plaintext lies in a private temporary folder meanwhile.

    Args:
        client: Stores the version.
        state: Tensors by name.
        artifact: `project/artifact`; made if it is missing and allowed.
        path: The file's path in the version.
        files: Other files of the version, such as `config.json`, by path.
        kind: What a new artifact holds.
        message: What to say about the version.
        metadata: What to attach to it.
        folder: Where the temporary folder is made; `/dev/shm` keeps plaintext off
            disks. The system's default, unless given.

    Raises:
        InvalidArgumentError: What is no tensor is among them, such as an optimizer's
            state; or tensors share memory.
        StrongroomError: As of `Client.push`.
    """
    _check_state(state)
    from safetensors.torch import save_file  # noqa: PLC0415 - only saving needs it

    with tempfile.TemporaryDirectory(prefix="strongroom-", dir=folder) as made:
        root = Path(made)
        for name, content in (files or {}).items():
            _below(root, name).write_bytes(content)
        tensors = {name: item.detach().contiguous() for name, item in state.items()}
        # Without the format, transformers refuses to load the file.
        try:
            save_file(tensors, _below(root, path), metadata={"format": "pt"})
        except RuntimeError as error:
            message = f"safetensors refuses these tensors: {str(error)[:300]}"
            raise InvalidArgumentError(
                message,
                hint="Of tensors that share memory leave out all but one, or clone() "
                "them; client.checkpoints(…).save stores them as they are.",
            ) from error
        return client.push(
            root, artifact, kind=kind, message=message, metadata=metadata
        )


class ArtifactDataset(Dataset[tuple[str, bytes]]):
    """The files of one version as a map-style data set: `(path, content)`.

    The version is resolved once, so that all workers and epochs see the same
    files. It pickles, and is safe in `DataLoader` workers that are spawned or
    forked: each process makes its own connection.
    """

    def __init__(self, client: Client, uri: str) -> None:
        """List the files.

        Args:
            client: Reads the files; not closed by the data set.
            uri: `project/artifact[@version][/dir/]`.

        Raises:
            NotFoundError: There is no such artifact or version.
        """
        parsed = parse_uri(uri)
        self.version = client.show(str(Uri(parsed.artifact, parsed.selector)))
        self._reader = TravellingReader(client, self.version)
        self.files = tuple(client.list_files(f"{self.version.uri}/{parsed.path}"))

    def __len__(self) -> int:
        """Return how many files there are."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[str, bytes]:
        """Return path and verified content of one file.

        Raises:
            IntegrityError: Its stored bytes are damaged.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[str, bytes]]:
        """Return several files, asked for at once; as a `DataLoader` does for a batch.

        Raises:
            IntegrityError: Stored bytes are damaged.
        """
        paths = [self.files[index].path for index in indices]
        contents = self._reader.read_many([FileRange(path) for path in paths])
        return list(zip(paths, contents, strict=True))


def _check_state(state: object) -> None:
    if not isinstance(state, Mapping):
        message = f"{type(state).__name__} is no mapping of names to tensors"
        raise InvalidArgumentError(
            message, hint="save_state_dict(client, model.state_dict(), …)"
        )
    for name, item in state.items():
        if not isinstance(item, torch.Tensor):
            message = f"{name!r} is {type(item).__name__}, not a tensor"
            raise InvalidArgumentError(
                message,
                hint="An optimizer's state goes into a checkpoint: the bytes of "
                "torch.save, as the state of client.checkpoints(…).save.",
            )


def _below(root: Path, name: str) -> Path:
    check_path(name)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
