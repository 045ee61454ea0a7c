# SPDX-License-Identifier: Apache-2.0
"""A reader that travels to other processes, and waits for a server that is busy."""

from collections.abc import Sequence

from strongroom.client import Client, Reader
from strongroom.integrations.patience import patiently
from strongroom.values import FileRange, Version


class TravellingReader:
    """Reads files of one version; each process makes a call of its own."""

    def __init__(self, client: Client, version: Version) -> None:
        """Name the version; nothing is sent.

        Args:
            client: Makes the calls; not closed by the reader.
            version: The version.
        """
        self._client = client
        self._version = version
        self._reader: Reader | None = None

    def __reduce__(self) -> "tuple[type[TravellingReader], tuple[Client, Version]]":
        return type(self), (self._client, self._version)

    def read_many(self, wanted: Sequence[FileRange]) -> list[bytes]:
        """Return ranges of files, verified, in the order wanted.

        Raises:
            IntegrityError: Stored bytes are damaged.
            StrongroomError: What else the server refused.
        """
        if self._reader is None:
            self._reader = self._client.reader(self._version)
        return patiently(self._reader.read_many, wanted)
