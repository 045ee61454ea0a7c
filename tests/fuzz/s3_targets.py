# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for S3: answers by HTTP/1.1, and listings in XML."""

import io
from contextlib import suppress
from http.client import HTTPException
from typing import Any, cast

from strongroom.errors import StrongroomError
from strongroom_server.adapters.s3.answers import S3Answer
from strongroom_server.adapters.s3.documents import NoDocumentError
from strongroom_server.adapters.s3.listings import parse_page

_MAX_BYTES = 4096


class _Connection:
    """What an answer is read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def s3_answer(data: bytes) -> None:
    """Answers; a body is whole, and no longer than what was asked for."""
    for method in ("GET", "HEAD"):
        answer = S3Answer(cast("Any", _Connection(data)), method)
        with suppress(StrongroomError, HTTPException):
            answer.begin()
            assert 200 <= answer.status <= 599
            whole = answer.document(_MAX_BYTES)
            assert len(whole) <= _MAX_BYTES
            coded = answer.header("transfer-encoding")
            if method == "GET" and answer.header("content-length") and not coded:
                assert answer.status in {204, 304} or len(whole) == answer.size_bytes
        answer.close()


def s3_listing(data: bytes) -> None:
    """Listings; a page has all of each row, or is none."""
    with suppress(NoDocumentError):
        page = parse_page(data, "")
        assert all(isinstance(row.key, str) for row in page.versions)
