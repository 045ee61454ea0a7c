# SPDX-License-Identifier: Apache-2.0
"""Packs over HTTP: exact, repeated where that helps, and never for ever."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server import bounded_http
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.pack_urls import HttpPacks
from strongroom_server.adapters.pack_urls import connections as by_url
from strongroom_server.adapters.pack_urls.connections import ATTEMPTS, PackConnections
from strongroom_server.ports import BlobNotFoundError, UrlRefusedError
from tests.support.clock import ManualClock

DATA = bytes(range(256)) * 8000
Answer = Callable[[BaseHTTPRequestHandler], None]


class Store:
    """A server that answers as the test says, first come first served."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[Answer] = []
        self.ranges: list[str] = []
        self.connections: set[object] = set()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.ranges.append(handler.headers.get("Range", ""))
        self.connections.add(handler.client_address)
        (self.answers.pop(0) if self.answers else serve)(handler)


def serve(handler: BaseHTTPRequestHandler) -> None:
    """Do what S3 does."""
    asked = handler.headers.get("Range", "")
    if not asked:
        send(handler, 200, DATA)
        return
    first, last = map(int, asked.removeprefix("bytes=").split("-"))
    if first >= len(DATA):
        send(handler, 416, b"")
        return
    last = min(last, len(DATA) - 1)
    head = {"Content-Range": f"bytes {first}-{last}/{len(DATA)}"}
    send(handler, 206, DATA[first : last + 1], head)


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    head: dict[str, str] | None = None,
    *,
    claimed: int | None = None,
) -> None:
    handler.send_response(status)
    for name, value in (head or {}).items():
        handler.send_header(name, value)
    handler.send_header(
        "Content-Length", str(len(body) if claimed is None else claimed)
    )
    handler.end_headers()
    handler.wfile.write(body)
    if claimed is not None:
        handler.close_connection = True


def status(code: int) -> Answer:
    return lambda handler: send(handler, code, b"<Error/>")


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Send the first half of what was asked for."""
    first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
    head = {"Content-Range": f"bytes {first}-{last}/{len(DATA)}"}
    size = last - first + 1
    send(handler, 206, DATA[first : first + size // 2], head, claimed=size)


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/b/p?X=1"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def packs() -> Iterator[HttpPacks]:
    connections = PackConnections(ManualClock())
    try:
        yield HttpPacks(connections)
    finally:
        connections.close()


def read(packs: HttpPacks, store: Store, offset: int, size: int) -> bytes:
    buffer = bytearray(size)
    with memoryview(buffer) as view:
        packs.read_into(store.url, offset_bytes=offset, buffer=view)
    return bytes(buffer)


def test_exactly_the_range_is_asked_for_and_read(
    packs: HttpPacks, store: Store
) -> None:
    assert read(packs, store, 1000, 5000) == DATA[1000:6000]
    assert store.ranges == ["bytes=1000-5999"]


def test_a_whole_pack_is_read(packs: HttpPacks, store: Store) -> None:
    buffer = memoryview(bytearray(len(DATA)))
    whole = packs.read_whole(store.url, lambda size: buffer[:size], max_bytes=len(DATA))
    assert whole == DATA
    with pytest.raises(BlobNotFoundError):
        packs.read_whole(store.url, lambda size: buffer[:size], max_bytes=len(DATA) - 1)


def test_connections_are_used_again(packs: HttpPacks, store: Store) -> None:
    for number in range(5):
        read(packs, store, number, 100)

    assert len(store.connections) == 1


def test_a_fetch_that_breaks_off_goes_on_where_it_ended(
    packs: HttpPacks, store: Store
) -> None:
    store.answers = [cut_short, status(500), cut_short]

    assert read(packs, store, 0, 4000) == DATA[:4000]
    assert store.ranges == [
        "bytes=0-3999",
        "bytes=2000-3999",
        "bytes=2000-3999",
        "bytes=3000-3999",
    ]


@pytest.mark.parametrize("code", [500, 503, 429, 302])
def test_what_may_pass_is_tried_again_and_then_given_up(
    packs: HttpPacks, store: Store, code: int
) -> None:
    store.answers = [status(code)] * 20

    with pytest.raises(UnavailableError) as error:
        read(packs, store, 0, 10)

    assert error.value.reason is Reason.STORE_UNAVAILABLE
    assert len(store.ranges) == ATTEMPTS
    # Whoever reads the message could else read the pack.
    assert "X=1" not in str(error.value)
    assert "X=1" not in str(error.value.metadata)


@pytest.mark.parametrize("code", [400, 401, 403])
def test_a_url_that_is_not_believed_is_not_tried_again(
    packs: HttpPacks, store: Store, code: int
) -> None:
    store.answers = [status(code)]

    with pytest.raises(UrlRefusedError):
        read(packs, store, 0, 10)
    assert len(store.ranges) == 1


@pytest.mark.parametrize("code", [404, 405, 416])
def test_a_pack_that_is_gone_is_told_apart(
    packs: HttpPacks, store: Store, code: int
) -> None:
    store.answers = [status(code)]

    with pytest.raises(BlobNotFoundError):
        read(packs, store, 0, 10)


def test_a_pack_that_ends_early_is_one_that_is_gone(
    packs: HttpPacks, store: Store
) -> None:
    with pytest.raises(BlobNotFoundError):
        read(packs, store, len(DATA) - 5, 10)


def test_an_answer_of_other_bytes_than_asked_for_is_refused(
    packs: HttpPacks, store: Store
) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 206, DATA[5:15], {"Content-Range": "bytes 5-14/99"})

    store.answers = [elsewhere, status(200)] * 10

    with pytest.raises(UnavailableError, match="ranges"):
        read(packs, store, 0, 10)


def test_bytes_that_drip_do_not_keep_a_fetch_waiting_for_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.sendall(b"HTTP/1.1 206 Partial Content\r\nX: ")
        while not stop.wait(0.02):
            handler.connection.sendall(b"x")

    def drip_body(handler: BaseHTTPRequestHandler) -> None:
        first, last = (0, len(DATA) - 1)
        head = {"Content-Range": f"bytes {first}-{last}/{len(DATA)}"}
        send(handler, 206, b"", head, claimed=len(DATA))
        while not stop.wait(0.02):
            handler.connection.sendall(b"x")

    monkeypatch.setattr(bounded_http, "LOOK_S", 0.05)
    monkeypatch.setattr(by_url, "PACK_TIMEOUT_S", 0.5)
    connections = PackConnections(SystemClock())
    packs = HttpPacks(connections)
    try:
        for answer in (drip, drip_body):
            store.answers = [answer] * ATTEMPTS
            with pytest.raises(UnavailableError):
                read(packs, store, 0, len(DATA))
        store.answers = []
        assert read(packs, store, 0, 100) == DATA[:100]
    finally:
        stop.set()
        connections.close()


def test_nobody_listening_is_told_as_such(packs: HttpPacks, store: Store) -> None:
    with pytest.raises(UnavailableError, match="ConnectionRefused"):
        packs.read_into(
            "http://127.0.0.1:9/x?y", offset_bytes=0, buffer=memoryview(bytearray(1))
        )


def test_authorities_that_cannot_be_read_are_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError) as error:
        PackConnections(ManualClock(), ca_file=tmp_path / "none.pem")

    assert error.value.reason is Reason.SETTING_INVALID


def test_after_a_pause_one_try_finds_that_the_store_has_hung_up_on_all(
    packs: HttpPacks, store: Store
) -> None:
    together = threading.Barrier(ATTEMPTS + 1)

    def at_once(handler: BaseHTTPRequestHandler) -> None:
        together.wait(10)
        serve(handler)
        handler.close_connection = True  # And says nothing of it.

    store.answers = [at_once] * (ATTEMPTS + 1)
    with ThreadPoolExecutor(ATTEMPTS + 1) as executor:
        list(executor.map(lambda at: read(packs, store, at, 100), range(ATTEMPTS + 1)))

    assert read(packs, store, 0, 100) == DATA[:100]
