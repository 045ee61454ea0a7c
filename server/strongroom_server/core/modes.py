# SPDX-License-Identifier: Apache-2.0
"""The digest of which files are executable, since no digest of a version says so."""

import hashlib
from collections.abc import Iterable


def mode_line(path: str) -> bytes:
    """Return what an executable file adds to the digest."""
    return path.encode() + b"\n"


def modes_digest_of(executables: Iterable[str]) -> bytes:
    """Return the digest of these executable paths, which come in order."""
    modes = hashlib.sha256()
    for path in executables:
        modes.update(mode_line(path))
    return modes.digest()
