# SPDX-License-Identifier: Apache-2.0
"""An endpoint that is a sidecar's socket: nothing else is needed, nor looked for."""

import socket
from pathlib import Path

import pytest

from strongroom._channel import handshake
from strongroom._channel.identity import NoSource, open_source
from strongroom.config import load_settings
from strongroom.errors import InvalidArgumentError, Reason, UnavailableError


@pytest.mark.parametrize("endpoint", ["unix:///run/x/s.sock", "unix:/run/x/s.sock"])
def test_a_socket_is_all_that_has_to_be_said(tmp_path: Path, endpoint: str) -> None:
    # One that nobody may trust lies near, and is not looked at.
    near = tmp_path / ".strongroom/client.toml"
    near.parent.mkdir()
    near.write_text("nonsense")
    near.chmod(0o666)

    settings = load_settings(
        environ={"STRONGROOM_ENDPOINT": endpoint}, directory=tmp_path
    )

    assert settings.sidecar_socket == Path("/run/x/s.sock")
    assert isinstance(open_source(settings), NoSource)


def test_other_endpoints_are_no_sockets(tmp_path: Path) -> None:
    settings = load_settings(
        endpoint="host:1", ca_file="a", cert_file="b", key_file="c",
        environ={}, directory=tmp_path,
    )  # fmt: skip

    assert settings.sidecar_socket is None


@pytest.mark.parametrize("endpoint", ["unix:relative", "unix:", "unixx:///a"])
def test_what_is_no_path_of_a_socket_is_refused(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        load_settings(
            endpoint=endpoint, ca_file="a", cert_file="b", key_file="c",
            environ={}, directory=tmp_path,
        )  # fmt: skip

    assert error.value.reason is Reason.SETTING_INVALID


def test_a_socket_that_nobody_serves_is_explained(tmp_path: Path) -> None:
    settings = load_settings(
        endpoint=f"unix://{tmp_path}/s.sock", environ={}, directory=tmp_path
    )

    error = handshake.explain(settings)

    assert isinstance(error, UnavailableError)
    assert "sidecar" in error.hint


def test_a_socket_that_answers_needs_no_explanation(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    settings = load_settings(endpoint=f"unix://{path}", environ={}, directory=tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        assert handshake.explain(settings) is None
