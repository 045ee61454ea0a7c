# SPDX-License-Identifier: Apache-2.0
"""A sidecar serves also where the kernel has no memory that readers can share."""

from pathlib import Path

import pytest

from strongroom.errors import PreconditionError
from strongroom_server.adapters.shared_memory import listener
from strongroom_server.config import SidecarSettings, read_sidecar_settings
from strongroom_server.sidecar_program import running_sidecar
from tests.rpc.authority import READER, Authority


def settings_of(folder: Path, more: str = "") -> SidecarSettings:
    issued = Authority().issue(READER)
    for name, data in (
        ("key", issued.private_key_pem),
        ("cert", issued.chain_pem),
        ("ca", issued.ca_pem),
    ):
        (folder / name).write_bytes(data)
    path = folder / "sidecar.toml"
    path.write_text(f"""
[central]
endpoint = "localhost:1"
[identity]
cert_file = "{folder / "cert"}"
key_file = "{folder / "key"}"
ca_file = "{folder / "ca"}"
[listen]
socket = "{folder / "s"}"
{more}
""")
    return read_sidecar_settings(path)


@pytest.fixture(autouse=True)
def _no_sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot() -> None:
        raise OSError

    monkeypatch.setattr(listener, "check_sealing", cannot)


def test_it_goes_without(tmp_path: Path) -> None:
    with running_sidecar(settings_of(tmp_path)) as port:
        assert port
        assert (tmp_path / "s").is_socket()
        assert not (tmp_path / "s.shared").exists()


def test_who_asks_for_it_is_told(tmp_path: Path) -> None:
    more = f'[shared_memory]\nsocket = "{tmp_path / "d"}"'
    with (
        pytest.raises(PreconditionError, match="cannot seal memory"),
        running_sidecar(settings_of(tmp_path, more)),
    ):
        pass
