# SPDX-License-Identifier: Apache-2.0
"""A sidecar beside a real stack: same bytes, no secrets, and central may go away."""

import hashlib
import os
import shutil
import signal
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

import strongroom
from strongroom.errors import (
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.v1 import grant_service_pb2 as grant_pb
from tests.support.cli import LiveStack
from tests.support.process_contents import memory_of
from tests.support.searching import Wanted, stored_objects, written_files
from tests.support.stack_secrets import Secrets

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MIB = 1024 * 1024
BIG = hashlib.shake_256(b"weights").digest(40 * MIB)
NAME = "demo/model"
#: Central tells at once; a loaded machine may be late.
PATIENCE_S = 20.0
#: Longer than a pack takes to the disk.
LOOK_S = 0.5


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """A stack with a sidecar. Its path is short: it holds a socket."""
    root = Path(tempfile.mkdtemp(prefix="sc-"))
    live = LiveStack(root / "s")
    live.check("dev", "sidecar", "--dir", str(live.root))
    try:
        yield live
    finally:
        live.down()
    shutil.rmtree(root)


def cached(stack: LiveStack) -> list[Path]:
    """Return the packs on the disk, once no more come: they come behind readers."""
    before: list[Path] | None = None
    for _ in range(round(PATIENCE_S / LOOK_S)):
        found = sorted((stack.root / "sidecar/cache/packs").glob("*/*"))
        if found == before and not any(path.name[0] == "." for path in found):
            return found
        before = found
        time.sleep(LOOK_S)
    message = f"packs still come to the disk after {PATIENCE_S:g} s"
    raise AssertionError(message)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "small").mkdir(parents=True)
    (folder / "big.bin").write_bytes(BIG)
    for number in range(200):
        (folder / f"small/{number:03d}").write_bytes(b"%d\n" % number * 100)
    return folder


def settings_of(stack: LiveStack) -> Path:
    return stack.root / "sidecar/client.toml"


@pytest.fixture
def client(stack: LiveStack) -> Iterator[strongroom.Client]:
    with strongroom.connect(config_file=settings_of(stack)) as made:
        yield made


def wait_for(what: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def error_of(call: Callable[[], object]) -> StrongroomError | None:
    try:
        call()
    except StrongroomError as error:
        return error
    return None


def test_the_same_bytes_come_through_the_sidecar(
    stack: LiveStack, tree: Path, tmp_path: Path, client: strongroom.Client
) -> None:
    config = str(settings_of(stack))
    # Pushing is passed on to central; the sidecar only reads by itself.
    stack.check("--config", config, "push", str(tree), NAME)
    for target in ("first", "from the disk"):
        stack.check("--config", config, "pull", NAME, str(tmp_path / target))
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                other = tmp_path / target / path.relative_to(tree)
                assert other.read_bytes() == path.read_bytes()
    with client.open(f"{NAME}/big.bin") as file:
        for begin, size in ((0, 1), (MIB - 1, 2), (16 * MIB - 9, 99), (39 * MIB, MIB)):
            file.seek(begin)
            assert file.read(size) == BIG[begin : begin + size]
    names = [file.path for file in client.list_files(NAME)]
    with client.reader(NAME) as reader:
        for name, content in zip(names, reader.read_many(names), strict=True):
            assert content == (tree / name).read_bytes()
        start = 16 * MIB - 9
        assert reader.read("big.bin", offset=start, length=99) == BIG[start:][:99]
    kept = cached(stack)
    assert sum(path.stat().st_size for path in kept) > len(BIG)


def test_neither_the_sidecar_nor_its_files_hold_a_secret_of_the_store(
    stack: LiveStack, tree: Path, client: strongroom.Client
) -> None:
    client.push(tree, "demo/secrets")
    assert client.read_bytes("demo/secrets/big.bin") == BIG
    pid = stack.pid("sidecar")
    own = "client/trainer/tls.key"
    wanted = [
        item
        for item in Secrets(stack).all(dict(stored_objects(stack)))
        # Its own key is its own, and no password of people is near.
        if own not in item.at_home
    ]
    assert {"the S3 secret key", "master key", "dedup key"} <= {
        item.name.split(" of ")[0] for item in wanted
    }

    memory = memory_of(pid)
    folder = [item for item in written_files(stack) if item[0].startswith("sidecar/")]
    settings = (stack.root / "sidecar/sidecar.toml").read_bytes()
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    everything = (settings, environ, memory, *(data for _, data in folder))
    found = [
        (number, item.name)
        for item in wanted
        for number, data in enumerate(everything)
        if item.value in data
    ]

    assert found == []
    # A search that finds nothing anywhere proves nothing: its own key is there.
    tables = tomllib.loads(settings.decode())
    line = Path(tables["identity"]["key_file"]).read_bytes().splitlines()[1]
    assert Wanted("its own key", line).value in memory
    assert b"S3_SECRET" not in environ
    assert b"secret_id" not in settings


def test_the_cache_holds_nothing_that_anybody_can_read(
    stack: LiveStack, client: strongroom.Client, tmp_path: Path
) -> None:
    marker = b"a marker that is easily found " * 1000
    source = tmp_path / "marked"
    source.write_bytes(marker + BIG[: 8 * MIB])
    client.push(source, "demo/marked")
    assert client.read_bytes("demo/marked/marked").startswith(marker)

    cached(stack)
    cache = [data for name, data in written_files(stack) if "sidecar/cache" in name]
    assert sum(map(len, cache)) > 8 * MIB
    assert not any(marker[:40] in data for data in cache)


def test_keys_of_chunks_are_not_for_who_is_behind_a_sidecar(stack: LiveStack) -> None:
    target = f"unix:{stack.root}/sidecar/sr.sock"
    request = grant_pb.OpenVersionRequest(
        name="projects/demo/artifacts/model/versions/1"
    )
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_stream(
            "/strongroom.v1.GrantService/OpenVersion",
            request_serializer=grant_pb.OpenVersionRequest.SerializeToString,
            response_deserializer=grant_pb.OpenVersionResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as error:
            list(call(request, timeout=10))

    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_only_the_owner_may_open_the_socket(stack: LiveStack) -> None:
    socket = stack.root / "sidecar/sr.sock"

    assert socket.stat().st_mode & 0o777 == 0o600


def test_errors_and_rights_are_centrals(
    stack: LiveStack, client: strongroom.Client
) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.read_bytes("demo/none/file")
    assert missing.value.reason in {
        Reason.ARTIFACT_NOT_FOUND,
        Reason.PROJECT_NOT_FOUND,
    }
    with pytest.raises(PermissionDeniedError) as denied:
        # The sidecar is `trainer`, a writer: it may not shred.
        client.shred_project("demo", reason="no")
    assert denied.value.audit_id
    assert client.server_info().principal.endswith("/sa/trainer/job/local")


def test_a_version_that_is_deleted_is_refused_at_once(
    stack: LiveStack, client: strongroom.Client, tmp_path: Path
) -> None:
    for content in (b"one" * MIB, b"two"):
        (tmp_path / "file").write_bytes(content)
        client.push(tmp_path / "file", "demo/gone")
    version = client.show("demo/gone@1")
    [file] = client.list_files("demo/gone@1")

    def read() -> bytes:
        # By its number, and without asking central: only the sidecar can refuse it.
        with client.open_file(version, file) as opened:
            return opened.read(3)

    assert read() == b"one"
    stack.check("delete", "demo/gone@1", "--reason", "why")
    wait_for(lambda: isinstance(error_of(read), PreconditionError))
    error = error_of(read)
    assert error is not None
    assert error.reason is Reason.VERSION_DELETED
    assert client.read_bytes("demo/gone@2/file") == b"two"
    stack.check("undelete", "demo/gone@1")
    wait_for(lambda: error_of(read) is None)


def test_what_is_damaged_in_the_cache_is_fetched_anew(
    stack: LiveStack, client: strongroom.Client, tree: Path
) -> None:
    client.push(tree, "demo/damaged")
    assert client.read_bytes("demo/damaged/big.bin") == BIG
    for path in cached(stack):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    assert client.read_bytes("demo/damaged/big.bin") == BIG


def test_the_cache_may_be_deleted_at_any_time(
    stack: LiveStack, client: strongroom.Client, tree: Path
) -> None:
    client.push(tree, "demo/emptied")
    assert client.read_bytes("demo/emptied/big.bin") == BIG
    cached(stack)  # Or what is being written would keep the folder from going.
    shutil.rmtree(stack.root / "sidecar/cache")

    assert client.read_bytes("demo/emptied/big.bin") == BIG


def test_a_sidecar_that_is_killed_comes_back_with_what_it_had(
    stack: LiveStack, client: strongroom.Client, tree: Path
) -> None:
    client.push(tree, "demo/killed")
    assert client.read_bytes("demo/killed/big.bin") == BIG
    os.kill(stack.pid("sidecar"), signal.SIGKILL)
    with pytest.raises(UnavailableError, match="sidecar"):
        client.server_info()
    stack.up()

    assert client.read_bytes("demo/killed/big.bin") == BIG


def test_what_is_open_goes_on_while_central_is_away(
    stack: LiveStack, client: strongroom.Client, tree: Path
) -> None:
    client.push(tree, "demo/away")
    with client.open("demo/away/big.bin") as file:
        assert file.read(MIB) == BIG[:MIB]
        os.kill(stack.pid("server"), signal.SIGKILL)
        try:
            file.seek(0)
            assert file.read() == BIG
            began_s = time.monotonic()
            with pytest.raises(UnavailableError) as error:
                client.read_bytes("demo/away/small/001")
            assert time.monotonic() - began_s < 90
            assert "central" in error.value.message
            assert "lease" in error.value.hint
        finally:
            stack.up()
    wait_for(lambda: error_of(lambda: client.read_bytes("demo/away/small/001")) is None)


def test_a_sidecar_stops_soon_and_leaves_no_socket(stack: LiveStack) -> None:
    began_s = time.monotonic()
    pid = stack.pid("sidecar")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: stack.processes()["sidecar"]["pid"] is None)

    assert time.monotonic() - began_s < 15
    assert not (stack.root / "sidecar/sr.sock").exists()
    assert "Traceback" not in (stack.root / "logs/sidecar.log").read_text()
    stack.up()
