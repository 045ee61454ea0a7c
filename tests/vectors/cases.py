# SPDX-License-Identifier: Apache-2.0
"""How a case is written down, and how a JSON value is changed in one place."""

import json
from collections.abc import Mapping
from typing import Any

from tests.vectors.key_cases import Case


def make_case(name: str, fields: Case, error: str = "") -> Case:
    return {
        "name": name,
        "expect": "invalid" if error else "valid",
        "reason": name,
        **fields,
        **({"error": error} if error else {}),
    }


def changed(body: Mapping[str, Any], *path: str | int, value: object) -> Any:  # noqa: ANN401
    """Return a copy of a JSON value with one value in it changed."""
    copy: Any = json.loads(json.dumps(body))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy
