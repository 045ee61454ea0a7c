# SPDX-License-Identifier: Apache-2.0
"""The contract of `Authorizer`, on fixed policies and on files that are followed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from strongroom_server.adapters.cedar import (
    AccessFiles,
    CedarAuthorizer,
    ReloadingAuthorizer,
)
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.ports import Authorizer
from tests.contract.authorizer_suite import AuthorizerSuite, Make


def write_files(
    folder: Path, texts: Mapping[str, str], assignments: list[dict[str, Any]]
) -> AccessFiles:
    """Write policies and assignments as files; what ships stays away."""
    policies = folder / "policies"
    policies.mkdir(exist_ok=True)
    for name, text in texts.items():
        (policies / name).write_text(text)
    lines = []
    for item in assignments:
        lines.append("[[assignments]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in item.items()]
    (folder / "assignments.toml").write_text("\n".join(lines))
    return AccessFiles(
        folder / "assignments.toml",
        policies,
        shipped_roles=False,
        shipped_rules=False,
    )


class TestFixed(AuthorizerSuite):
    @pytest.fixture
    def make(self) -> Make:
        def make(
            texts: Mapping[str, str], assignments: list[dict[str, Any]]
        ) -> Authorizer:
            document = {"assignments": assignments}
            return CedarAuthorizer(texts, parse_assignments(document))

        return make


class TestFiles(AuthorizerSuite):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def make(
            texts: Mapping[str, str], assignments: list[dict[str, Any]]
        ) -> Authorizer:
            return ReloadingAuthorizer(write_files(tmp_path, texts, assignments))

        return make
