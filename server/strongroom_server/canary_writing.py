# SPDX-License-Identifier: Apache-2.0
"""Writing a store's canary: an upload, as drills need it and may not ask for it."""

import hashlib
from datetime import datetime
from typing import Final
from uuid import UUID

from strongroom.errors import NotFoundError, PreconditionError, Reason
from strongroom_server.core.canary import CANARY, canary_digest, canary_files
from strongroom_server.core.history import History
from strongroom_server.core.records import Caller
from strongroom_server.repository.repository import Repository
from strongroom_server.services.uploads import Uploads, UploadStart

_MESSAGE: Final = "the canary of this store: drills restore it"
_REQUEST: Final = b"strongroom.v1/canary/request\0"
_BLOCK_BYTES: Final = 1024 * 1024


class CanaryWriter:
    """Writes a store's canary once; see `core.canary`."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._uploads = Uploads(repository)

    def __call__(self, caller: Caller) -> datetime | None:
        """See to it that there is one; return since when.

        One that somebody else has written over is left alone: drills tell of it.

        Returns:
            None if there can be none any more: its project was shredded.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
            IntegrityError: Its journal is damaged.
        """
        try:
            past = self._history()
            live = past.live_versions()
            if not live:
                self._write(len(past.versions), caller)
                live = self._history().live_versions()
        except PreconditionError as error:
            if error.reason is not Reason.KEY_SHREDDED:
                raise
            return None
        return live[0].info.time

    def _history(self) -> History:
        try:
            return self._repository.artifact(CANARY).history
        except NotFoundError:
            return History()

    def _write(self, version_count: int, caller: Caller) -> None:
        store = self._repository.keyring.store
        # Of servers that do this at once, one writes, and all get its answer.
        named = hashlib.sha256(_REQUEST + store + version_count.to_bytes(8, "big"))
        request_id = str(UUID(bytes=named.digest()[:16], version=4))
        start = UploadStart(
            CANARY, None, _MESSAGE, {}, request_id, may_create_project=True
        )
        files = canary_files(store)
        with self._uploads.begin(start, caller=caller) as upload:
            for file in files:
                upload.start_file(
                    file.path, size_bytes=len(file.data), executable=False
                )
                for offset in range(0, len(file.data), _BLOCK_BYTES):
                    block = file.data[offset : offset + _BLOCK_BYTES]
                    upload.write(block, offset_bytes=offset)
                upload.end_file(file.digest)
            upload.commit(file_count=len(files), digest=canary_digest(store))
