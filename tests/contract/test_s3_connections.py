# SPDX-License-Identifier: Apache-2.0
"""Connections to S3: kept, given up in time, and believed only as far as they go."""

import contextlib
import socket
import threading
import zlib
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server import bounded_http
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3 import S3BlobStore, S3Settings, open_remover, open_s3
from strongroom_server.ports import BlobExistsError, BlobNotFoundError
from tests.contract.scripted_s3 import (
    ScriptedS3,
    answer_of,
    error_of,
    read_body,
    scripted_s3,
    stored,
)
from tests.support.clock import ManualClock

MIB = 2**20
SETTINGS = S3Settings(
    endpoint="",
    region="eu-west-1",
    bucket="models",
    prefix="p",
    access_key="AKIA",
    secret_key="secret",
)


@pytest.fixture
def server() -> Iterator[ScriptedS3]:
    with scripted_s3() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(server: ScriptedS3, clock: ManualClock) -> Iterator[S3BlobStore]:
    with open_s3(replace(SETTINGS, endpoint=server.endpoint), clock) as opened:
        yield opened


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, MIB])
def test_a_put_says_what_it_holds_and_that_nothing_may_be_there(
    server: ScriptedS3, store: S3BlobStore, size: int
) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    server.answers.append(stored())

    assert store.put_new("a/1", data[:size]) == "v1"

    lines = server.heads[0].decode().split("\r\n")
    checksum = b64encode(zlib.crc32(data[:size]).to_bytes(4, "big")).decode()
    assert lines[0] == "PUT /models/p/a/1 HTTP/1.1"
    assert f"content-length: {size}" in lines
    assert "if-none-match: *" in lines
    assert f"x-amz-checksum-crc32: {checksum}" in lines
    assert server.bodies == [data[:size]]
    signed = next(line for line in lines if line.startswith("authorization: "))
    assert (
        "SignedHeaders=host;if-none-match;x-amz-checksum-crc32;x-amz-content-sha256;"
        "x-amz-date," in signed
    )


@pytest.mark.parametrize("version_id", ["", "null"])
def test_a_put_without_a_version_is_refused(
    server: ScriptedS3, store: S3BlobStore, version_id: str
) -> None:
    server.answers.append(stored(version_id))

    with pytest.raises(PreconditionError, match="not versioned"):
        store.put_new("a/1", b"x")


def test_refusals_cost_no_connection(server: ScriptedS3, store: S3BlobStore) -> None:
    chunked = (
        b"HTTP/1.1 404 X\r\ntransfer-encoding: chunked\r\n\r\n"
        b"29\r\n<Error><Code>NoSuchVersion</Code></Error>\r\n0\r\n\r\n"
    )
    server.answers += [
        error_of(412, "PreconditionFailed"),
        error_of(404, "NoSuchVersion"),
        answer_of(404),
        chunked,
        stored(),
    ]

    with pytest.raises(BlobExistsError):
        store.put_new("a/1", b"x")
    for _ in range(3):
        with pytest.raises(BlobNotFoundError):
            store.get("a/1", version_id="v", max_bytes=1)
    store.put_new("a/1", b"x")

    assert server.connection_count == 1


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(404, b"<html><body>No such backend</body></html>"),
        answer_of(412, b"what"),
        answer_of(404, b"<Error><Code>NoSuchKey</Code>", size=99),
        answer_of(404, b"<Error>" + b" " * 70_000 + b"</Error>"),
        b"HTTP/1.1 404 X\r\n",
    ],
    ids=range(5),
)
def test_an_error_that_is_not_of_s3_says_nothing_of_the_object(
    server: ScriptedS3, store: S3BlobStore, answer: bytes
) -> None:
    def send(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer)

    server.answers += [send] * 4

    with pytest.raises(UnavailableError):
        store.get("a/1", version_id="v", max_bytes=1)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, PreconditionError),
        (404, BlobNotFoundError),
        (412, BlobExistsError),
        (503, UnavailableError),
    ],
)
def test_an_error_without_a_body_is_judged_by_its_status(
    server: ScriptedS3, store: S3BlobStore, status: int, expected: type[Exception]
) -> None:
    server.answers.append(answer_of(status))

    with pytest.raises(expected):
        store.put_new("a/1", b"x")

    assert len(server.heads) == 1


def test_a_connection_that_was_closed_meanwhile_is_not_used(
    server: ScriptedS3, store: S3BlobStore, clock: ManualClock
) -> None:
    server.answers += [stored("v1"), stored("v2")]
    store.put_new("a/1", b"x")
    server.hang_up()

    assert store.put_new("a/2", b"x") == "v2"
    assert server.connection_count == 2
    assert clock.sleeps == []


def test_what_nobody_asked_for_is_no_answer(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    # More than is read ahead.
    server.answers += [stored("v1") + 1000 * stored("evil"), stored("v2")]
    store.put_new("a/1", b"x")

    assert store.put_new("a/2", b"x") == "v2"
    assert server.connection_count == 2


def test_a_connection_that_ends_is_not_kept(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    last = answer_of(200, more="x-amz-version-id: v1\r\nconnection: close\r\n")
    server.answers += [last, stored("v2")]
    store.put_new("a/1", b"x")

    assert store.put_new("a/2", b"x") == "v2"
    assert server.connection_count == 2


def test_no_more_connections_are_kept_than_the_settings_say(
    server: ScriptedS3, clock: ManualClock
) -> None:
    together = threading.Barrier(4)

    def at_once(connection: socket.socket, head: bytes) -> None:
        read_body(connection, head)
        together.wait(10)
        connection.sendall(stored())
        connection.recv(1)  # until it is closed

    server.answers += [at_once] * 4
    few = replace(SETTINGS, endpoint=server.endpoint, pool_size=2)
    with open_s3(few, clock) as store, ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda at: store.put_new(f"a/{at}", b"x"), range(4)))

        assert len(store._connections._idle) == 2


def test_a_refusal_may_come_before_all_was_sent(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    def refuse(connection: socket.socket, head: bytes) -> None:
        connection.sendall(error_of(412, "PreconditionFailed"))
        connection.recv(1)

    server.answers.append(refuse)

    with pytest.raises(BlobExistsError):
        store.put_new("a/1", bytes(32 * MIB))


@pytest.mark.parametrize("part", ["head", "body", "error", "chunks"])
def test_bytes_that_drip_do_not_keep_a_call_waiting_for_long(
    server: ScriptedS3, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    stop = threading.Event()
    begins = {
        "head": b"HTTP/1.1 200 OK\r\nX: ",
        "body": b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n",
        "error": b"HTTP/1.1 404 X\r\ncontent-length: 9999\r\n\r\n",
        # Chunks of an object would be refused for want of its length.
        "chunks": b"HTTP/1.1 404 X\r\ntransfer-encoding: chunked\r\n\r\n9999\r\n",
    }

    def drip(connection: socket.socket, head: bytes) -> None:
        connection.sendall(begins[part])
        while not stop.wait(0.02):
            connection.sendall(b"1")

    monkeypatch.setattr(bounded_http, "LOOK_S", 0.05)
    server.answers.append(drip)
    hasty = replace(
        SETTINGS, endpoint=server.endpoint, operation_timeout_s=0.3, attempt_count=1
    )
    with open_s3(hasty, SystemClock()) as store:
        with pytest.raises(UnavailableError):
            store.get("a/1", version_id="v", max_bytes=9999)
        stop.set()


@pytest.mark.parametrize("silent", ["the name", "its addresses"])
def test_a_host_that_is_silent_does_not_keep_a_call_waiting_for_long(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    stop = threading.Event()
    hasty = replace(
        SETTINGS,
        endpoint="http://s3.invalid:9000",
        connect_timeout_s=0.1,
        operation_timeout_s=0.3,
        attempt_count=1,
    )
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # behind these, nobody gets an answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - socket's own
            waiting.connect_ex(full.getsockname())

        def found(*_args: object, **_kwargs: object) -> list[tuple[object, ...]]:
            if silent == "the name":
                stop.wait(60)
            place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())
            return [place] * 200

        monkeypatch.setattr(socket, "getaddrinfo", found)
        stack.callback(stop.set)
        clock = SystemClock()
        began_s = clock.monotonic()
        store = stack.enter_context(open_s3(hasty, clock))
        with pytest.raises(UnavailableError):
            store.get("a/1", version_id="v", max_bytes=9)

        assert clock.monotonic() - began_s < 10


def test_an_object_without_its_length_is_refused(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    server.answers.append(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    )

    with pytest.raises(PreconditionError, match="length"):
        store.get("a/1", version_id="v", max_bytes=9)


def test_a_range_that_is_another_is_refused(
    server: ScriptedS3, store: S3BlobStore
) -> None:
    server.answers += [
        answer_of(206, b"abc", more="content-range: bytes 1-3/9\r\n"),
        answer_of(200, b"abc"),
        answer_of(206, b"ab", more="content-range: bytes 0-1/2\r\n"),
    ]
    buffer = memoryview(bytearray(3))

    for _ in range(2):
        with pytest.raises(PreconditionError, match="ranges"):
            store.read_into("a/1", version_id="v", offset_bytes=0, buffer=buffer)
    with pytest.raises(BlobNotFoundError):
        store.read_into("a/1", version_id="v", offset_bytes=0, buffer=buffer)


@pytest.mark.parametrize(
    "change",
    [
        {"session_token": "token\r\nx-amz-acl: public-read"},
        {"session_token": "tökén"},
        {"access_key": "key\n"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_setting_is_one_line_of_a_request(
    server: ScriptedS3, clock: ManualClock, change: dict[str, str]
) -> None:
    settings = replace(SETTINGS, endpoint=server.endpoint, **change)  # type: ignore[arg-type]

    with open_s3(settings, clock) as store, pytest.raises(PreconditionError) as caught:
        store.put_new("a/1", b"x")

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert server.heads == []


def test_a_session_token_is_sent_and_signed(
    server: ScriptedS3, clock: ManualClock
) -> None:
    settings = replace(SETTINGS, endpoint=server.endpoint, session_token="t+/=")
    server.answers.append(stored())

    with open_s3(settings, clock) as store:
        store.put_new("a/1", b"x")

    assert b"\r\nx-amz-security-token: t+/=\r\n" in server.heads[0]
    assert b";x-amz-security-token," in server.heads[0]


def test_a_removal_names_exactly_one_version(
    server: ScriptedS3, clock: ManualClock
) -> None:
    server.answers += [
        b"HTTP/1.1 200 X\r\ncontent-length: 70\r\n\r\n",
        b"HTTP/1.1 204 X\r\n\r\n",
        b"HTTP/1.1 404 X\r\ncontent-length: 70\r\n\r\n",
    ]
    settings = replace(SETTINGS, endpoint=server.endpoint)

    with open_remover(settings, clock) as remover:
        assert remover.remove("a/1", version_id="v+1")
        assert not remover.remove("a/1", version_id="v+1")

    asked = [head.partition(b" HTTP")[0] for head in server.heads]
    assert asked == [
        b"HEAD /models/p/a/1?versionId=v%2B1",
        b"DELETE /models/p/a/1?versionId=v%2B1",
        b"HEAD /models/p/a/1?versionId=v%2B1",
    ]
    assert server.connection_count == 1
