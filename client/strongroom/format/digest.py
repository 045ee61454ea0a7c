# SPDX-License-Identifier: Apache-2.0
"""Digests of files and versions, as anybody can recompute them.

A version's digest is SHA-256 over the line `strongroom-version-v1` and then, for
all files in byte order of path, `<sha256 of the file>  <size>  <path>` and a
line feed.
"""

import hashlib
import re
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason

PREFIX: Final = "sha256:"
DIGEST_BYTES: Final = 32
VERSION_HEADER: Final = b"strongroom-version-v1\n"

_FORM: Final = re.compile(r"sha256:([0-9a-f]{64})\Z")

#: How to recompute a version's digest with coreutils, in the pulled directory.
EXPLAIN_DIGEST: Final = """\
# Run this in the directory that `strongroom pull` wrote:
{
  printf 'strongroom-version-v1\\n'
  find . -type f -printf '%P\\0' | LC_ALL=C sort -z |
    while IFS= read -r -d '' path; do
      printf '%s  %s  %s\\n' \\
        "$(sha256sum < "$path" | cut -d ' ' -f 1)" "$(stat -c %s "$path")" "$path"
    done
} | sha256sum
"""


def format_digest(value: bytes) -> str:
    """Return `sha256:` and the hex digits of a 32-byte digest."""
    if len(value) != DIGEST_BYTES:
        message = f"a SHA-256 digest has {DIGEST_BYTES} bytes, not {len(value)}"
        raise ValueError(message)
    return PREFIX + value.hex()


def parse_digest(text: str) -> str:
    """Return the 64 hex digits of `sha256:…`.

    Raises:
        InvalidArgumentError: It has another form (ARGUMENT_INVALID).
    """
    match = _FORM.match(text)
    if match is None:
        shown = text[:100]
        message = f"digest {shown!r} is not 'sha256:' and 64 lower-case hex digits"
        raise InvalidArgumentError(
            message, reason=Reason.ARGUMENT_INVALID, digest=shown
        )
    return match[1]


def path_order(path: str) -> bytes:
    """Return the key by which the files of a version are sorted."""
    return path.encode()


class VersionDigester:
    """Computes a version's digest from its files, which must come in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(VERSION_HEADER)
        self._last: bytes | None = None
        # Files so far whose path starts the last one: at most a few.
        self._beginnings: list[str] = []

    def add(self, path: str, size_bytes: int, digest: str) -> None:
        """Take in the next file.

        Args:
            path: Greater than the path before, in byte order.
            size_bytes: The file's size.
            digest: The file's digest: `sha256:…`.

        Raises:
            InvalidArgumentError: The path is not greater, or lies below another
                file (PATH_MALFORMED).
        """
        key = path_order(path)
        if self._last is not None and key <= self._last:
            message = f"path {path!r} comes twice or out of byte order"
            raise InvalidArgumentError(message, reason=Reason.PATH_MALFORMED, path=path)
        self._last = key
        self._check_folder(path)
        line = f"{parse_digest(digest)}  {size_bytes}  {path}\n"
        self._hash.update(line.encode())

    def _check_folder(self, path: str) -> None:
        """Check that no file is a folder as well; no disk could hold both."""
        while self._beginnings and not path.startswith(self._beginnings[-1]):
            self._beginnings.pop()
        for file in self._beginnings:
            if path.startswith(f"{file}/"):
                message = f"path {path!r} lies below {file!r}, which is a file"
                raise InvalidArgumentError(
                    message, reason=Reason.PATH_MALFORMED, path=path
                )
        self._beginnings.append(path)

    def digest(self) -> str:
        """Return the digest of the files so far: `sha256:…`."""
        return format_digest(self._hash.digest())
