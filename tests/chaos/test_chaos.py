# SPDX-License-Identifier: Apache-2.0
"""The short form of `make chaos`: 40 seconds on real parts, with a dozen kills."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.chaos import chaos

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_short_chaos_loses_nothing(
    record_property: Callable[[str, object], None],
) -> None:
    # A short path, for the servers' sockets.
    root = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = chaos(root, seconds=40, kills=12, servers=2, workers=4, seed=1)

    assert not outcome.problems
    assert not outcome.stuck
    assert sum(outcome.kills.values()) >= 10
    assert sum(outcome.operations.values()) >= 20
    shutil.rmtree(root)
    record_property("chaos", f"{outcome.operations} {outcome.kills} {outcome.faults}")
