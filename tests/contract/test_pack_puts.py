# SPDX-License-Identifier: Apache-2.0
"""Packs put over HTTP: exact, repeated where that helps, and never for ever."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.pack_urls import HttpPuts
from strongroom_server.adapters.pack_urls.connections import ATTEMPTS, PackConnections
from strongroom_server.ports import BlobExistsError, ReadBuffer, UrlRefusedError
from tests.support.clock import ManualClock

PIECES: list[ReadBuffer] = [b"head", bytearray(range(256)) * 9000, memoryview(b"tail")]
DATA = b"".join(PIECES)
HEADERS = {"content-length": str(len(DATA)), "if-none-match": "*"}
Answer = Callable[[BaseHTTPRequestHandler], None]


class Store:
    """A server that answers as the test says, first come first served."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[Answer] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[object] = set()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.headers.append({k.lower(): v for k, v in handler.headers.items()})
        self.connections.add(handler.client_address)
        (self.answers.pop(0) if self.answers else self.take)(handler)

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Do what S3 does."""
        size = int(handler.headers["Content-Length"])
        self.bodies.append(handler.rfile.read(size))
        send(handler, 200, {"x-amz-version-id": f"v{len(self.bodies)}"})


def send(
    handler: BaseHTTPRequestHandler, status: int, head: dict[str, str] | None = None
) -> None:
    handler.send_response(status)
    for name, value in (head or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", "8")
    handler.end_headers()
    handler.wfile.write(b"<Error/>")


def status(code: int) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        send(handler, code)

    return answer


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/b/p?X=1"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def puts() -> Iterator[HttpPuts]:
    connections = PackConnections(ManualClock())
    try:
        yield HttpPuts(connections)
    finally:
        connections.close()


def test_all_pieces_arrive_with_exactly_the_headers_that_were_signed(
    puts: HttpPuts, store: Store
) -> None:
    assert puts.put(store.url, HEADERS, PIECES) == "v1"

    assert store.bodies == [DATA]
    sent = store.headers[0]
    assert {name: sent[name] for name in HEADERS} == HEADERS
    assert "transfer-encoding" not in sent
    assert set(sent) <= {*HEADERS, "host", "accept-encoding"}


def test_a_host_that_was_signed_is_sent_once(puts: HttpPuts, store: Store) -> None:
    puts.put(store.url, {**HEADERS, "host": "signed.example"}, PIECES)

    assert store.headers[0]["host"] == "signed.example"


def test_connections_are_used_again(puts: HttpPuts, store: Store) -> None:
    for _ in range(5):
        puts.put(store.url, HEADERS, PIECES)

    assert len(store.connections) == 1


@pytest.mark.parametrize("code", [500, 503, 429, 409, 302])
def test_what_may_pass_is_tried_again_and_then_given_up(
    puts: HttpPuts, store: Store, code: int
) -> None:
    store.answers = [status(code)] * (ATTEMPTS - 1)
    assert puts.put(store.url, HEADERS, PIECES) == "v1"

    store.answers = [status(code)] * ATTEMPTS
    with pytest.raises(UnavailableError) as error:
        puts.put(store.url, HEADERS, PIECES)

    assert error.value.reason is Reason.STORE_UNAVAILABLE
    # Whoever reads the message could else put the pack.
    assert "X=1" not in str(error.value)
    assert "X=1" not in str(error.value.metadata)


@pytest.mark.parametrize("code", [400, 401, 403])
def test_a_url_that_is_not_believed_is_not_tried_again(
    puts: HttpPuts, store: Store, code: int
) -> None:
    store.answers = [status(code)]

    with pytest.raises(UrlRefusedError):
        puts.put(store.url, HEADERS, PIECES)
    assert len(store.headers) == 1


def test_a_pack_that_is_there_is_told_apart(puts: HttpPuts, store: Store) -> None:
    store.answers = [status(412)]

    with pytest.raises(BlobExistsError):
        puts.put(store.url, HEADERS, PIECES)


def test_who_refuses_before_all_has_come_is_heard(puts: HttpPuts, store: Store) -> None:
    def early(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 412)
        handler.close_connection = True

    store.answers = [early] * ATTEMPTS

    with pytest.raises((BlobExistsError, UnavailableError)):
        puts.put(store.url, HEADERS, PIECES)


def test_an_answer_that_was_lost_is_asked_for_again(
    puts: HttpPuts, store: Store
) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.close_connection = True

    store.answers = [silent, status(412)]

    with pytest.raises(BlobExistsError):
        puts.put(store.url, HEADERS, PIECES)
    assert len(store.headers) == 2


def test_a_bucket_without_versions_is_not_believed(
    puts: HttpPuts, store: Store
) -> None:
    store.answers = [status(200)] * ATTEMPTS

    with pytest.raises(PreconditionError, match="not versioned") as caught:
        puts.put(store.url, HEADERS, PIECES)
    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert len(store.headers) == 1  # It is not tried again.
