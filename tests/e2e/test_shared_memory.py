# SPDX-License-Identifier: Apache-2.0
"""On a real stack, reads of this machine go through shared memory by themselves."""

import os
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import load_settings
from strongroom.values import SharedMemoryState
from strongroom_server.dev.layout import StackLayout
from tests.support.cli import LiveStack

pytestmark = pytest.mark.e2e

CONTENT = os.urandom(20_000_003)


def test_readers_of_a_dev_stack_share_its_memory(
    stack: LiveStack, tmp_path: Path
) -> None:
    (tmp_path / "large.bin").write_bytes(CONTENT)
    stack.check("push", str(tmp_path / "large.bin"), "demo/shared", "--json")
    layout = StackLayout(stack.root)
    settings = load_settings(config_file=layout.client_settings)

    with Client(settings) as client:
        assert client.read_bytes("demo/shared/large.bin") == CONTENT
        mapped = client.map("demo/shared/large.bin")
        found = client.shared_memory
    assert mapped == CONTENT
    assert found.state is SharedMemoryState.OPEN
    assert found.shared_bytes == 2 * len(CONTENT) - found.sent_bytes
    assert found.sent_bytes < 64 * 1024

    told = stack.check("doctor").out
    assert str(layout.data_socket) in told
    assert layout.data_socket.stat().st_mode & 0o777 == 0o600
