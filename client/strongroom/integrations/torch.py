# SPDX-License-Identifier: Apache-2.0
"""PyTorch: state dictionaries in and out, and a data set over a version's files."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import torch
from torch.utils.data import Dataset

from strongroom.client import Client, StrongroomFile
from strongroom.format.names import Uri, check_path, parse_uri
from strongroom.integrations.tensors import TensorSpan, read_tensor_spans
from strongroom.values import Kind, PushResult

#: The file meant where a URI names only a version.
DEFAULT_PATH: Final = "model.safetensors"

_DTYPES: Final = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F64": torch.float64,
    "C64": torch.complex64,
}


def load_state_dict(client: Client, uri: str) -> dict[str, torch.Tensor]:
    """Return all tensors of a safetensors file, on the CPU.

    The file streams into the tensors' own memory, so it is in memory once; nothing
    is returned before the digest of the whole file has been verified.

    Args:
        client: Reads the file.
        uri: `project/artifact@version/path`; without a path, `model.safetensors`.

    Raises:
        IntegrityError: Stored bytes are damaged, or it is no safetensors file.
        NotFoundError: There is no such artifact, version or path.
    """
    return dict(iter_tensors(client, uri))


def iter_tensors(
    client: Client, uri: str, names: Collection[str] | None = None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors of a safetensors file in the order of their bytes, on the CPU.

    Every byte has been authenticated by the server before it comes. The digest of
    the whole file is verified too, before the last tensor, unless `names` leaves
    some out.

    Args:
        client: Reads the file.
        uri: `project/artifact@version/path`; without a path, `model.safetensors`.
        names: Only these; the bytes of others are not moved.

    Raises:
        IntegrityError: Stored bytes are damaged, or it is no safetensors file.
        KeyError: `names` has one that the file does not have.
        NotFoundError: There is no such artifact, version or path.
    """
    with client.open(_file_uri(uri)) as file:
        spans = read_tensor_spans(file, file.size)
        missing = set(names or ()) - {span.name for span in spans}
        if missing:
            message = f"{file.name} has no tensor {min(missing)!r}"
            raise KeyError(message)
        for span in spans:
            if names is None or span.name in names:
                yield span.name, _read_tensor(file, span)


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
        StrongroomError: As of `Client.push`.
    """
    from safetensors.torch import save_file  # noqa: PLC0415 - only saving needs it

    with tempfile.TemporaryDirectory(prefix="strongroom-", dir=folder) as made:
        root = Path(made)
        for name, content in (files or {}).items():
            _below(root, name).write_bytes(content)
        tensors = {name: item.detach().contiguous() for name, item in state.items()}
        # Without the format, transformers refuses to load the file.
        save_file(tensors, _below(root, path), metadata={"format": "pt"})
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
        self._client = client
        self.version = client.show(str(Uri(parsed.artifact, parsed.selector)))
        self.files = tuple(client.list_files(f"{self.version.uri}/{parsed.path}"))

    def __len__(self) -> int:
        """Return how many files there are."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[str, bytes]:
        """Return path and verified content of one file.

        Raises:
            IntegrityError: Its stored bytes are damaged.
        """
        found = self.files[index]
        with self._client.open_file(self.version, found) as file:
            return found.path, file.read()


def _file_uri(uri: str) -> str:
    parsed = parse_uri(uri)
    return str(Uri(parsed.artifact, parsed.selector, parsed.path or DEFAULT_PATH))


def _read_tensor(file: StrongroomFile, span: TensorSpan) -> torch.Tensor:
    dtype = _DTYPES[span.dtype]
    if not span.size_bytes:
        # Nothing to read, and torch refuses empty buffers.
        return torch.empty(span.shape, dtype=dtype)
    buffer = bytearray(span.size_bytes)
    file.seek(span.offset_bytes)
    file.readinto(buffer)
    return torch.frombuffer(buffer, dtype=dtype).reshape(span.shape)


def _below(root: Path, name: str) -> Path:
    check_path(name)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
