# SPDX-License-Identifier: Apache-2.0
"""Files of a version copied to this machine: whole and verified, or not at all."""

import tempfile
import threading
from pathlib import Path
from typing import Any, Final

from strongroom.client import StrongroomFile
from strongroom.integrations.ranges import Found
from strongroom.values import File, Version

_COPY_BYTES: Final = 1 << 20


class Fetching(threading.local):
    """What one `get` of a thread has found, so that all of it is of one version."""

    #: Files by path; None outside of a `get`.
    found: dict[str, Found] | None = None
    #: Numbers of versions by their text.
    pins: dict[str, int] | None = None

    def note(self, name: str, version: Version, file: File) -> None:
        """Keep a file that a listing named."""
        if self.found is not None:
            self.found[name] = version, file


def fetch(file: StrongroomFile, target: Path, callback: Any) -> None:  # noqa: ANN401 - of fsspec, which has no types
    """Copy a file to a path, over what is there.

    Raises:
        StrongroomError: What the server refused; the path is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".strongroom-") as made:
        part = Path(made, "part")
        with part.open("wb") as out:
            copy_to(file, out, callback)
        part.replace(target)


def copy_to(file: StrongroomFile, out: Any, callback: Any) -> None:  # noqa: ANN401 - a file; of fsspec, which has no types
    """Copy a file into another one that is open."""
    callback.set_size(file.size)
    while data := file.read(_COPY_BYTES):
        out.write(data)
        callback.relative_update(len(data))
