# SPDX-License-Identifier: Apache-2.0
"""What every test of a use case starts from."""

from collections.abc import Iterator

import pytest

from tests.support.world import World, memory_world


@pytest.fixture
def world() -> Iterator[World]:
    """An empty store with an engine on it."""
    with memory_world() as made:
        yield made
