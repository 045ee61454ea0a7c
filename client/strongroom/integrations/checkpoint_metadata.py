# SPDX-License-Identifier: Apache-2.0
"""The `.metadata` of a distributed checkpoint, which is a pickle: read with a list.

What a pickle names is imported and called while it is read. Only the classes that
torch itself writes there are let in, so a checkpoint that somebody made up can name
nothing else; torch's own reader has no list.
"""

import io
import pickle  # noqa: TID251 - torch has no other form; the list stands below
from collections import OrderedDict
from pathlib import PosixPath, PurePosixPath
from typing import Any, Final

import torch
from torch.distributed.checkpoint import filesystem, metadata
from torch.serialization import _get_layout

from strongroom.errors import IntegrityError, Reason

_LISTED: Final[tuple[Any, ...]] = (
    metadata.BytesStorageMetadata,
    metadata.ChunkStorageMetadata,
    metadata.Metadata,
    metadata.MetadataIndex,
    metadata.StorageMeta,
    metadata.TensorProperties,
    metadata.TensorStorageMetadata,
    metadata._MEM_FORMAT_ENCODING,  # noqa: SLF001 - what torch writes
    filesystem._StorageInfo,  # noqa: SLF001 - what torch writes
    OrderedDict,
    PosixPath,
    PurePosixPath,
    torch.Size,
    # Gives a layout by its name, and does nothing else.
    _get_layout,
)
_ALLOWED: Final = {
    **{(item.__module__, item.__qualname__): item for item in _LISTED},
    # Since 3.13 they have another home, and either reads what the other wrote.
    ("pathlib._local", "PosixPath"): PosixPath,
    ("pathlib._local", "PurePosixPath"): PurePosixPath,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
}


class _ListedUnpickler(pickle.Unpickler):
    """Knows the list and torch's element types, and refuses everything else."""

    def find_class(self, module: str, name: str, /) -> Any:  # noqa: ANN401 - as its base
        """Return what a pickle names.

        Raises:
            UnpicklingError: It is not on the list.
        """
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return vars(torch)[name]
        found = _ALLOWED.get((module, name))
        if found is None:
            message = f"it names {module}.{name}"[:300]
            raise pickle.UnpicklingError(message)
        return found


def parse_metadata(content: bytes, name: str) -> metadata.Metadata:
    """Return what the bytes of a `.metadata` say.

    Args:
        content: All of it, as it was stored.
        name: The file's URI, for errors.

    Raises:
        IntegrityError: They are no pickle of torch's metadata, or name something
            that has no place in it; nothing of that was imported (RECORD_CORRUPT).
    """
    try:
        found = _ListedUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # whatever a broken pickle may raise
        message = f"{name} is no metadata of a checkpoint: {error}"[:600]
        raise _unreadable(message) from error
    if not isinstance(found, metadata.Metadata):
        message = f"{name} is no metadata of a checkpoint: {type(found).__name__}"
        raise _unreadable(message)
    return found


def _unreadable(message: str) -> IntegrityError:
    return IntegrityError(
        message,
        reason=Reason.RECORD_CORRUPT,
        hint="Load another version; find out who made this one: strongroom log.",
    )
