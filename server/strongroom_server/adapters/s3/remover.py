# SPDX-License-Identifier: Apache-2.0
"""`BlobRemover` on S3: removes exactly the versions that it is told, one by one.

It has a credential of its own. It should be allowed to read and to delete versions
below `packs/`, `manifests/`, `index/` and `uploads/`, and nothing else: neither to
write nor to delete without a version.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from strongroom_server.adapters.s3.connections import open_connections
from strongroom_server.adapters.s3.requests import S3Requests, always
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.ports import BlobNotFoundError, BlobRemover, Clock


@contextmanager
def open_remover(settings: S3Settings, clock: Clock) -> Iterator["S3BlobRemover"]:
    """Yield the remover, and close its connections at the end. Makes no call.

    Raises:
        PreconditionError: The settings cannot be used (STORE_UNSUITABLE).
    """
    with open_connections(settings, clock) as connections:
        yield S3BlobRemover(connections, settings, clock)


class S3BlobRemover(S3Requests):
    """Removes versions from one bucket, under one prefix; safe for many threads."""

    def remove(self, key: str, *, version_id: str) -> bool:
        """See `BlobRemover`."""
        # S3 answers alike whether the version was there or not, so it is asked
        # first; a delete marker counts as not there, and stays.
        try:
            self.retry(partial(self._look, key, version_id), always)
        except BlobNotFoundError:
            return False
        self.retry(partial(self._delete, key, version_id), always)
        return True

    def _look(self, key: str, version_id: str, deadline: float) -> None:
        query = {"versionId": version_id}
        with self.exchange("HeadObject", "HEAD", key, deadline, query=query):
            pass  # whoever is there

    def _delete(self, key: str, version_id: str, deadline: float) -> None:
        query = {"versionId": version_id}
        with self.exchange("DeleteObject", "DELETE", key, deadline, query=query):
            pass  # what it was asked for is done


_blob_remover: type[BlobRemover] = S3BlobRemover
