# SPDX-License-Identifier: Apache-2.0
"""A server, a witness and Vault's audit log: real processes, and what they refuse."""

import json
import re
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from strongroom.cli.program import run
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import artifact_service_pb2_grpc as artifact_grpc
from strongroom_server.__main__ import main
from strongroom_server.core import layout
from strongroom_server.services.auditing import reconciling
from tests.rpc.programs import (
    DEVELOPER,
    PATIENCE_S,
    Program,
    program,
    running,
    write_settings,
)
from tests.support.stack import (
    BUCKET,
    BaoForTests,
    WeedForTests,
    running_bao,
    running_weed,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

NAME = "witness.test/w1"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as bao:
        yield bao


@pytest.fixture
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedForTests]:
    with running_weed(tmp_path_factory.mktemp("weed")) as weed:
        yield weed


@pytest.fixture
def settings(tmp_path: Path, bao: BaoForTests, weed: WeedForTests) -> Path:
    return write_settings(
        tmp_path,
        store={
            "endpoint": weed.endpoint,
            "credentials_file": str(weed.credentials_file),
        },
        vault={
            "address": bao.address,
            "ca_file": str(bao.ca_file),
            "role_id_file": str(bao.role_id_file),
            "secret_id_file": str(bao.secret_id_file),
        },
    )


@contextmanager
def serving(settings: Path) -> Iterator[tuple[Program, int]]:
    """Run a server until it has ended in order."""
    with program(settings) as server:
        yield server, server.wait_for("serving")["data_port"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0, server.lines


def make_project(port: int, bao: BaoForTests, name: str) -> None:
    """Make a change: it takes keys and signatures of Vault."""
    body = {"uri_sans": DEVELOPER, "ttl": "1h"}
    answer: Any = bao.client().write("pki/issue/strongroom-client", body)
    issued = answer["data"]
    credentials = grpc.ssl_channel_credentials(
        issued["ca_chain"][-1].encode(),
        issued["private_key"].encode(),
        issued["certificate"].encode(),
    )
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        stub = artifact_grpc.ArtifactServiceStub(channel)
        request = artifact_pb.CreateProjectRequest(
            project_id=name, request_id=str(uuid.uuid4())
        )
        stub.CreateProject(request, timeout=20)


def told(capsys: Capture, *arguments: str) -> str:
    """Run `strongroom audit …`; return what it prints."""
    code = run(["audit", *arguments])
    found = capsys.readouterr()
    assert code == 0, found.err
    return found.out


@contextmanager
def witnessing(folder: Path, log_keys: Path) -> Iterator[str]:
    """Run a witness; yields its address."""
    with running(
        *("witness", "serve", "--folder", str(folder), "--listen", "127.0.0.1:0"),
        *("--log-keys", str(log_keys)),
        home=folder.parent,
    ) as witness:
        yield f"http://127.0.0.1:{witness.wait_for('witnessing')['port']}"
        witness.process.send_signal(signal.SIGTERM)
        assert witness.process.wait(PATIENCE_S) == 0


def add_witness(settings: Path, url: str, keys: Path) -> Path:
    """Return settings beside the others, with a witness."""
    path = settings.with_name("witnessed.toml")
    section = f'\n[[witnesses]]\nurl = "{url}"\nkeys_file = "{keys}"\n'
    path.write_text(settings.read_text() + section)
    return path


def wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not any(path.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_log_is_witnessed_and_one_that_was_rewound_is_refused(
    settings: Path,
    bao: BaoForTests,
    weed: WeedForTests,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    with serving(settings) as (_, port):
        make_project(port, bao, "first")
    log_keys, keys, folder = (tmp_path / name for name in ("log", "keys", "witness"))
    log_keys.write_text(told(capsys, "keys", "--config", str(settings)))
    assert main(["witness", "init", "--folder", str(folder), "--name", NAME]) == 0
    keys.write_text(capsys.readouterr().out)
    assert main(["witness", "keys", "--folder", str(folder)]) == 0
    assert capsys.readouterr().out == keys.read_text()

    with witnessing(folder, log_keys) as url:
        config = add_witness(settings, url, keys)
        with serving(config) as (_, port):
            make_project(port, bao, "second")
            wait_for(folder / "logs")
            make_project(port, bao, "third")

        # What was signed last is cosigned, too: an auditor needs public keys alone.
        options = ("--config", str(config))
        online = json.loads(
            told(capsys, "verify", *options, "--witness", str(keys), "--json")
        )
        told(capsys, "export", str(tmp_path / "log-files"), *options, "--cosigned")
        offline = ("--keys", str(log_keys), "--witness", str(keys), "--json")
        told(capsys, "verify", "--folder", str(tmp_path / "log-files"), *offline)
        assert online["cosigned_count"] == online["entry_count"]

        _rewind(weed)
        assert run(["audit", "verify", *options]) == 14
        assert "its tail is cut off" in capsys.readouterr().err
        # Without the witness nobody would know.
        assert run(["audit", "verify", "--config", str(settings)]) == 0
        shutil.rmtree(tmp_path / "audit")
        refused(config, 14, f"which the witness {NAME} has cosigned")

    # And without a witness that answers a new server does not start.
    refused(config, 17, "WITNESS_UNAVAILABLE")


def refused(config: Path, code: int, text: str) -> None:
    """Expect that a server ends by itself and says why."""
    with program(config) as server:
        end = time.monotonic() + PATIENCE_S
        while server.process.poll() is None:
            assert time.monotonic() < end, server.lines
            time.sleep(0.1)
    assert server.process.returncode == code, server.lines
    assert text in str(server.lines)


def _rewind(weed: WeedForTests) -> None:
    """Remove the newest batch of the log, and all that was signed of it."""
    client = weed.client("admin")
    found = client.list_object_versions(Bucket=BUCKET, Prefix=layout.AUDIT)["Versions"]
    batches = [item for item in found if "/batches/" in item["Key"]]
    newest = max(item["Key"] for item in batches)
    for item in found:
        if item["Key"] == newest or "/batches/" not in item["Key"]:
            client.delete_object(
                Bucket=BUCKET, Key=item["Key"], VersionId=item["VersionId"]
            )
    client.close()


def test_all_that_vault_was_asked_for_is_explained_but_a_theft(
    settings: Path,
    bao: BaoForTests,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciling, "GRACE", timedelta(0))
    since = datetime.now(UTC).isoformat()
    command = (
        *("reconcile", "--config", str(settings), "--since", since, "--json"),
        *("--vault-log", str(bao.audit_file)),
    )
    with serving(settings) as (_, port):
        make_project(port, bao, "alpha")
        make_project(port, bao, "beta")
    with serving(settings) as (_, port):
        make_project(port, bao, "gamma")
        time.sleep(6)  # a checkpoint, signed while the server runs
        make_project(port, bao, "delta")

    first = json.loads(told(capsys, *command).splitlines()[-1])

    assert first["unexplained"] == first["missing"] == first["lost"] == 0
    assert first["explained"] > 10
    # A thief has the server's credential, and asks Vault without any server.
    thief = bao.server_client()
    thief.write("transit/sign/sr.log", {"input": "Zm9yZ2Vk"})
    with serving(settings) as (_, port):
        make_project(port, bao, "epsilon")

    code = run(["audit", *command])
    found = capsys.readouterr()

    assert code == 14
    lines = [json.loads(line) for line in found.out.splitlines()]
    stolen = [line for line in lines if line.get("kind") == "unexplained"]
    assert [line["path"] for line in stolen if "sign" in line["path"]] == [
        "sign/sr.log"
    ]
    # The other is the reader of the first comparison: it opened the store's key.
    assert [line["path"] for line in stolen if "sign" not in line["path"]] == [
        "decrypt/sr.store"
    ]
    assert "AUDIT_UNEXPLAINED" in found.err


def test_beside_a_development_stack_no_settings_are_named(
    settings: Path,
    bao: BaoForTests,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(settings) as (_, port):
        make_project(port, bao, "alpha")
        with pytest.raises(grpc.RpcError):
            make_project(port, bao, "alpha")
    monkeypatch.delenv("STRONGROOM_SERVER_CONFIG", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert run(["audit", "ls"]) == 2
    assert "--config server.toml" in capsys.readouterr().err
    (tmp_path / ".strongroom" / "server").mkdir(parents=True)
    (tmp_path / ".strongroom/server/server.toml").symlink_to(settings)

    listed = told(capsys, "ls", "--action", "project.create").splitlines()
    checked = told(capsys, "verify")

    assert len(listed) == 4
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ", line) for line in listed)
    (refusal,) = (line for line in listed if "ALREADY_EXISTS" in line)
    assert refusal.endswith("allow  ALREADY_EXISTS PROJECT_EXISTS")
    assert ": good" in checked
