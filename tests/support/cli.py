# SPDX-License-Identifier: Apache-2.0
"""The real command line against a real stack, as processes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: No command of a test takes longer.
TIMEOUT_S = 120.0
STRONGROOM = Path(sys.executable).with_name("strongroom")


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines on standard output."""
        return [json.loads(line) for line in self.out.splitlines() if line]

    @property
    def summary(self) -> dict[str, Any]:
        """The last JSON line."""
        return self.lines[-1]


@dataclass
class LiveStack:
    """A dev stack in a folder, and commands run against it."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    #: Where commands run; where the tests do, unless given.
    folder: Path | None = None
    #: Whether it has a second SeaweedFS for backups.
    backups: bool = False

    def up(self) -> None:
        """Bring up whatever is down."""
        extra = ["--backups"] if self.backups else []
        self.check("dev", "up", "--dir", str(self.root), *extra)

    def down(self) -> None:
        """Stop everything."""
        self.check("dev", "down", "--dir", str(self.root))

    def processes(self) -> dict[str, dict[str, Any]]:
        """Return what `dev status` says, by process name."""
        result = self.run("dev", "status", "--dir", str(self.root), "--json")
        return {item["name"]: item for item in json.loads(result.out)["processes"]}

    def pid(self, name: str) -> int:
        """Return the number of a process that runs."""
        return int(self.processes()[name]["pid"])

    def run(self, *args: str, environ: Mapping[str, str] | None = None) -> Result:
        """Run `strongroom ARGS` with this stack's client settings."""
        done = subprocess.run(
            [STRONGROOM, *args],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=self.variables(environ),
            cwd=self.folder,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def check(self, *args: str, environ: Mapping[str, str] | None = None) -> Result:
        """Run a command that must succeed."""
        result = self.run(*args, environ=environ)
        assert result.code == 0, (args, result)
        return result

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start a command and return at once."""
        return subprocess.Popen(
            [STRONGROOM, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.variables(None),
        )

    def variables(self, environ: Mapping[str, str] | None) -> dict[str, str]:
        """Return the environment of a command."""
        return {
            **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
            "STRONGROOM_CONFIG": str(self.root / "client.toml"),
            **self.environ,
            **(environ or {}),
        }
