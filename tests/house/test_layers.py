# SPDX-License-Identifier: Apache-2.0
"""The floors hold, and the contracts that guard them notice when one is broken."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import ROOT

CLIENT: Final = "client/strongroom"
SERVER: Final = "server/strongroom_server"

#: Contract, file to plant, what it says. Each is one step over a border.
VIOLATIONS: Final = (
    ("core-is-pure", f"{SERVER}/core/planted.py", "import time"),
    ("core-is-pure", f"{SERVER}/core/planted.py", "import os"),
    (
        "core-is-pure",
        f"{SERVER}/core/planted.py",
        "from google.protobuf import message",
    ),
    (
        "core-is-pure",
        f"{SERVER}/core/planted.py",
        "from strongroom.v1 import errors_pb2",
    ),
    ("core-is-pure", f"{CLIENT}/format/planted.py", "import boto3"),
    ("core-is-pure", f"{CLIENT}/format/planted.py", "import threading"),
    ("server-layers", f"{SERVER}/core/planted.py", "import strongroom_server.ports"),
    ("server-layers", f"{SERVER}/services/planted.py", "import strongroom_server.rpc"),
    (
        "server-layers",
        f"{SERVER}/repository/planted.py",
        "import strongroom_server.adapters",
    ),
    ("server-layers", f"{SERVER}/rpc/planted.py", "import strongroom_server.app"),
    ("server-layers", f"{SERVER}/utils.py", "import strongroom_server.ports"),
    ("client-layers", f"{CLIENT}/utils.py", "import strongroom.errors"),
    ("client-layers", f"{CLIENT}/format/planted.py", "import strongroom.client"),
    (
        "client-layers",
        f"{CLIENT}/integrations/planted.py",
        "import strongroom.cli.main",
    ),
    (
        "only-app-names-adapters",
        f"{SERVER}/services/planted.py",
        "import strongroom_server.adapters.s3",
    ),
    (
        "only-app-names-adapters",
        f"{SERVER}/rpc/planted.py",
        "import strongroom_server.adapters.vault",
    ),
    ("shared-language-only", f"{SERVER}/core/planted.py", "import strongroom.client"),
    ("shared-language-only", f"{SERVER}/dev/planted.py", "import strongroom.config"),
    (
        "client-never-imports-server",
        f"{CLIENT}/format/planted.py",
        "import strongroom_server.core",
    ),
    (
        "adapters-are-strangers",
        f"{SERVER}/adapters/planted.py",
        "import strongroom_server.adapters.s3",
    ),
    (
        "services-are-strangers",
        f"{SERVER}/services/planted.py",
        "import strongroom_server.services.uploads",
    ),
    (
        "settings-read-once",
        f"{SERVER}/services/planted.py",
        "import strongroom_server.config",
    ),
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the sources into which a violation may be planted."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in (CLIENT, SERVER):
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return tmp_path


def lint_imports(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the contracts over a tree, and over that tree only."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", *arguments],
        cwd=tree,
        env={"PYTHONPATH": f"{tree}/client:{tree}/server", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_floor_stands_where_it_should() -> None:
    run = lint_imports(ROOT)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(
    copy: Path, contract: str, file: str, line: str
) -> None:
    (copy / file).write_text(f'"""Planted."""\n\n{line}\n')

    run = lint_imports(copy, "--contract", contract)

    assert run.returncode == 1, run.stdout + run.stderr
    assert "0 kept, 1 broken" in run.stdout
