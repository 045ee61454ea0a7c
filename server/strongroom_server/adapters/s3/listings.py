# SPDX-License-Identifier: Apache-2.0
"""Listings of every version of every key, page by page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import unquote

from strongroom_server.adapters.s3.documents import NoDocumentError, parse_document
from strongroom_server.adapters.s3.errors import unsuitable
from strongroom_server.adapters.s3.requests import S3Requests, always
from strongroom_server.ports import BlobVersion

_OPERATION: Final = "ListObjectVersions"
#: A key of 1024 bytes, each of them escaped, and as much again of all else.
_MAX_ROW_BYTES: Final = 8 * 1024
_MAX_EMPTY_PAGE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing; keys have their prefix.

    Attributes:
        versions: Without delete markers.
        folders: What a delimiter made of keys.
        next_key: Where the next page begins; "" behind the last one.
        next_version_id: The same.
        date: When it was made, as S3 says it.
    """

    versions: tuple[BlobVersion, ...]
    folders: tuple[str, ...]
    is_truncated: bool
    next_key: str
    next_version_id: str
    date: str


class S3Listings(S3Requests):
    """Lists one bucket under one prefix.

    Names in one folder must not be prefixes of each other: SeaweedFS 4.48 drops
    `x` or `x-y` from the later pages of a listing that holds both.
    """

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        """See `VersionedBlobs`."""
        last = ""
        for page in self._pages(prefix, start_after=start_after):
            for row in page.versions:
                key = row.key.removeprefix(self.prefix)
                if key <= start_after:
                    continue
                if key < last:
                    raise unsuitable(_OPERATION, "keys out of order")
                last = key
                yield BlobVersion(key, row.version_id, row.size_bytes, row.modified_s)

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        # S3 lists a key's versions from the newest to the oldest, so the last
        # before the key changes is the first that was written.
        oldest: BlobVersion | None = None
        for version in self.versions(prefix, start_after=start_after):
            if oldest is not None and version.key != oldest.key:
                yield oldest
            oldest = version
        if oldest is not None:
            yield oldest

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `BlobStore`."""
        last = ""
        for page in self._pages(prefix, delimiter="/"):
            for found in page.folders:
                folder = found.removeprefix(self.prefix)
                if folder < last:
                    raise unsuitable(_OPERATION, "keys out of order")
                if folder > last:
                    yield folder
                last = folder

    def first_page(self, deadline: float) -> Page:
        """Return a page of one row at most, of all there is."""
        return self._page({"prefix": self.prefix, "max-keys": "1"}, deadline)

    def _pages(
        self, prefix: str, *, start_after: str = "", delimiter: str = ""
    ) -> Iterator[Page]:
        params = {
            "prefix": self.prefix + prefix,
            "max-keys": str(self.settings.page_size),
        }
        if delimiter:
            params["delimiter"] = delimiter
        marker = {"key-marker": self.prefix + start_after} if start_after else {}
        while True:
            page = self.retry(partial(self._page, {**params, **marker}), always)
            yield page
            if not page.is_truncated:
                return
            last = marker
            marker = {"key-marker": page.next_key}
            if page.next_version_id:
                marker["version-id-marker"] = page.next_version_id
            if marker == last or not page.next_key:
                raise unsuitable(_OPERATION, "a listing without end")

    def _page(self, params: Mapping[str, str], deadline: float) -> Page:
        # Keys may hold what XML cannot.
        query = {"versions": "", "encoding-type": "url", **params}
        row_count = int(params["max-keys"])
        max_bytes = _MAX_EMPTY_PAGE_BYTES + row_count * _MAX_ROW_BYTES
        with self.exchange(_OPERATION, "GET", "", deadline, query=query) as answer:
            return parse_page(answer.document(max_bytes), answer.header("date"))


def parse_page(data: bytes, date: str) -> Page:
    """Return what a page says, of this date.

    Raises:
        NoDocumentError: It is none.
    """
    said = parse_document(data, "ListVersionsResult")
    is_quoted = said.text("EncodingType") == "url"

    def key_of(text: str) -> str:
        return unquote(text) if is_quoted else text

    try:
        return Page(
            tuple(
                BlobVersion(
                    key_of(row["Key"]),
                    row["VersionId"],
                    int(row["Size"]),
                    _seconds(row["LastModified"]),
                )
                for row in said.rows("Version")
            ),
            tuple(key_of(row["Prefix"]) for row in said.rows("CommonPrefixes")),
            said.text("IsTruncated") == "true",
            key_of(said.text("NextKeyMarker")),
            said.text("NextVersionIdMarker"),
            date,
        )
    except (KeyError, ValueError) as error:
        message = "a row without its key, version, size or time"
        raise NoDocumentError(message) from error


def _seconds(text: str) -> float:
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
