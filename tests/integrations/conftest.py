# SPDX-License-Identifier: Apache-2.0
"""What integrations run against: a server in memory, or a whole stack of real parts.

`make integrations` sets STRONGROOM_TEST_STACK, and all of it runs on real parts.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from strongroom.client import Client
from strongroom.config import load_settings
from tests.client.engine import running_engine, write_config
from tests.support.cli import LiveStack

ON_STACK: Final = bool(os.environ.get("STRONGROOM_TEST_STACK"))
_NUMBERS: Final = itertools.count(1)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A development stack that is up: OpenBao, SeaweedFS and the server."""
    stack = LiveStack(tmp_path_factory.mktemp("stack") / ".strongroom")
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def memory_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The `client.toml` of a server in memory: for thousands of small versions."""
    folder = tmp_path_factory.mktemp("memory")
    with running_engine() as engine:
        yield write_config(engine.settings(folder), folder / "client.toml")


@pytest.fixture(scope="session")
def config_file(request: pytest.FixtureRequest) -> Path:
    """The `client.toml` of a strongroom for all other tests."""
    if ON_STACK:
        stack: LiveStack = request.getfixturevalue("live")
        return stack.root / "client.toml"
    found: Path = request.getfixturevalue("memory_config")
    return found


@pytest.fixture(autouse=True)
def _configured(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_CONFIG", str(config_file))


@pytest.fixture
def room(config_file: Path) -> Iterator[Client]:
    """A client of that strongroom."""
    with Client(load_settings(config_file=config_file)) as client:
        yield client


@pytest.fixture
def artifact() -> str:
    """An artifact of the test's own: `project/artifact`."""
    return f"demo/own-{next(_NUMBERS)}"
