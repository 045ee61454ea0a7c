# SPDX-License-Identifier: Apache-2.0
"""Tests have the same names in every process, so that several may share them out."""

import re

import pytest


def test_no_test_is_named_by_an_address(request: pytest.FixtureRequest) -> None:
    """In a run of this folder alone it looks at little; in the whole suite, at all."""
    named = [item.nodeid for item in request.session.items]

    assert [name for name in named if re.search(r" at 0x[0-9a-f]+>", name)] == []
