# SPDX-License-Identifier: Apache-2.0
"""What doctor says of memory shared with a server on the same machine."""

from pathlib import Path

import pytest

from strongroom.config import ClientSettings, load_settings
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemorySettings,
    running_shared_memory,
)
from tests.cli.conftest import Command


def add_socket(config: Path, socket: Path) -> None:
    with config.open("a") as file:
        file.write(f'shared_socket = "{socket}"\n')


def test_nothing_is_said_where_none_is_to_be_shared(strongroom: Command) -> None:
    checks = {line["check"] for line in strongroom("doctor", "--json").lines}

    assert "shared_memory" not in checks


def test_a_data_socket_that_answers_is_well(
    strongroom: Command, config: Path, tmp_path: Path
) -> None:
    socket = tmp_path / "data.sock"
    add_socket(config, socket)
    settings = SharedMemorySettings(socket)

    with running_shared_memory(settings, entropy=SystemEntropy()):
        checks = {line["check"]: line for line in strongroom("doctor", "--json").lines}

    told = checks["shared_memory"]
    assert (told["ok"], told["warning"]) == (True, False)
    assert str(socket) in told["detail"]


def test_one_that_does_not_is_a_warning_and_no_failure(
    strongroom: Command, config: Path, tmp_path: Path
) -> None:
    add_socket(config, tmp_path / "nobody.sock")

    result = strongroom("doctor", "--json")

    told = {line["check"]: line for line in result.lines}["shared_memory"]
    assert result.code == 0
    assert (told["ok"], told["warning"]) == (True, True)
    assert "nobody.sock" in told["detail"]
    assert told["hint"]


def test_the_socket_is_found_beside_a_unix_endpoint(config: Path) -> None:
    settings = load_settings(config_file=config)

    assert settings.data_socket is None
    beside = ClientSettings("unix:///run/x/strongroom.sock")
    assert beside.data_socket == Path("/run/x/strongroom.sock.shared")
    named = ClientSettings("unix:///run/x/s.sock", shared_socket=Path("/run/y"))
    assert named.data_socket == Path("/run/y")


def test_a_relative_socket_lies_beside_its_settings(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_socket(config, Path("data.sock"))
    monkeypatch.chdir("/")

    settings = load_settings(config_file=config)

    assert settings.data_socket == config.parent / "data.sock"
