# SPDX-License-Identifier: Apache-2.0
"""Witnesses in memory, in files and over HTTP: the same answers, and refusals."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from strongroom.errors import (
    Reason,
    UnavailableError,
)
from strongroom_server.adapters import witness_http
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.adapters.memory_witness import (
    MemoryCosigningKeys,
    MemoryWitnessState,
)
from strongroom_server.adapters.witness_files import (
    FileWitnessState,
    open_witness_state,
    read_cosigning_keys,
)
from strongroom_server.adapters.witness_http import HttpWitness
from strongroom_server.core.cosigning_pair import CosigningPair
from strongroom_server.core.witness import (
    MAX_SUBMISSION_BYTES,
    WitnessStatus,
    checkpoint_path,
    format_submission,
)
from strongroom_server.rpc import witness_endpoint
from strongroom_server.witness_program import WitnessOptions, running_witness
from tests.contract.witness_suites import (
    NAME,
    ORIGIN,
    CosigningKeysSuite,
    WitnessStateSuite,
    WitnessSuite,
    checkpoint,
    submission,
)
from tests.contract.witness_world import http_witness, witness_options
from tests.rpc.authority import Authority
from tests.support.witnesses import DirectWitness


@pytest.fixture
def signer() -> MemoryCheckpointSigner:
    return MemoryCheckpointSigner(entropy=SystemEntropy())


@pytest.fixture
def options(tmp_path: Path, signer: MemoryCheckpointSigner) -> WitnessOptions:
    return witness_options(tmp_path, signer)


@pytest.fixture
def folder(options: WitnessOptions) -> Path:
    return options.folder


@pytest.fixture
def port(options: WitnessOptions) -> Iterator[int]:
    with running_witness(options) as port:
        yield port


class TestMemoryCosigningKeys(CosigningKeysSuite):
    @pytest.fixture
    def keys(self) -> MemoryCosigningKeys:
        return MemoryCosigningKeys(NAME, entropy=SystemEntropy())


class TestFileCosigningKeys(CosigningKeysSuite):
    @pytest.fixture
    def keys(self, folder: Path) -> CosigningPair:
        return read_cosigning_keys(folder)


class TestMemoryWitnessState(WitnessStateSuite):
    @pytest.fixture
    def keys(self) -> MemoryCosigningKeys:
        return MemoryCosigningKeys(NAME, entropy=SystemEntropy())

    @pytest.fixture
    def state(self) -> MemoryWitnessState:
        return MemoryWitnessState()


class TestFileWitnessState(WitnessStateSuite):
    @pytest.fixture
    def keys(self, folder: Path) -> CosigningPair:
        return read_cosigning_keys(folder)

    @pytest.fixture
    def state(self, folder: Path, keys: CosigningPair) -> Iterator[FileWitnessState]:
        with open_witness_state(folder, keys.keys, [ORIGIN]) as state:
            yield state


class TestDirectWitness(WitnessSuite):
    @pytest.fixture
    def witness(self, signer: MemoryCheckpointSigner) -> DirectWitness:
        return DirectWitness({ORIGIN: signer.keys(ORIGIN)}, NAME)


class TestHttpWitness(WitnessSuite):
    @pytest.fixture
    def witness(self, port: int, folder: Path) -> HttpWitness:
        return http_witness(port, folder)


# Over the wire --------------------------------------------------------------------


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes as they are; return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        found = b""
        while piece := peer.recv(65536):
            found += piece
    return found


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /add-checkpoint HTTP/1.1\r\n\r\n", 411),
        ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 411),
        ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 411),
        (
            (
                "POST /add-checkpoint HTTP/1.1\r\n"
                f"Content-Length: {MAX_SUBMISSION_BYTES + 1}\r\n\r\n"
            ),
            413,
        ),
        ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 9\r\n\r\nold 0\n", 400),
        ("POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        ("POST /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404),
        ("GET /add-checkpoint HTTP/1.1\r\n\r\n", 404),
        ("GET /../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (f"GET /{'0' * 64}/checkpoint HTTP/1.1\r\n\r\n", 404),
        ("PUT /add-checkpoint HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 501),
        ("nonsense\r\n\r\n", 400),
        (f"GET /{'a' * 70_000} HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_bad_requests_are_answered_and_end(port: int, head: str, status: int) -> None:
    found = exchange(port, head.encode())

    assert f" {status} ".encode() in found.partition(b"\r\n")[0] or (
        status == 400 and b"400" in found
    )


def test_answers_are_as_the_specification_has_them(
    port: int, folder: Path, signer: MemoryCheckpointSigner
) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as peer:
        body = format_submission(submission(signer, 0, 5))
        peer.request("POST", "/add-checkpoint", body)
        cosigned = peer.getresponse()
        lines = cosigned.read()
        # The same connection goes on.
        peer.request("POST", "/add-checkpoint", body)
        conflict = peer.getresponse()
        told = conflict.read()
        peer.request("GET", checkpoint_path(ORIGIN))
        shown = peer.getresponse().read()

    assert cosigned.status == 200
    assert [line[:4] for line in lines.splitlines()] == ["\N{EM DASH} ".encode()] * 2
    assert (conflict.status, conflict.getheader("Content-Type"), told) == (
        409, "text/x.tlog.size", b"5\n",
    )  # fmt: skip
    assert shown.startswith(checkpoint(5).body)
    assert lines in shown


def test_of_two_that_come_at_once_one_is_cosigned(
    port: int, folder: Path, signer: MemoryCheckpointSigner
) -> None:
    """Split views of one size, raced: never are both signed."""

    def ask(*, other: bool) -> WitnessStatus:
        sent = submission(signer, 0, 9, other=other)
        return http_witness(port, folder).add_checkpoint(sent).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda turn: ask(other=turn % 2 == 0), range(16)))

    assert statuses.count(WitnessStatus.COSIGNED) == 1
    assert statuses.count(WitnessStatus.CONFLICT) == 15


def test_connections_are_bounded_and_idle_ones_end(
    port: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_endpoint, "LIFE_S", 1.0)
    with ExitStack() as stack:
        for _ in range(witness_endpoint.MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        last = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        assert last.recv(1) == b""  # closed at once
        # A second later those that sent nothing are gone, and there is room again.
        ended = threading.Event()
        ended.wait(1.5)
        assert http_witness(port, folder).newest(ORIGIN) is None


def test_over_tls_only_the_witnesss_authority_is_believed(
    options: WitnessOptions,
    folder: Path,
    tmp_path: Path,
    signer: MemoryCheckpointSigner,
) -> None:
    authority, stranger = Authority(), Authority()
    issued = authority.issue("ip:127.0.0.1")
    files = {name: tmp_path / name for name in ("cert", "key", "ca", "other")}
    contents = (
        issued.chain_pem, issued.private_key_pem, authority.ca_pem, stranger.ca_pem,
    )  # fmt: skip
    for name, data in zip(files, contents, strict=True):
        files[name].write_bytes(data)
    secured = WitnessOptions(
        folder=folder, listen="127.0.0.1:0", log_keys=options.log_keys,
        tls_cert=files["cert"], tls_key=files["key"],
    )  # fmt: skip
    with running_witness(secured) as port:
        witness = http_witness(port, folder, "https", files["ca"])
        answer = witness.add_checkpoint(submission(signer, 0, 5))
        assert answer.status is WitnessStatus.COSIGNED
        other = http_witness(port, folder, "https", files["other"])
        with pytest.raises(UnavailableError, match="its certificate is not good"):
            other.newest(ORIGIN)
        plain = http_witness(port, folder)
        with pytest.raises(UnavailableError, match="cannot be asked"):
            plain.newest(ORIGIN)
        missing = http_witness(port, folder, "https", tmp_path / "missing")
        with pytest.raises(UnavailableError, match="No such file"):
            missing.newest(ORIGIN)


# Servers' side --------------------------------------------------------------------


def answering(data: bytes) -> tuple[socket.socket, int]:
    """Answer every connection with the same bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                peer.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return listener, listener.getsockname()[1]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "status 500"),
        (
            (
                b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\n"
                b"Content-Length: 3\r\n\r\nabc"
            ),
            "cannot be understood",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70000, "long"),
        (b"nonsense\r\n\r\n", "BadStatusLine"),
        (b"", "RemoteDisconnected"),
    ],
)
def test_what_no_witness_would_answer_is_an_error(
    data: bytes, match: str, folder: Path, signer: MemoryCheckpointSigner
) -> None:
    listener, port = answering(data)
    with listener, pytest.raises(UnavailableError, match=match) as error:
        http_witness(port, folder).add_checkpoint(submission(signer, 0, 5))
    assert error.value.reason is Reason.WITNESS_UNAVAILABLE


def test_a_witness_that_is_not_there_is_unavailable(folder: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be asked"):
        http_witness(1, folder).newest(ORIGIN)


@contextmanager
def dripping(first: bytes) -> Iterator[int]:
    """Answer with what begins well and goes on, a byte at a time; yield the port."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            peer.recv(65536)
            peer.sendall(first)
            while not stop.wait(0.05):
                peer.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nX-Filler: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["status", "header", "body", "body without a length"],
)
def test_a_witness_that_answers_a_byte_at_a_time_is_hung_up_on(
    first: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep the others from being asked, and never have failed."""
    monkeypatch.setattr(witness_http, "TIMEOUT_S", 0.5)
    with dripping(first) as port:
        witness, begun = http_witness(port, folder), time.monotonic()

        with pytest.raises(UnavailableError, match="it took too long"):
            witness.newest(ORIGIN)

        assert time.monotonic() - begun < 8


def test_a_name_that_nobody_resolves_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_http, "TIMEOUT_S", 0.2)
    answered = threading.Event()
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: answered.wait(60) and []
    )
    try:
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="it took too long"):
            http_witness(1, folder).newest(ORIGIN)
        assert time.monotonic() - begun < 8
    finally:
        answered.set()
