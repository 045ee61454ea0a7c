# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, on a real server in memory."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from strongroom.cli.program import run
from tests.client.engine import Engine, running_engine, write_config


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        return found


Command = Callable[..., Result]


@pytest.fixture
def config(engine: Engine, tmp_path: Path) -> Path:
    settings = engine.settings(tmp_path / "certificates")
    spans = replace(settings, spans_file=None)
    return write_config(spans, tmp_path / "client.toml")


@pytest.fixture
def strongroom(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command whose relative paths start in the test's folder."""

    def command(*args: str) -> Result:
        capsys.readouterr()
        code = run(["--config", str(config), *args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return command
