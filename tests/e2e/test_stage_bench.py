# SPDX-License-Identifier: Apache-2.0
"""`strongroom bench` measures each stage of reading on a real stack."""

import os
from pathlib import Path

import pytest

from tests.support.cli import LiveStack

pytestmark = pytest.mark.e2e
MIB = 1 << 20


@pytest.fixture(scope="module")
def name(stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    tree = tmp_path_factory.mktemp("bench") / "tree"
    tree.mkdir()
    (tree / "big.bin").write_bytes(os.urandom(20 * MIB))
    stack.check("push", str(tree), "bench/stages")
    return "bench/stages"


def test_each_stage_has_a_line_with_its_rate(stack: LiveStack, name: str) -> None:
    lines = stack.check("bench", name, "--size", "64", "--json").lines

    assert [line["stage"] for line in lines] == [
        *("s3", "decrypt", "verify", "hand-over", "pin")
    ]
    sizes = {line["stage"]: line["size_bytes"] for line in lines}
    assert sizes["s3"] >= sizes["decrypt"] == sizes["verify"] == 20 * MIB
    assert sizes["hand-over"] == 64 * MIB
    for line in lines[:-1]:
        rate = line["size_bytes"] / 1024**3 / line["seconds"]
        assert line["gib_per_s"] == pytest.approx(rate, abs=0.001)
    assert lines[-1]["gib_per_s"] > 0 or lines[-1]["detail"]


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
    assert rates[slowest] == min(rates.values())


def test_the_read_is_in_the_audit_log_as_any_other(stack: LiveStack, name: str) -> None:
    stack.check("bench", name, "--size", "32")

    found = stack.check(
        "audit", "ls", "--artifact", name, "--json",
        "--config", str(stack.root / "server/server.toml"),
    )  # fmt: skip
    assert any("grant" in line.lower() for line in found.out.splitlines())


def test_who_calls_through_a_socket_is_told_what_is_needed(
    stack: LiveStack, name: str, tmp_path: Path
) -> None:
    config = tmp_path / "client.toml"
    config.write_text(f'endpoint = "unix://{tmp_path}/sr.sock"\n')

    refused = stack.run("--config", str(config), "bench", name)

    assert refused.code == 2
    assert "certificate that lies in files" in refused.err
