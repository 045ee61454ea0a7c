# SPDX-License-Identifier: Apache-2.0
"""Standbys for a running OpenBao: further nodes of its raft cluster, on loopback."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from strongroom_server.dev.programs import bao_program
from strongroom_server.dev.vault_client import VaultClient
from tests.contract.vault_world import kill_and_wait
from tests.support.stack import BaoForTests

_PATIENCE_S = 60.0
_CONFIGURATION = """\
storage "raft" {{
  path                   = "{folder}/data"
  node_id                = "{name}"
  performance_multiplier = 1
}}
listener "tcp" {{
  address         = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file   = "{tls}/tls.crt"
  tls_key_file    = "{tls}/tls.key"
}}
# Word for word the first node's: OpenBao leads nowhere where it is another.
audit "file" "strongroom" {{
  description = "Every request, secrets replaced by keyed hashes."
  options {{
    file_path = "audit.log"
    mode      = "0600"
  }}
}}
api_addr     = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
ui           = false
"""


@dataclass
class Standby:
    """One more node.

    Attributes:
        address: Its URL.
        client: Raw access, without a token.
    """

    address: str
    client: VaultClient
    process: subprocess.Popen[bytes]

    def health(self) -> int:
        """Return the status of `sys/health`: 200 leads, 429 stands by."""
        with contextlib.suppress(Exception):
            return self.client.exchange("GET", "sys/health")[0]
        return 0

    def stop(self) -> None:
        if self.process.poll() is None:
            kill_and_wait(self.process.pid)
        self.process.wait()


@contextlib.contextmanager
def standby_of(bao: BaoForTests, folder: Path, name: str) -> Iterator[Standby]:
    """Let a node join, unseal it, and wait until it stands by."""
    port, cluster_port = _free_port(), _free_port()
    (folder / "data").mkdir(parents=True)
    config = folder / "config.hcl"
    config.write_text(
        _CONFIGURATION.format(
            folder=folder,
            name=name,
            port=port,
            cluster_port=cluster_port,
            tls=bao.ca_file.parent,
        )
    )
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [str(bao_program()), "server", f"-config={config}"],
        cwd=folder,
        stdout=log,
        stderr=log,
    )
    log.close()
    client = VaultClient(port, bao.ca_file)
    node = Standby(f"https://127.0.0.1:{port}", client, process)
    try:
        wait_for(lambda: node.health() != 0)
        # A node may vote once it has been well for that long.
        bao.client().write(
            "sys/storage/raft/autopilot/configuration",
            {"server_stabilization_time": "1s"},
        )
        join = {
            "leader_api_addr": bao.address,
            "leader_ca_cert": bao.ca_file.read_text(),
        }
        client.write("sys/storage/raft/join", join)
        key = {"key": bao.bao.unseal_key()}
        wait_for(lambda: client.exchange("POST", "sys/unseal", key)[0] == 200)
        wait_for(lambda: node.health() == 429)
        # A node that has just joined may not vote yet.
        wait_for(lambda: name in _voters(bao))
        yield node
    finally:
        node.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.1)


def _voters(bao: BaoForTests) -> set[str]:
    data = bao.client().read("sys/storage/raft/configuration") or {}
    config = data["config"]
    assert isinstance(config, dict)
    return {server["node_id"] for server in config["servers"] if server["voter"]}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
