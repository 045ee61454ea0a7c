# SPDX-License-Identifier: Apache-2.0
"""Answers of HTTP, good and strange ones, as bytes of a connection."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import IncompleteRead

import pytest

from strongroom.errors import PreconditionError
from strongroom_server.adapters.s3.answers import (
    MAX_HEADERS,
    MAX_LINE_BYTES,
    S3Answer,
    StrangeAnswerError,
)


@contextmanager
def answered(data: bytes, method: str = "GET") -> Iterator[S3Answer]:
    """Yield what becomes of these bytes, behind which the connection ends."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.settimeout(10)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        with closing(S3Answer(ours, method)) as answer:
            yield answer


def test_an_answer_has_a_status_headers_and_a_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Amz-Version-Id:  v1 \r\nContent-Length: 5\r\n\r\n"
    with answered(head + b"first") as answer:
        answer.begin()

        assert answer.status == 200
        assert answer.header("x-amz-version-id") == "v1"
        assert answer.header("date") == ""
        assert answer.size_bytes == 5
        assert answer.document(5) == b"first"
        assert answer.isclosed()
        assert not answer.will_close


@pytest.mark.parametrize("size", [0, 5])
def test_a_body_may_come_in_chunks(size: int) -> None:
    chunks = b"2\r\nfi\r\n3;x=y\r\nrst\r\n" if size else b""
    head = b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n"
    with answered(head + chunks + b"0\r\n\r\n") as answer:
        answer.begin()

        assert answer.document(9) == b"first"[:size]
        assert answer.isclosed()
        assert not answer.will_close


def test_what_follows_the_last_chunk_is_dropped() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with answered(head + b"5\r\nfirst\r\n0\r\nx-sum: 1\r\n\r\n") as answer:
        answer.begin()

        assert answer.document(9) == b"first"
        assert answer.isclosed()


@pytest.mark.parametrize(
    "chunks",
    [
        # `int` takes all of these; of a negative size, all that comes would be read.
        b"-1\r\n" + b"x" * 50_000,
        b"+1\r\nx\r\n0\r\n\r\n",
        b"0x1\r\nx\r\n0\r\n\r\n",
        b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
        b" 1\r\nx\r\n0\r\n\r\n",
        b"000000001\r\nx\r\n0\r\n\r\n",
        b"\r\n",
        b"1;" + b"x" * MAX_LINE_BYTES + b"\r\nx\r\n0\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"0\r\n",
    ],
    ids=range(10),
)
def test_strange_chunks_are_refused_unread(chunks: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with answered(head + chunks) as answer:
        answer.begin()

        with pytest.raises((StrangeAnswerError, IncompleteRead)) as caught:
            answer.document(40_000)
        assert not getattr(caught.value, "partial", b"")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_answers_have_no_body(status: bytes) -> None:
    with answered(b"HTTP/1.1 " + status + b"\r\ncontent-length: 3\r\n\r\n") as answer:
        answer.begin()

        assert answer.document(9) == b""
        assert answer.isclosed()
        assert not answer.will_close


def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 70\r\n\r\n"
    with answered(head + b"HTTP/1.1 500", "HEAD") as answer:
        answer.begin()

        assert answer.size_bytes == 70
        assert answer.document(9) == b""
        assert answer.isclosed()


def test_what_comes_before_an_answer_is_skipped() -> None:
    before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n"
    with answered(before + b"HTTP/1.1 412 No\r\ncontent-length: 0\r\n\r\n") as answer:
        answer.begin()

        assert answer.status == 412
        assert answer.header("link") == ""


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: Close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_connection_that_will_be_closed_is_known(head: bytes) -> None:
    with answered(head + b"first") as answer:
        answer.begin()

        assert answer.will_close
        assert answer.document(9) == b"first"


def test_an_answer_without_its_length_is_no_object() -> None:
    with answered(b"HTTP/1.1 200 OK\r\n\r\nfirst") as answer:
        answer.begin()

        with pytest.raises(PreconditionError, match="length"):
            _ = answer.size_bytes


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n",
        b"HTTP/2 200 OK\r\n",
        b"ICY 200 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 999 OK\r\n",
        b"HTTP/1.1 200OK\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\r\n folded: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname : c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 19 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * MAX_LINE_BYTES + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(head: bytes) -> None:
    with answered(head) as answer, pytest.raises((StrangeAnswerError, IncompleteRead)):
        answer.begin()


@pytest.mark.parametrize(
    "data",
    [
        b"content-length: 5\r\n\r\nfirs",
        b"transfer-encoding: chunked\r\n\r\n5\r\nfirs",
        b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n",
    ],
)
def test_a_body_that_ends_early_is_no_body(data: bytes) -> None:
    with answered(b"HTTP/1.1 200 OK\r\n" + data) as answer:
        answer.begin()

        with pytest.raises(IncompleteRead):
            answer.document(9)


@pytest.mark.parametrize(
    "data",
    [
        b"content-length: 5\r\n\r\nfirst",
        b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
        b"\r\nfirst",
    ],
)
def test_a_body_over_the_limit_is_not_read(data: bytes) -> None:
    with answered(b"HTTP/1.1 200 OK\r\n" + data) as answer:
        answer.begin()

        with pytest.raises(StrangeAnswerError):
            answer.document(4)
