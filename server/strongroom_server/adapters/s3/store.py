# SPDX-License-Identifier: Apache-2.0
"""`BlobStore` on S3 and its relatives.

Objects are written only where none is, checked by a CRC-32 on the way in, and read
only by the version id that the write returned. One loop retries, within a deadline,
and knows which writes it may repeat.

A SHA-256 of the body for the signature would cost 10 ms for 16 MiB; the CRC-32 costs
4 ms and finds the same accidents. Intent is not S3's to find: every pack is
authenticated when it is read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

from strongroom.errors import IntegrityError, Reason
from strongroom_server.adapters.s3.answers import S3Answer
from strongroom_server.adapters.s3.connections import (
    PIECE_BYTES,
    open_connections,
)
from strongroom_server.adapters.s3.errors import (
    unavailable,
    unsuitable,
    was_not_done,
)
from strongroom_server.adapters.s3.listings import S3Listings
from strongroom_server.adapters.s3.requests import always, crc32_header
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.ports import BlobNotFoundError, Clock, ReadBuffer, VersionedBlobs


@contextmanager
def open_s3(settings: S3Settings, clock: Clock) -> Iterator["S3BlobStore"]:
    """Yield the store, and close its connections at the end. Makes no call.

    Raises:
        PreconditionError: The settings cannot be used (STORE_UNSUITABLE).
    """
    with open_connections(settings, clock) as connections:
        yield S3BlobStore(connections, settings, clock)


class S3BlobStore(S3Listings):
    """Objects in one bucket under one prefix; safe to use from many threads."""

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See `BlobStore`. Repeated only where S3 said that nothing was done."""
        view = memoryview(data).cast("B")
        headers = {"if-none-match": "*"}
        return self.retry(
            lambda deadline: self._put(key, view, headers, deadline), was_not_done
        )

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""
        query = {"versionId": version_id}

        def read(deadline: float) -> bytes:
            with self.exchange(
                "GetObject", "GET", key, deadline, query=query
            ) as answer:
                size = answer.size_bytes
                if size > max_bytes:
                    raise IntegrityError(
                        f"a stored object has {size} bytes, more than {max_bytes}",
                        reason=Reason.RECORD_CORRUPT,
                        size_bytes=size,
                        max_bytes=max_bytes,
                    )
                if size <= PIECE_BYTES:
                    return answer.document(size)
                buffer = bytearray(size)
                sum(self._arrivals(answer, memoryview(buffer), deadline))
                return bytes(buffer)

        return self.retry(read, always)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`. A repeated attempt goes on where the last one ended."""
        view = buffer.cast("B")
        query = {"versionId": version_id}
        done = 0

        def read(deadline: float) -> None:
            nonlocal done
            first, last = offset_bytes + done, offset_bytes + len(view) - 1
            headers = {"range": f"bytes={first}-{last}"}
            with self.exchange(
                "GetObject", "GET", key, deadline, query=query, headers=headers
            ) as answer:
                _check_range(answer, key, first=first, last=last)
                for count in self._arrivals(answer, view[done:], deadline):
                    done += count

        if len(view):
            self.retry(read, always)

    def time_s(self) -> float:
        """See `BlobStore`. S3 dates each of its answers."""
        page = self.retry(self.first_page, always)
        try:
            return parsedate_to_datetime(page.date).timestamp()
        except ValueError as error:
            raise unsuitable("ListObjectVersions", "an answer without date") from error

    def check_ready(self) -> None:
        """See `BlobStore`. Tried once: who asks for readiness asks again."""
        self.first_page(self.clock.monotonic() + self.settings.operation_timeout_s)

    def _put(
        self, key: str, view: memoryview, headers: Mapping[str, str], deadline: float
    ) -> str:
        """Put an object once, under these headers; return its version id."""
        checked = {**headers, **crc32_header(view)}
        with self.exchange(
            "PutObject", "PUT", key, deadline, headers=checked, body=view
        ) as answer:
            version_id = answer.header("x-amz-version-id")
            if version_id in {"", "null"}:
                raise unsuitable("PutObject", "the bucket is not versioned")
            return version_id

    def _arrivals(
        self, answer: S3Answer, view: memoryview, deadline: float
    ) -> Iterator[int]:
        """Fill `view`, yielding the size of each piece as soon as it is there."""
        done = 0
        while done < len(view):
            self.check_time(deadline)
            count = answer.readinto(view[done : done + PIECE_BYTES])
            if not count:
                raise unavailable("GetObject", "the answer ended early")
            done += count
            yield count


def _check_range(answer: S3Answer, key: str, *, first: int, last: int) -> None:
    """Check that the answer holds exactly the bytes that were asked for."""
    if not answer.header("content-range").startswith(f"bytes {first}-"):
        raise unsuitable("GetObject", "ranges are not served")
    if answer.size_bytes != last - first + 1:
        raise BlobNotFoundError(key)


_blob_store: type[VersionedBlobs] = S3BlobStore
