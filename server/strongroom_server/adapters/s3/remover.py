# SPDX-License-Identifier: Apache-2.0
"""`BlobRemover` on S3: removes exactly the versions that it is told, one by one.

It has a credential of its own. It should be allowed to read and to delete versions
below `packs/`, `manifests/`, `index/` and `uploads/`, and nothing else: neither to
write nor to delete without a version.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom_server.adapters.s3.errors import s3_errors, unsuitable
from strongroom_server.adapters.s3.requests import S3Requests, always, note
from strongroom_server.adapters.s3.settings import S3Settings, make_client
from strongroom_server.ports import BlobNotFoundError, BlobRemover, Clock


@contextmanager
def open_remover(settings: S3Settings, clock: Clock) -> Iterator["S3BlobRemover"]:
    """Yield the remover, and close its connections at the end. Makes no call.

    Raises:
        PreconditionError: The settings cannot be used (STORE_UNSUITABLE).
    """
    try:
        with s3_errors("any call"):
            client = make_client(settings)
    except ValueError as error:
        raise unsuitable("any call", str(error)) from error
    try:
        yield S3BlobRemover(client, settings, clock)
    finally:
        client.close()


class S3BlobRemover(S3Requests):
    """Removes versions from one bucket, under one prefix; safe for many threads."""

    def remove(self, key: str, *, version_id: str) -> bool:
        """See `BlobRemover`."""
        # S3 answers alike whether the version was there or not, so it is asked
        # first; a delete marker counts as not there, and stays.
        try:
            self.retry(lambda _: self._look(key, version_id), always)
        except BlobNotFoundError:
            return False
        self.retry(lambda _: self._delete(key, version_id), always)
        return True

    def _look(self, key: str, version_id: str) -> None:
        with self.request("HeadObject", key) as span:
            answer = self.client.head_object(
                Bucket=self.settings.bucket,
                Key=self.prefix + key,
                VersionId=version_id,
            )
            note(span, answer, 0)

    def _delete(self, key: str, version_id: str) -> None:
        with self.request("DeleteObject", key) as span:
            answer = self.client.delete_object(
                Bucket=self.settings.bucket,
                Key=self.prefix + key,
                VersionId=version_id,
            )
            note(span, answer, 0)


_blob_remover: type[BlobRemover] = S3BlobRemover
