# SPDX-License-Identifier: Apache-2.0
"""A trainer beside a sidecar holds no credential and no key, wherever one looks.

The trainer reads and writes as training does, through its sidecar. Its environment,
its arguments, every file that it opened, its open descriptors and its memory are
searched for everything that opens the store: credentials of S3 and Vault, tokens,
private keys, keys of domains, wrapped ones too, the key of each chunk that it read
or wrote, and signed addresses of packs.
"""

import base64
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from strongroom.v1 import grant_service_pb2 as grant_pb
from strongroom_server.core import canonical
from tests.support.cli import LiveStack
from tests.support.process_contents import (
    INSTALLED,
    memory_of,
    places_of,
    regions,
)
from tests.support.searching import (
    Place,
    Wanted,
    search,
    stored_objects,
    written_files,
)
from tests.support.stack_secrets import Secrets

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

NAME = "demo/trained"
PROGRAM = Path(__file__).with_name("trainer_program.py")
#: Two chunks.
BIG_BYTES = 18 * 1024 * 1024
#: Fewer bytes are found by chance.
_LEAST_BYTES = 8
#: What every signed address has in it, and nothing else.
SIGNED = Wanted("a signed address", b"X-Amz-Signature" + b"=")


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """A stack with a sidecar. Its path is short: it holds a socket."""
    root = Path(tempfile.mkdtemp(prefix="tr-"))
    live = LiveStack(root / "s")
    live.check("dev", "sidecar", "--dir", str(live.root))
    try:
        yield live
    finally:
        live.down()
    shutil.rmtree(root)


@dataclass
class Trainer:
    """The trainer, while it is in the middle of reading and writing."""

    process: subprocess.Popen[str]
    opened: list[str]
    planted: str


@contextmanager
def training(stack: LiveStack, folder: Path) -> Iterator[Trainer]:
    """Run the trainer until it has done everything, and hold it there."""
    config = stack.root / "sidecar/client.toml"
    folder.mkdir()
    planted = secrets.token_hex(20)
    with subprocess.Popen(
        [sys.executable, PROGRAM, config, NAME, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # What a pod has, and a secret that the search must find.
        env={"PATH": "/usr/bin", "PLANTED": planted},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{planted}\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            yield Trainer(process, told["opened"], planted)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def trainer(
    stack: LiveStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trainer]:
    tree = tmp_path_factory.mktemp("tree")
    (tree / "big.bin").write_bytes(secrets.token_bytes(BIG_BYTES))
    for number in range(20):
        (tree / f"{number:02d}").write_bytes(b"%d\n" % number * 100)
    stack.check("push", str(tree), NAME)
    with training(stack, tmp_path_factory.mktemp("work") / "trainer") as made:
        yield made


def sidecar_secrets(stack: LiveStack) -> dict[str, Path]:
    """Return the files by which the sidecar shows who it is."""
    tables = tomllib.loads((stack.root / "sidecar/sidecar.toml").read_text())
    return {
        kind: Path(tables["identity"][f"{kind}_file"]) for kind in ("ca", "cert", "key")
    }


def chunk_keys(stack: LiveStack, name: str) -> list[Wanted]:
    """Return the key of each chunk of a version, asking as the sidecar does."""
    files = sidecar_secrets(stack)
    tables = tomllib.loads((stack.root / "sidecar/sidecar.toml").read_text())
    credentials = grpc.ssl_channel_credentials(
        files["ca"].read_bytes(), files["key"].read_bytes(), files["cert"].read_bytes()
    )
    project, artifact = name.split("/")
    request = grant_pb.OpenVersionRequest(
        name=f"projects/{project}/artifacts/{artifact}/versions/1"
    )
    with grpc.secure_channel(tables["central"]["endpoint"], credentials) as channel:
        call = channel.unary_stream(
            "/strongroom.v1.GrantService/OpenVersion",
            request_serializer=grant_pb.OpenVersionRequest.SerializeToString,
            response_deserializer=grant_pb.OpenVersionResponse.FromString,
        )
        keys = {
            chunk.key
            for response in call(request, timeout=30)
            for file in response.page.files
            for chunk in file.chunks
        }
    return [Wanted(f"the key of a chunk of {name}", key) for key in keys]


def wrapped_keys(objects: dict[str, bytes]) -> Iterator[Wanted]:
    """Yield the keys of domains as they are stored: wrapped by Vault."""
    for key, data in objects.items():
        if key.startswith("keys/"):
            slot = canonical.decode_object(data.partition(b"\n")[2], 2**20)
            for kind in ("wrapped_dmk", "sealed_ddk"):
                yield Wanted(f"{kind} of {key}", slot[kind].encode())


def access_keys(stack: LiveStack) -> Iterator[Wanted]:
    """Yield the public halves of credentials of S3: no business of a trainer's."""
    for path in sorted((stack.root / "seaweed").glob("*.json")):
        credentials = json.loads(path.read_text())
        if "access_key" in credentials:
            yield Wanted(f"access key of {path}", credentials["access_key"].encode())


@pytest.fixture(scope="module")
def wanted(stack: LiveStack, trainer: Trainer) -> list[Wanted]:
    objects = dict(stored_objects(stack))
    chunks = [
        key
        for name in (NAME, f"{NAME}-pushed", f"{NAME}-drafted")
        for key in chunk_keys(stack, name)
    ]
    found = [
        *Secrets(stack).all(objects),
        *wrapped_keys(objects),
        *access_keys(stack),
        *chunks,
        SIGNED,
    ]
    kinds = {item.name.split(" of ")[0] for item in found}
    assert len(chunks) >= 3
    assert kinds >= {
        "the S3 secret key", "access key", "a token", "the secret id", "master key",
        "dedup key", "wrapped_dmk", "sealed_ddk", "the key",
    }  # fmt: skip
    # None of them is at home here, not even what shows who the sidecar is.
    return [Wanted(item.name, item.value) for item in found]


def is_in(memory: bytes, value: bytes) -> bool:
    """Tell whether memory has something, as it is or as programs write it in text."""
    spelt = {value, value.hex().encode()}
    for shift in range(3):
        # At each alignment, without the uncertain ends.
        spelt.add(base64.b64encode(bytes(shift) + value)[shift + 1 : -4])
    return any(text in memory for text in spelt if len(text) >= _LEAST_BYTES)


def opened_files(trainer: Trainer) -> Iterator[Place]:
    """Yield what the trainer opened and is still there; not what was installed."""
    for name in trainer.opened:
        path = Path(name)
        if path.is_file() and not name.startswith(("/proc/", *INSTALLED)):
            yield f"its file {name}", path.read_bytes()


def test_a_trainer_holds_neither_credential_nor_key(
    stack: LiveStack, trainer: Trainer, wanted: list[Wanted]
) -> None:
    pid = trainer.process.pid
    places = [*places_of(pid), *opened_files(trainer)]
    memory = dict(places)["its memory"]

    others = [place for place in places if place[0] != "its memory"]
    assert search(others, wanted) == []
    assert [item.name for item in wanted if is_in(memory, item.value)] == []
    # What was looked into is what there is.
    names = {name for name, _ in places}
    config = str(stack.root / "sidecar/client.toml")
    assert names >= {"its environ", "its cmdline", "its memory", f"its file {config}"}
    assert sum("memfd:" in region.of for region in regions(pid)) > 1
    assert len(memory) > BIG_BYTES


def test_the_search_finds_in_a_trainer_what_was_planted_there(
    trainer: Trainer,
) -> None:
    planted = Wanted("planted", trainer.planted.encode())

    places = dict(places_of(trainer.process.pid))

    found = {name for name, _ in search(places.items(), [planted])}
    assert is_in(places["its memory"], planted.value)
    assert {"its environ", "its memory"} <= found
    assert any("/removed" in name for name in found)
    assert any("memfd:planted" in name for name in found)
    for text in (b"in memory ", b"in a memfd "):
        assert text + planted.value in places["its memory"]


def test_the_search_finds_keys_where_they_are(
    stack: LiveStack, trainer: Trainer, wanted: list[Wanted]
) -> None:
    """A search that finds nothing anywhere proves nothing."""
    memory = memory_of(stack.pid("sidecar"))
    files = [
        (name, data)
        for name, data in written_files(stack)
        if name.startswith(("seaweed/", "vault/")) and name.endswith((".json", "_id"))
    ]

    in_memory = {item.name for item in wanted if item.value in memory}
    in_files = {name for _, name in search(files, wanted)}

    # The sidecar has the keys of what it reads, and nothing that is stored for good.
    assert f"the key of a chunk of {NAME}" in in_memory
    assert SIGNED.name in in_memory
    assert any(name.startswith("the S3 secret key") for name in in_files)
    assert any(name.startswith("the secret id") for name in in_files)
    assert not {name for name in in_memory if "S3 secret" in name}
