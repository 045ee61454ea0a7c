# SPDX-License-Identifier: Apache-2.0
"""The files of the newest version, listed beside a source to see what is the same.

Only a page of the listing is held. Whatever stands in the way of listing, a push
does not need it: it then sends everything.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from strongroom._channel.caller import Caller
from strongroom._channel.methods import LIST_FILES
from strongroom._convert import answered_version_of
from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
)
from strongroom.format.digest import path_order
from strongroom.format.names import LATEST, ArtifactName, VersionName
from strongroom.v1 import artifact_service_pb2 as pb

#: As many as the server lists at once: each call is one that is audited.
_PAGE_FILES: Final = 10_000
#: There is no such version, or this caller may not list it, or it cannot be read.
_UNUSABLE = (NotFoundError, PermissionDeniedError, PreconditionError, IntegrityError)


class BaseFiles:
    """The files of one version in byte order of path; read once, forwards."""

    def __init__(
        self, caller: Caller, artifact: ArtifactName, first: pb.ListFilesResponse
    ) -> None:
        asked = VersionName(artifact, LATEST)
        version = answered_version_of(first.version, asked)
        #: The version's number.
        self.number = version.number
        #: When it was made, by the server's clock.
        self.create_time: datetime = version.create_time
        self._caller = caller
        self._name = VersionName(artifact, str(version.number)).resource
        self._files = self._listed(first)
        self._next: pb.File | None = None
        self._last = b""

    def find(self, path: str) -> pb.File | None:
        """Return the file of this path, or None; paths come in byte order.

        Raises:
            UnavailableError: The server was not reached.
        """
        wanted = path_order(path)
        while self._next is None or path_order(self._next.path) < wanted:
            self._next = next(self._files, None)
            if self._next is None:
                return None
        return self._next if self._next.path == path else None

    def _listed(self, page: pb.ListFilesResponse) -> Iterator[pb.File]:
        while True:
            for file in page.files:
                order = path_order(file.path)
                if order <= self._last and self._last:
                    return  # not in order: of no use, and it might never end
                self._last = order
                yield file
            if not page.next_page_token or not page.files:
                return
            try:
                page = self._caller.unary(
                    LIST_FILES,
                    pb.ListFilesRequest(
                        parent=self._name,
                        page_size=_PAGE_FILES,
                        page_token=page.next_page_token,
                    ),
                )
            except _UNUSABLE:
                return


def open_base(caller: Caller, artifact: ArtifactName) -> BaseFiles | None:
    """Return the files of an artifact's newest version, or None if that cannot be.

    Raises:
        UnavailableError: The server was not reached.
    """
    name = VersionName(artifact, LATEST).resource
    try:
        first = caller.unary(
            LIST_FILES, pb.ListFilesRequest(parent=name, page_size=_PAGE_FILES)
        )
        return BaseFiles(caller, artifact, first)
    except _UNUSABLE:
        return None
