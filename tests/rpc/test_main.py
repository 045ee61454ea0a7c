# SPDX-License-Identifier: Apache-2.0
"""The program `strongroom-server`: its offline commands, and a whole life of it."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import maintenance_service_pb2_grpc as maintenance_grpc
from strongroom_server.__main__ import main
from strongroom_server.adapters.audit_log import open_audit_log
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.core.audit import AuditEvent, Phase
from strongroom_server.core.vault_policy import Names, server_policy
from strongroom_server.followed_file import LOOK_S
from tests.rpc.programs import (
    ASSIGNMENTS,
    DEVELOPER,
    OWNER,
    PATIENCE_S,
    program,
    write_settings,
)
from tests.support.stack import (
    BUCKET,
    BaoForTests,
    WeedForTests,
    running_bao,
    running_weed,
)

# Offline -------------------------------------------------------------------


def test_the_policy_for_vault_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vault", "policy", "--mount", "keys"]) == 0

    assert capsys.readouterr().out == server_policy(Names(mount="keys"))


def test_settings_are_shown_as_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_settings(tmp_path)

    assert main(["config", "show", "--config", str(path)]) == 0

    shown = capsys.readouterr().out
    assert f'bucket = "{BUCKET}"' in shown
    assert "max_calls = 64" in shown
    assert main(["config", "check", "--config", str(path)]) == 0


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("server.toml", "[store", "cannot be read"),
        ("assignments.toml", "[[assignments", "are not TOML"),
        ("assignments.toml", ASSIGNMENTS.replace("owner", "pilot"), "'pilot'"),
        ("policies/owner.cedar", "permit (", "policies/owner.cedar: it is not Cedar"),
        (
            "policies/owner.cedar",
            OWNER.replace("action", 'action == Action::"fly"'),
            "fly",
        ),
    ],
)
def test_bad_settings_are_told_in_three_lines(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    told: str,
) -> None:
    path = write_settings(tmp_path)
    (tmp_path / name).write_text(content)

    code = main(["config", "check", "--config", str(path)])

    what, why, what_next = capsys.readouterr().err.splitlines()
    assert code != 0
    assert told in what
    assert "SETTING_INVALID" in why
    assert "next:" in what_next


def test_the_audit_log_is_checked_offline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_settings(tmp_path)
    event = AuditEvent(
        "2026-11-01T00:00:00Z", Phase.CALL, "0" * 32, "", "", "/m", "", "", "deny",
        "default", "OK", "", "0" * 32,
    )  # fmt: skip
    with open_audit_log(
        tmp_path / "audit", clock=SystemClock(), entropy=SystemEntropy()
    ) as log:
        for _ in range(3):
            log.append(event)

    assert main(["audit", "verify", "--config", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["event_count"] == 3

    lines = tmp_path / "audit" / "audit.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b'"deny"', b'"allow"', 1))
    assert main(["audit", "verify", "--config", str(path)]) == 14
    assert "AUDIT_CORRUPT" in capsys.readouterr().err


# A whole life --------------------------------------------------------------


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as bao:
        yield bao


@pytest.fixture(scope="module")
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


def readiness(port: int) -> int:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="readiness")
        answer: int = stub.Check(request, timeout=10).status
        return answer


def server_info(port: int, bao: BaoForTests) -> maintenance_pb.ServerInfo:
    body = {"uri_sans": DEVELOPER, "ttl": "1h"}
    answer: Any = bao.client().write("pki/issue/strongroom-client", body)
    issued = answer["data"]
    credentials = grpc.ssl_channel_credentials(
        issued["ca_chain"][-1].encode(),
        issued["private_key"].encode(),
        issued["certificate"].encode(),
    )
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        stub = maintenance_grpc.MaintenanceServiceStub(channel)
        return stub.GetServerInfo(maintenance_pb.GetServerInfoRequest(), timeout=10)


@pytest.mark.e2e
def test_a_server_lives_through_a_sealed_vault_and_ends_in_order(
    settings: Path, bao: BaoForTests
) -> None:
    with program(settings) as running:
        serving = running.wait_for("serving")
        running.wait_for("readiness", ready=True)
        ready_state = readiness(serving["health_port"])
        info = server_info(serving["data_port"], bao)

        bao.seal()
        failing = running.wait_for("readiness", ready=False)["failing"]
        sealed_state = readiness(serving["health_port"])
        bao.unseal()
        running.wait_for("readiness", ready=True)

        running.process.send_signal(signal.SIGTERM)
        code = running.process.wait(PATIENCE_S)

    assert info.principal == DEVELOPER
    assert info.tls_version == "TLSv1.3"
    assert failing == {"vault": "KEY_SERVICE_SEALED"}
    assert ready_state == health_pb2.HealthCheckResponse.SERVING
    assert sealed_state == health_pb2.HealthCheckResponse.NOT_SERVING
    assert code == 0
    assert {line["event"] for line in running.lines} <= {
        *("access_loaded", "call", "stopping"),
    }
    assert main(["audit", "verify", "--config", str(settings)]) == 0
    spans = (settings.parent / "spans.jsonl").read_text()
    assert "strongroom.v1.MaintenanceService/GetServerInfo" in spans


@pytest.mark.e2e
def test_access_files_are_followed_and_bad_ones_are_refused(
    settings: Path, bao: BaoForTests
) -> None:
    assignments = settings.parent / "assignments.toml"
    with program(settings) as running:
        port = running.wait_for("serving")["data_port"]
        first = running.wait_for("access_loaded")
        assignments.write_text("[[")
        refused = running.wait_for("access_refused")
        server_info(port, bao)
        assignments.write_text("")
        second = running.wait_for("access_loaded")
        with pytest.raises(grpc.RpcError, match="denied on server"):
            server_info(port, bao)

    assert refused["file"] == str(assignments)
    assert first["digest"] != second["digest"]


@pytest.mark.e2e
def test_who_is_revoked_is_refused_and_bad_revocations_change_nothing(
    settings: Path, bao: BaoForTests
) -> None:
    revoked = settings.parent / "revoked"
    revoked.write_text("# nobody yet\n")
    rules = f'revoked_file = "{revoked}"\npq = "require"\nmax_lifetime_s = 7200\n'
    settings.write_text(
        settings.read_text().replace("[identity]\n", f"[identity]\n{rules}")
    )
    with program(settings) as running:
        port = running.wait_for("serving")["data_port"]
        info = server_info(port, bao)
        revoked.write_text(f"{DEVELOPER}\n")
        time.sleep(LOOK_S)
        with pytest.raises(grpc.RpcError, match="is revoked"):
            server_info(port, bao)
        running.wait_for("revocations", principals=1)
        revoked.write_text("everybody\n")
        time.sleep(LOOK_S)
        with pytest.raises(grpc.RpcError, match="is revoked"):
            server_info(port, bao)
        running.wait_for("revocations_refused")
        revoked.write_text("")
        time.sleep(LOOK_S)
        server_info(port, bao)

    assert info.key_exchange == "X25519MLKEM768"


@pytest.mark.e2e
def test_a_running_server_tells_no_secret_and_dumps_no_core(
    settings: Path, bao: BaoForTests, weed: WeedForTests
) -> None:
    secrets = [
        bao.secret_id_file.read_text().strip(),
        weed.strongroom.secret_key,
        bao.root_token,
    ]
    with program(settings) as running:
        serving = running.wait_for("serving")
        server_info(serving["data_port"], bao)
        proc = Path(f"/proc/{running.process.pid}")
        command = (proc / "cmdline").read_text()
        limits = (proc / "limits").read_text()
        owner = (proc / "environ").stat().st_uid
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(PATIENCE_S) == 0

    core = next(line for line in limits.splitlines() if line.startswith("Max core"))
    assert core.split()[4:6] == ["0", "0"]
    assert owner == 0
    written = [
        path.read_bytes()
        for path in settings.parent.rglob("*")
        if path.is_file() and path.name != "server.toml"
    ]
    everything = b"".join(written) + command.encode() + str(running.lines).encode()
    for secret in secrets:
        assert secret.encode() not in everything


@pytest.mark.e2e
def test_a_server_without_its_store_ends_with_what_is_wrong(tmp_path: Path) -> None:
    settings = write_settings(tmp_path)
    (tmp_path / "s3.json").write_text("{}")
    with program(settings) as running:
        code = running.process.wait(PATIENCE_S)

    told = "".join(line["event"] for line in running.lines)
    assert code == 16
    assert "access_key and secret_key" in told
    assert "Traceback" not in told


@pytest.mark.e2e
def test_a_server_whose_port_is_taken_ends_with_what_is_wrong(
    settings: Path, weed: WeedForTests
) -> None:
    taken = weed.endpoint.removeprefix("http://")
    text = settings.read_text().replace('health = "127.0.0.1:0"', f'health = "{taken}"')
    settings.write_text(text)
    with program(settings) as running:
        code = running.process.wait(PATIENCE_S)

    assert code == 2
    assert any(f"cannot listen on {taken}" in line["event"] for line in running.lines)
