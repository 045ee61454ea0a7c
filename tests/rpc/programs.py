# SPDX-License-Identifier: Apache-2.0
"""`strongroom-server` as a process: complete settings for it, and what it logs."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strongroom_server.dev.provisioning import SERVER_SPIFFE_ID, TRUST_DOMAIN
from tests.support.stack import (
    BUCKET,
)

DEVELOPER = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/developer/job/local"
OWNER = '@id("owner") permit (principal in Role::"owner", action, resource);'
ASSIGNMENTS = f"""
[[assignments]]
principal = "spiffe://{TRUST_DOMAIN}/ns/dev/sa/developer/job/*"
roles = ["owner"]
resources = ["projects/*", "server"]
"""
#: Longer than anything here takes on a slow machine.
PATIENCE_S = 60.0


def write_settings(folder: Path, **changes: dict[str, Any]) -> Path:
    """Write settings that are complete, and a policy; return the settings' path."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "owner.cedar").write_text(OWNER)
    (folder / "assignments.toml").write_text(ASSIGNMENTS)
    tables: dict[str, dict[str, Any]] = {
        "store": {
            "endpoint": "http://127.0.0.1:1",
            "bucket": BUCKET,
            "credentials_file": f"{folder}/s3.json",
        },
        "vault": {
            "address": "https://127.0.0.1:1",
            "role_id_file": f"{folder}/role-id",
            "secret_id_file": f"{folder}/secret-id",
        },
        "identity": {
            "trust_domain": TRUST_DOMAIN,
            "spiffe_id": SERVER_SPIFFE_ID,
            "dns_names": ["localhost"],
            "ip_addresses": ["127.0.0.1"],
        },
        "listen": {
            "data": "127.0.0.1:0",
            "health": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "probe_s": 0.2,
            "grace_s": 0.5,
        },
        "index": {"path": f"{folder}/index"},
        "audit": {"path": f"{folder}/audit"},
        "access": {
            "assignments_file": f"{folder}/assignments.toml",
            "policies": f"{folder}/policies",
            "reload_s": 0.1,
        },
        "telemetry": {"spans_file": f"{folder}/spans.jsonl"},
    }
    for section, values in changes.items():
        tables.setdefault(section, {}).update(values)
    path = folder / "server.toml"
    path.write_text(
        "\n".join(
            f"[{section}]\n"
            + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
            for section, table in tables.items()
        )
    )
    return path


@dataclass
class Program:
    """A running `strongroom-server` and what it has logged."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]]

    def wait_for(self, event: str, **values: object) -> dict[str, Any]:
        """Return the first line, from now on or before, with these values."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for line in list(self.lines):
                if line["event"] == event and values.items() <= line.items():
                    self.lines.remove(line)
                    return line
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        message = f"no line {event} {values} in {self.lines}"
        raise AssertionError(message)


def program(settings: Path) -> contextlib.AbstractContextManager[Program]:
    """Run a server with settings."""
    return running("serve", "--config", str(settings), home=settings.parent)


@contextlib.contextmanager
def running(*arguments: str, home: Path) -> Iterator[Program]:
    """Run a command of the program that goes on until it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom_server", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    found = Program(process, [])

    def collect() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            # What is not JSON would be a traceback; the test shows it and fails.
            is_json = line.startswith("{")
            found.lines.append(json.loads(line) if is_json else {"event": line})

    reader = threading.Thread(target=collect)
    reader.start()
    try:
        yield found
    finally:
        process.kill()
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
