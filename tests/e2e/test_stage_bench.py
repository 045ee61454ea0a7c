# SPDX-License-Identifier: Apache-2.0
"""`strongroom bench` measures each stage of reading on a real stack."""

import os
import time
from pathlib import Path

import pytest

from tests.support.cli import LiveStack

pytestmark = pytest.mark.e2e
MIB = 1 << 20
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def name(stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    tree = tmp_path_factory.mktemp("bench") / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "big.bin").write_bytes(os.urandom(20 * MIB))
    (tree / "dir/part.bin").write_bytes(os.urandom(5 * MIB))
    stack.check("push", str(tree), "bench/stages")
    return "bench/stages"


def test_each_stage_has_a_line_with_its_rate(stack: LiveStack, name: str) -> None:
    lines = stack.check("bench", name, "--size", "128", "--json").lines

    assert [line["stage"] for line in lines] == [
        *("s3", "decrypt", "verify", "hand-over", "pin")
    ]
    sizes = {line["stage"]: line["size_bytes"] for line in lines}
    assert sizes["s3"] == sizes["decrypt"] == sizes["verify"] == 25 * MIB
    assert sizes["hand-over"] == 128 * MIB
    for line in lines[:-1]:
        rate = line["size_bytes"] / 1024**3 / line["seconds"]
        assert line["gib_per_s"] == pytest.approx(rate, abs=0.001)
    missing = {"torch is not installed here", "no GPU is here"}
    assert lines[-1]["gib_per_s"] > 0 or lines[-1]["detail"] in missing


def test_a_directory_can_be_measured(stack: LiveStack, name: str) -> None:
    lines = stack.check("bench", f"{name}/dir/", "--size", "32", "--json").lines

    assert lines[0]["size_bytes"] == 5 * MIB


def test_what_is_too_small_for_a_rate_is_refused(
    stack: LiveStack, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"better weights\n")
    stack.check("push", str(tmp_path), "bench/small")

    refused = stack.run("bench", "bench/small")

    assert refused.code != 0
    assert "has 15 bytes to measure with" in refused.err


def test_people_are_told_which_stage_is_the_slowest(
    stack: LiveStack, name: str
) -> None:
    told = stack.check("bench", f"{name}@1/big.bin", "--size", "64")

    assert told.out.count("GiB/s") >= 4
    slowest = told.err.split("the slowest is ")[1].strip()
    rates = {
        line.split()[0]: float(line.split()[1])
        for line in told.out.splitlines()
        if "GiB/s" in line
    }
    alike = {stage: rates[stage] for stage in ("s3", "decrypt", "verify")}
    assert alike[slowest] == min(alike.values())


def test_the_read_is_in_the_audit_log_as_any_other(
    stack: LiveStack, tmp_path: Path
) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(5 * MIB))
    stack.check("push", str(tmp_path), "bench/audited")

    def reads() -> list[str]:
        found = stack.check(
            "audit", "ls", "--artifact", "bench/audited", "--json",
            "--config", str(stack.root / "server/server.toml"),
        )  # fmt: skip
        grants = "strongroom.v1.GrantService/OpenVersion"
        return [line["action"] for line in found.lines if grants in line["method"]]

    # Nobody else reads it: what comes is of this bench.
    assert reads() == []
    stack.check("bench", "bench/audited", "--size", "32")
    deadline = time.monotonic() + PATIENCE_S
    while not (found := reads()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert set(found) == {"version.read"}


def test_who_calls_through_a_socket_is_told_what_is_needed(
    stack: LiveStack, name: str, tmp_path: Path
) -> None:
    config = tmp_path / "client.toml"
    config.write_text(f'endpoint = "unix://{tmp_path}/sr.sock"\n')

    refused = stack.run("--config", str(config), "bench", name)

    assert refused.code == 2
    assert "certificate that lies in files" in refused.err
