# SPDX-License-Identifier: Apache-2.0
"""Whether the paths of a version can lie on a disk together."""

from strongroom.errors import InvalidArgumentError, Reason


class TreeCheck:
    """Sees to it that no file of a version is a folder of another one, too.

    Such a version could be stored, and never be pulled.
    """

    def __init__(self) -> None:
        #: Files whose paths the last path starts with; each starts with the one
        #: before. In byte order, all that start with one path come together.
        self._prefixes: list[str] = []

    def add(self, path: str) -> None:
        """Take in the next path; paths come in byte order.

        Raises:
            InvalidArgumentError: A folder of it is a file (PATH_MALFORMED).
        """
        while self._prefixes and not path.startswith(self._prefixes[-1]):
            self._prefixes.pop()
        for prefix in self._prefixes:
            if path.startswith(f"{prefix}/"):
                message = f"path {path!r} lies in {prefix!r}, which is a file"
                raise InvalidArgumentError(
                    message,
                    reason=Reason.PATH_MALFORMED,
                    hint="Rename the file, or leave it out.",
                    path=path,
                )
        self._prefixes.append(path)
