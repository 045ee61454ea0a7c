# SPDX-License-Identifier: Apache-2.0
"""fsspec's own abstract suites: what every file system of it has to do."""

# ruff: noqa: ANN401
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from strongroom.integrations.filesystem import StrongroomFileSystem


class Fixtures(AbstractFixtures):
    """An artifact of the test's own, in which paths are."""

    @pytest.fixture
    def fs(self, memory_config: Path) -> StrongroomFileSystem:
        return StrongroomFileSystem(config_file=memory_config)

    @pytest.fixture
    def fs_path(self, artifact: str) -> str:
        return artifact

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return posixpath.join

    # What lies there before a test is one version, or the suites would take minutes.

    def _bulk_operations_scenario_0(self, *where: Any) -> str:
        return made_at_once(super()._bulk_operations_scenario_0, *where)

    def _glob_edge_cases_files(self, *where: Any) -> str:
        return made_at_once(super()._glob_edge_cases_files, *where)

    def _dir_and_file_with_same_name_prefix(self, *where: Any) -> str:
        return made_at_once(super()._dir_and_file_with_same_name_prefix, *where)

    def _10_files_with_hashed_names(self, *where: Any) -> str:
        return made_at_once(super()._10_files_with_hashed_names, *where)


def made_at_once(make: Callable[..., str], fs: Any, *where: Any) -> str:
    if not isinstance(fs, StrongroomFileSystem):
        return make(fs, *where)
    with fs.transaction:
        return make(fs, *where)


class TestCopy(Fixtures, AbstractCopyTests): ...


class TestGet(Fixtures, AbstractGetTests): ...


class TestOpen(Fixtures, AbstractOpenTests): ...


class TestPipe(Fixtures, AbstractPipeTests): ...


class TestPut(Fixtures, AbstractPutTests): ...
