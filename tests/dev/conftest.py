# SPDX-License-Identifier: Apache-2.0
"""One running stack for all tests that leave it well."""

from collections.abc import Iterator

import pytest

from strongroom_server.dev.stack import Stack
from tests.dev.stacks import bring_up, stack_in


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_in(tmp_path_factory.mktemp("stack") / ".strongroom") as shared:
        bring_up(shared)
        yield shared
