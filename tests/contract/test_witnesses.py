# SPDX-License-Identifier: Apache-2.0
"""Witnesses in memory, in files and over HTTP: the same answers, and refusals."""

import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from strongroom.errors import (
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.adapters.memory_witness import (
    MemoryCosigningKeys,
    MemoryWitnessState,
)
from strongroom_server.adapters.witness_files import (
    FileCosigningKeys,
    FileWitnessState,
    open_witness_state,
    read_cosigning_keys,
)
from strongroom_server.adapters.witness_http import HttpWitness
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
    def keys(self, folder: Path) -> FileCosigningKeys:
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
    def keys(self, folder: Path) -> FileCosigningKeys:
        return read_cosigning_keys(folder)

    @pytest.fixture
    def state(
        self, folder: Path, keys: FileCosigningKeys
    ) -> Iterator[FileWitnessState]:
        with open_witness_state(folder, keys.keys, [ORIGIN]) as state:
            yield state


class TestDirectWitness(WitnessSuite):
    @pytest.fixture
    def witness(self, signer: MemoryCheckpointSigner) -> DirectWitness:
        return DirectWitness({ORIGIN: signer.keys(ORIGIN)}, NAME)


class TestHttpWitness(WitnessSuite):
    @pytest.fixture
    def witness(self, port: int, folder: Path) -> Iterator[HttpWitness]:
        with closing(http_witness(port, folder)) as witness:
            yield witness


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
        with closing(http_witness(port, folder)) as witness:
            sent = submission(signer, 0, 9, other=other)
            return witness.add_checkpoint(sent).status

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
        with closing(http_witness(port, folder)) as witness:
            assert witness.newest(ORIGIN) is None


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
        with closing(http_witness(port, folder, "https", files["ca"])) as witness:
            answer = witness.add_checkpoint(submission(signer, 0, 5))
            assert answer.status is WitnessStatus.COSIGNED
        with (
            closing(http_witness(port, folder, "https", files["other"])) as other,
            pytest.raises(UnavailableError, match="SSLError"),
        ):
            other.newest(ORIGIN)
        with (
            closing(http_witness(port, folder)) as plain,
            pytest.raises(UnavailableError, match="ConnectionError"),
        ):
            plain.newest(ORIGIN)


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
        (b"nonsense\r\n\r\n", "ConnectionError"),
        (b"", "ConnectionError"),
    ],
)
def test_what_no_witness_would_answer_is_an_error(
    data: bytes, match: str, folder: Path, signer: MemoryCheckpointSigner
) -> None:
    listener, port = answering(data)
    with (
        listener,
        closing(http_witness(port, folder)) as witness,
        pytest.raises(UnavailableError, match=match) as error,
    ):
        witness.add_checkpoint(submission(signer, 0, 5))
    assert error.value.reason is Reason.WITNESS_UNAVAILABLE


def test_a_witness_that_is_not_there_is_unavailable(folder: Path) -> None:
    with (
        closing(http_witness(1, folder)) as witness,
        pytest.raises(UnavailableError, match="cannot be asked"),
    ):
        witness.newest(ORIGIN)
