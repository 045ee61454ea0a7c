# SPDX-License-Identifier: Apache-2.0
"""An auditor's walk: who read what, proved and checked without any key of ours."""

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import LiveStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

DEVELOPER = "spiffe://dev.strongroom.internal/ns/dev/sa/developer/job/local"
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def walked(
    tmp_path_factory: pytest.TempPathFactory, stack: LiveStack
) -> tuple[LiveStack, list[str]]:
    """A stack in which one version was pushed, and read by its ref."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "in").mkdir()
    (folder / "in" / "secret-name.txt").write_text("some secret text\n")
    stack.check("push", str(folder / "in"), "audited/data", "--json")
    stack.check("pull", "audited/data@latest", str(folder / "out"), "--json")
    stack.run("pull", "audited/nothing", str(folder / "none"))
    config = stack.root / "server" / "server.toml"
    return stack, ["--config", str(config)]


def entries(walked: tuple[LiveStack, list[str]], *args: str) -> list[dict[str, Any]]:
    stack, config = walked
    return stack.check("audit", *args, *config, "--json").lines


def test_everything_about_an_artifact_is_found(
    walked: tuple[LiveStack, list[str]],
) -> None:
    found = entries(walked, "ls", "--artifact", "audited/data")

    assert [(item["action"], item["phase"]) for item in found] == [
        ("version.write", "intent"), ("version.write", "outcome"),
        ("version.read", "intent"), ("version.read", "outcome"),
    ]  # fmt: skip
    assert {item["principal"] for item in found} == {DEVELOPER}
    assert found[2]["name"] == "projects/audited/artifacts/data/versions/latest"
    by_trace = entries(walked, "ls", "--trace", found[3]["trace_id"])
    assert by_trace == found[2:]
    shown = entries(walked, "show", found[2]["audit_id"])
    assert shown == found[2:]


def test_who_read_a_version_is_told_though_it_was_read_by_a_ref(
    walked: tuple[LiveStack, list[str]],
) -> None:
    [reader] = entries(walked, "who-read", "audited/data@1")

    assert (reader["principal"], reader["outcome"]) == (DEVELOPER, "OK")
    assert reader["certain"] is True


def test_a_proof_and_an_export_check_with_public_keys_alone(
    walked: tuple[LiveStack, list[str]], tmp_path: Path
) -> None:
    stack, config = walked
    keys = tmp_path / "keys"
    keys.write_text(stack.check("audit", "keys", *config).out)
    assert len(keys.read_text().splitlines()) == 2
    audit_id = entries(walked, "ls", "--artifact", "audited/data")[2]["audit_id"]
    deadline = time.monotonic() + PATIENCE_S
    while (proof := stack.run("audit", "prove", audit_id, *config)).code:
        assert time.monotonic() < deadline, proof.err
        time.sleep(0.5)
    (tmp_path / "entry.tlog-proof").write_text(proof.out)
    stack.check("audit", "export", str(tmp_path / "log"), *config)

    # Without a configuration, a certificate, or a server to ask.
    alone = {"STRONGROOM_CONFIG": str(tmp_path / "none")}
    proved = stack.check(
        *("audit", "verify", "--proof", str(tmp_path / "entry.tlog-proof")),
        *("--keys", str(keys)),
        environ=alone,
    ).summary
    report = stack.check(
        *("audit", "verify", "--folder", str(tmp_path / "log"), "--keys", str(keys)),
        *("--checkpoint", str(tmp_path / "log" / "checkpoint"), "--json"),
        environ=alone,
    ).summary

    assert proved["action"] == "version.read"
    assert report["entry_count"] == report["signed_count"] > 4
    files = b"".join(
        path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()
    )
    assert b"audited" not in files
    assert b"secret-name" not in files


def test_a_changed_export_is_refused_by_name(
    walked: tuple[LiveStack, list[str]], tmp_path: Path
) -> None:
    stack, config = walked
    keys = tmp_path / "keys"
    keys.write_text(stack.check("audit", "keys", *config).out)
    stack.check("audit", "export", str(tmp_path / "log"), *config)
    [bundle] = (tmp_path / "log" / "tile" / "entries").rglob("*.p/*")
    bundle.write_bytes(
        bundle.read_bytes().replace(b'"outcome":"OK"', b'"outcome":"KO"')
    )

    refused = stack.run(
        "audit", "verify", "--folder", str(tmp_path / "log"), "--keys", str(keys)
    )

    assert refused.code == 14
    assert "audit entry " in refused.err
    assert "AUDIT_CORRUPT" in refused.err


@pytest.mark.parametrize("arguments", [(), ("--folder", "here"), ("--proof", "here")])
def test_a_check_of_nothing_or_without_keys_is_refused(
    walked: tuple[LiveStack, list[str]], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    # Where no stack is above, whose settings would be found.
    stack = replace(walked[0], folder=tmp_path)

    refused = stack.run("audit", "verify", *arguments)

    assert refused.code == 2 or "ARGUMENT_INVALID" in refused.err


def test_a_killed_server_ships_what_it_had_recorded(own_stack: LiveStack) -> None:
    config = own_stack.root / "server" / "server.toml"
    own_stack.check("ls", "--json")
    os.kill(own_stack.pid("server"), signal.SIGKILL)
    shutil.rmtree(own_stack.root / "server" / "index", ignore_errors=True)
    own_stack.up()

    found = own_stack.check("audit", "tail", "--config", str(config), "--json").lines
    report = own_stack.check("audit", "verify", "--config", str(config), "--json")

    assert [item["action"] for item in found][:1] == ["project.list"]
    assert json.loads(report.out)["writer_count"] == 1
