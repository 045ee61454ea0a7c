# SPDX-License-Identifier: Apache-2.0
"""Servers under test: scripted ones for the guard, whole ones for the API."""

from collections.abc import Iterator

import pytest

from tests.rpc.engine import serving_world
from tests.rpc.running import Running, running_server
from tests.rpc.serving import Served, Stubs


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(shared: Running) -> Running:
    shared.script.act = lambda: None
    shared.script.responses = 3
    shared.script.requests = 0
    shared.script.closed.clear()
    shared.lines.clear()
    shared.audit.fail(failing=False)
    shared.audit._events.clear()
    shared.audit._shared.clear()
    return shared


@pytest.fixture
def served() -> Iterator[Served]:
    with serving_world() as (world, server):
        yield Served(world, server)


@pytest.fixture
def stubs(served: Served) -> Iterator[Stubs]:
    with served.server.channel() as channel:
        yield served.stubs(channel)
