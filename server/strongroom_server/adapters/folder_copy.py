# SPDX-License-Identifier: Apache-2.0
"""`BlobCopy` over a folder with the bucket's keys as paths, such as a synced one."""

import errno
from pathlib import Path
from typing import Final

from strongroom.errors import Reason, UnavailableError
from strongroom_server.ports import BlobCopy

#: What says that there is no such file, as opposed to a disk that fails.
_ABSENT: Final = frozenset(
    {
        errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL,
        errno.ELOOP,
    }
)  # fmt: skip


class FolderCopy:
    """Reads files below a folder; safe to use from many threads."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._path = path

    @property
    def name(self) -> str:
        """See `BlobCopy`."""
        return self._name

    def read(self, key: str, *, max_bytes: int) -> bytes | None:
        """See `BlobCopy`."""
        if any(part in {"", ".", ".."} for part in key.split("/")) or "\0" in key:
            return None
        try:
            with (self._path / key).open("rb") as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise UnavailableError(
                f"copy {self._name!r} cannot be read: {error.strerror}",
                reason=Reason.STORE_UNAVAILABLE,
                hint="Look at the disk, and at who may read the folder.",
                copy=self._name,
            ) from error
        return data if len(data) <= max_bytes else None


_copy: type[BlobCopy] = FolderCopy
