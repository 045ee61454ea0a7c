# SPDX-License-Identifier: Apache-2.0
"""A real server in memory for all tests of a module, and a client for each test."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import ClientSettings
from tests.client.engine import Engine, running_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@pytest.fixture
def settings(engine: Engine, tmp_path: Path) -> ClientSettings:
    return engine.settings(tmp_path / "certificates")


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    with Client(settings) as connected:
        yield connected


@pytest.fixture
def pause() -> Callable[[float], None]:
    """Something that takes its time, for tests of those who wait."""

    def wait(seconds: float) -> None:
        threading.Event().wait(seconds)

    return wait
