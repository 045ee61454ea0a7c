# SPDX-License-Identifier: Apache-2.0
"""A ref goes back on real parts: at once, without a pack, and back again.

The same with a large artifact is `make bench-rollback`.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.client.trees import write_tree
from tests.support.cli import LiveStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

NAME = "rollbacks/weights"
_SPANS_S = 30.0


def spans_since(stack: LiveStack, since_ns: int) -> list[dict[str, Any]]:
    """Return the server's spans that began since then, once the ref's move is there."""
    path = stack.root / "telemetry/server-spans.jsonl"
    deadline = time.monotonic() + _SPANS_S
    while True:
        lines = path.read_bytes().split(b"\n")[:-1]
        # Spans are written in batches: those of the call before come late.
        spans = [
            span
            for span in map(json.loads, lines)
            if span["start_unix_nano"] >= since_ns
        ]
        if any(span["name"].endswith("/MoveRef") for span in spans):
            return spans
        assert time.monotonic() < deadline, "the move has no span"
        time.sleep(0.1)


def keys_of(spans: list[dict[str, Any]]) -> set[str]:
    """Return what S3 was asked for: keys, and prefixes of listings."""
    names = ("aws.s3.key", "strongroom.prefix")
    return {
        str(span["attributes"][name])
        for span in spans
        if span["name"].startswith("S3.")
        for name in names
        if span["attributes"].get(name)
    }


def test_a_rollback_moves_the_ref_and_no_pack_and_is_taken_back(
    stack: LiveStack, tmp_path: Path
) -> None:
    for number in (1, 2):
        tree = write_tree(tmp_path / str(number), {"model": b"%d" % number * 100_000})
        stack.check("push", str(tree), NAME)
        stack.check("ref", "move", NAME, "prod", str(number))
    looked = stack.check("rollback", f"{NAME}@prod", "--dry-run")
    since_ns = time.time_ns()

    done = stack.check(
        "rollback", f"{NAME}@prod", "--yes", "--reason", "worse", "--json"
    )
    keys = keys_of(spans_since(stack, since_ns))
    shown = stack.check("show", f"{NAME}@prod", "--json")
    undo = json.loads(done.out.splitlines()[-1])["command"].split()[1:]
    stack.check(*undo, "--yes")
    log = stack.check("ref", "log", f"{NAME}@prod", "--json")

    assert "* model" in looked.out
    assert json.loads(shown.out.splitlines()[0])["number"] == 1
    assert any(key.startswith("journals/") for key in keys)
    assert not [key for key in keys if key.startswith("packs/")]
    moves = [json.loads(line) for line in log.out.splitlines()]
    assert [move["version"] for move in moves] == [2, 1, 2, 1]
    assert moves[1]["reason"] == "worse"
    assert moves[1]["audit_id"]


def test_who_reads_a_version_is_told_before_it_is_moved_away(
    stack: LiveStack, tmp_path: Path
) -> None:
    name = "rollbacks/read"
    for number in (1, 2):
        tree = write_tree(tmp_path / str(number), {"model": b"%d" % number})
        stack.check("push", str(tree), name)
        stack.check("ref", "move", name, "prod", str(number))
    stack.check("dev", "sidecar", "--dir", str(stack.root))
    through = str(stack.root / "sidecar/client.toml")
    stack.check("--config", through, "pull", f"{name}@prod", str(tmp_path / "out"))

    shown = stack.check("rollback", f"{name}@prod", "--dry-run", "--json")

    (reader,) = json.loads(shown.out.splitlines()[0])["readers"]["readers"]
    assert reader["principal"].startswith("spiffe://")
    assert reader["count"] >= 1
