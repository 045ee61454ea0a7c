# SPDX-License-Identifier: Apache-2.0
"""`BlobStore` on S3 and its relatives, through botocore (what boto3 is made of).

Objects are written only where none is, checked by a CRC-32 on the way in, and read
only by the version id that the write returned. Its own retries are off: one loop
here retries, within a deadline, and knows which writes it may repeat.
"""

import base64
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final, TypeVar

from opentelemetry.trace import Span

from strongroom.errors import (
    IntegrityError,
    Reason,
)
from strongroom_server.adapters.s3.errors import (
    s3_errors,
    unavailable,
    unsuitable,
    was_not_done,
)
from strongroom_server.adapters.s3.requests import S3Requests, always, note
from strongroom_server.adapters.s3.settings import S3Settings, make_client
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Clock,
    ReadBuffer,
)

T = TypeVar("T")

#: What is sent or read between two looks at the deadline. A socket's timeout
#: counts for one `sendall`, so whole packs would need timeouts of minutes.
PIECE_BYTES: Final = 256 * 1024


@contextmanager
def open_s3(settings: S3Settings, clock: Clock) -> Iterator["S3BlobStore"]:
    """Yield the store, and close its connections at the end. Makes no call.

    Raises:
        PreconditionError: The settings cannot be used (STORE_UNSUITABLE).
    """
    try:
        with s3_errors("any call"):
            client = make_client(settings)
    except ValueError as error:
        raise unsuitable("any call", str(error)) from error
    try:
        yield S3BlobStore(client, settings, clock)
    finally:
        client.close()


class _Pieces:
    """A request body that is sent in pieces, each in time."""

    def __init__(self, data: memoryview, check_deadline: Callable[[], None]) -> None:
        self._data = data
        self._check_deadline = check_deadline

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        for start in range(0, len(self._data), PIECE_BYTES):
            self._check_deadline()
            yield self._data[start : start + PIECE_BYTES]


class S3BlobStore(S3Requests):
    """Objects in one bucket under one prefix; safe to use from many threads.

    Names in one folder must not be prefixes of each other: SeaweedFS 4.48 drops
    `x` or `x-y` from the later pages of a listing that holds both.
    """

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See `BlobStore`. Repeated only where S3 said that nothing was done."""
        view = memoryview(data).cast("B")
        checksum = base64.b64encode(zlib.crc32(view).to_bytes(4, "big")).decode()
        return self.retry(
            lambda deadline: self._put(key, view, checksum, deadline), was_not_done
        )

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""

        def read(deadline: float) -> bytes:
            with self.request("GetObject", key) as span:
                answer = self._get(span, key, version_id)
                size = int(answer["ContentLength"])
                if size > max_bytes:
                    answer["Body"].close()
                    raise IntegrityError(
                        f"a stored object has {size} bytes, more than {max_bytes}",
                        reason=Reason.RECORD_CORRUPT,
                        size_bytes=size,
                        max_bytes=max_bytes,
                    )
                buffer = bytearray(size)
                try:
                    sum(self._arrivals(answer["Body"], memoryview(buffer), deadline))
                finally:
                    answer["Body"].close()
                return bytes(buffer)

        return self.retry(read, always)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`. A repeated attempt goes on where the last one ended."""
        view = buffer.cast("B")
        done = 0

        def read(deadline: float) -> None:
            nonlocal done
            first, last = offset_bytes + done, offset_bytes + len(view) - 1
            with self.request("GetObject", key) as span:
                answer = self._get(span, key, version_id, f"bytes={first}-{last}")
                try:
                    _check_range(answer, key, first=first, last=last)
                    for count in self._arrivals(answer["Body"], view[done:], deadline):
                        done += count
                finally:
                    answer["Body"].close()

        if len(view):
            self.retry(read, always)

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        # S3 lists a key's versions from the newest to the oldest, so the last
        # before the key changes is the first that was written.
        oldest: BlobVersion | None = None
        for page in self._pages(prefix, start_after=start_after):
            for row in page.get("Versions", ()):
                key = row["Key"].removeprefix(self.prefix)
                if key <= start_after:
                    continue
                if oldest is not None and key != oldest.key:
                    if key < oldest.key:
                        raise unsuitable("ListObjectVersions", "keys out of order")
                    yield oldest
                oldest = BlobVersion(
                    key,
                    row["VersionId"],
                    int(row["Size"]),
                    row["LastModified"].timestamp(),
                )
        if oldest is not None:
            yield oldest

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `BlobStore`."""
        last = ""
        for page in self._pages(prefix, Delimiter="/"):
            for row in page.get("CommonPrefixes", ()):
                folder = row["Prefix"].removeprefix(self.prefix)
                if folder < last:
                    raise unsuitable("ListObjectVersions", "keys out of order")
                if folder > last:
                    yield folder
                last = folder

    def time_s(self) -> float:
        """See `BlobStore`. S3 dates each of its answers."""
        params = {"Prefix": self.prefix, "MaxKeys": 1}
        answer = self.retry(lambda deadline: self._list(params, deadline), always)
        dated = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date", "")
        try:
            return parsedate_to_datetime(dated).timestamp()
        except ValueError as error:
            raise unsuitable("ListObjectVersions", "an answer without date") from error

    def check_ready(self) -> None:
        """See `BlobStore`. Tried once: who asks for readiness asks again."""
        deadline = self.clock.monotonic() + self.settings.operation_timeout_s
        self._list({"Prefix": self.prefix, "MaxKeys": 1}, deadline)

    def _put(self, key: str, view: memoryview, checksum: str, deadline: float) -> str:
        with self.request("PutObject", key) as span:
            answer = self.client.put_object(
                Bucket=self.settings.bucket,
                Key=self.prefix + key,
                Body=_Pieces(view, lambda: self.check_time(deadline)) if view else b"",
                IfNoneMatch="*",
                ChecksumCRC32=checksum,
            )
            note(span, answer, len(view))
            version_id = answer.get("VersionId", "null")
            if version_id == "null":
                raise unsuitable("PutObject", "the bucket is not versioned")
            return str(version_id)

    def _get(
        self, span: Span, key: str, version_id: str, byte_range: str = ""
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get_object(
            Bucket=self.settings.bucket,
            Key=self.prefix + key,
            VersionId=version_id,
            **({"Range": byte_range} if byte_range else {}),
        )
        note(span, answer, int(answer["ContentLength"]))
        return answer

    def _pages(
        self, prefix: str, *, start_after: str = "", **extra: str
    ) -> Iterator[Mapping[str, Any]]:
        params: dict[str, Any] = {"Prefix": self.prefix + prefix, **extra}
        params["MaxKeys"] = self.settings.page_size
        marker = {"KeyMarker": self.prefix + start_after} if start_after else {}
        while True:
            page = self.retry(partial(self._list, {**params, **marker}), always)
            yield page
            if not page.get("IsTruncated"):
                return
            last = marker
            marker = {"KeyMarker": page.get("NextKeyMarker", "")}
            if page.get("NextVersionIdMarker"):
                marker["VersionIdMarker"] = page["NextVersionIdMarker"]
            if marker == last or not marker["KeyMarker"]:
                raise unsuitable("ListObjectVersions", "a listing without end")

    def _list(self, params: Mapping[str, Any], deadline: float) -> Mapping[str, Any]:
        self.check_time(deadline)
        with self.request("ListObjectVersions", "") as span:
            page: dict[str, Any] = self.client.list_object_versions(
                Bucket=self.settings.bucket, **params
            )
            note(span, page, 0)
            return page

    def _arrivals(
        self,
        body: Any,  # noqa: ANN401
        view: memoryview,
        deadline: float,
    ) -> Iterator[int]:
        """Fill `view`, yielding the size of each piece as soon as it is there."""
        done = 0
        while done < len(view):
            self.check_time(deadline)
            count = body.readinto(view[done : done + PIECE_BYTES])
            if not count:
                raise unavailable("GetObject", "the answer ended early")
            done += count
            yield count


def _check_range(answer: Mapping[str, Any], key: str, *, first: int, last: int) -> None:
    """Check that the answer holds exactly the bytes that were asked for."""
    got = str(answer.get("ContentRange", ""))
    if not got.startswith(f"bytes {first}-"):
        raise unsuitable("GetObject", "ranges are not served")
    if int(answer["ContentLength"]) != last - first + 1:
        raise BlobNotFoundError(key)


_blob_store: type[BlobStore] = S3BlobStore
