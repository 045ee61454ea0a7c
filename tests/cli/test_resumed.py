# SPDX-License-Identifier: Apache-2.0
"""What a push that went on says about what it stored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from strongroom.client import Client
from strongroom.values import PushResult
from tests.cli.conftest import Command
from tests.client.trees import write_tree


def test_a_resumed_push_says_what_its_last_attempt_stored(
    strongroom: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    push = Client.push

    def resumed(*arguments: Any, **options: Any) -> PushResult:  # noqa: ANN401
        return replace(push(*arguments, **options), resumed_bytes=2048)

    monkeypatch.setattr(Client, "push", resumed)
    pushed = strongroom("push", str(tree), "demo/resumed")

    assert "newly stored by the last attempt" in pushed.err
    assert "2.0 KiB were there already: resumed" in pushed.err
