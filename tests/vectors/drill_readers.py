# SPDX-License-Identifier: Apache-2.0
"""What reads vectors of drills; see `readers`."""

from typing import Any

from strongroom_server.core.drill_report import verify_report
from tests.vectors import drill_cases
from tests.vectors.upkeep_readers import public_keys

Fields = dict[str, Any]


def read_drill_report(document: Fields, case: Fields) -> object:
    """Verify the report of a drill, offline."""
    report = verify_report(case["report"].encode(), public_keys(document))
    return drill_cases.shown_report(report)
