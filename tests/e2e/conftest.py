# SPDX-License-Identifier: Apache-2.0
"""One real stack for all end-to-end tests: OpenBao, SeaweedFS and the server."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import LiveStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack that is up; ends with the session."""
    root = tmp_path_factory.mktemp("stack") / ".strongroom"
    live = LiveStack(Path(root))
    live.up()
    try:
        yield live
    finally:
        live.down()


@pytest.fixture
def own_stack() -> Iterator[LiveStack]:
    """A stack of one test's own, to be broken.

    Not below `tmp_path`: paths of sockets have 100 bytes at most.
    """
    with tempfile.TemporaryDirectory(prefix="own-") as name:
        live = LiveStack(Path(name) / ".strongroom")
        live.up()
        try:
            yield live
        finally:
            live.down()


@pytest.fixture
def own_backed_stack() -> Iterator[LiveStack]:
    """The same, with a backup bucket."""
    with tempfile.TemporaryDirectory(prefix="own-") as name:
        live = LiveStack(Path(name) / ".strongroom", backups=True)
        live.up()
        try:
            yield live
        finally:
            live.down()
