# SPDX-License-Identifier: Apache-2.0
"""A witness as a process would serve it, in this process, and a client of it."""

from pathlib import Path

from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.witness_files import (
    create_witness,
    read_cosigning_keys,
)
from strongroom_server.adapters.witness_http import HttpWitness
from strongroom_server.ports import CheckpointSigner
from strongroom_server.witness_program import WitnessOptions
from tests.contract.witness_suites import NAME, ORIGIN


def witness_options(tmp_path: Path, signer: CheckpointSigner) -> WitnessOptions:
    """Make a witness's folder; return how to serve it, for the log of a signer."""
    folder, keys = tmp_path / "w", tmp_path / "log.keys"
    create_witness(folder, NAME, entropy=SystemEntropy())
    keys.write_text("".join(f"{key.text}\n" for key in signer.keys(ORIGIN)))
    return WitnessOptions(folder=folder, listen="127.0.0.1:0", log_keys=[keys])


def http_witness(
    port: int, folder: Path, scheme: str = "http", ca_file: Path | None = None
) -> HttpWitness:
    """Return a client of a witness that is served on this machine."""
    keys = read_cosigning_keys(folder).keys
    url = f"{scheme}://127.0.0.1:{port}"
    return HttpWitness(url, keys, ca_file=ca_file)
