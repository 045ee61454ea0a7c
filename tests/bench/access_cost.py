# SPDX-License-Identifier: Apache-2.0
"""What a decision about access costs: `python -m tests.bench.access_cost`.

Prints microseconds at the median, at the 99th percentile, and of processor time, with
the shipped roles: where principal and resource were seen before, where they are new,
with many assignments, and with many policies.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, Final

from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.core.access import AccessAction
from strongroom_server.core.assignments import parse_assignments
from tests.support.access import FACTS

ROUNDS: Final = 3000
#: What a call may cost more at the median.
BUDGET_US: Final = 150.0
PRINCIPAL: Final = "spiffe://example.org/ns/train/sa/trainer/job/{}"


def authorizer_of(*, assignments: int, policies: int = 0) -> CedarAuthorizer:
    """Make an authorizer with many assignments and policies of a site's own."""
    document: dict[str, Any] = {
        "assignments": [
            {
                "id": f"a{number}",
                "principal": PRINCIPAL.format("*")
                if number == assignments - 1
                else f"spiffe://example.org/ns/other/sa/s{number}/job/*",
                "roles": ["writer", "operator"],
                "resources": [f"projects/p{number}/*", "projects/vision/*"],
            }
            for number in range(assignments)
        ]
    }
    own = {
        f"own-{number}.cedar": f'@id("own-{number}") forbid (principal, action, '
        f'resource in Project::"projects/frozen-{number}");'
        for number in range(policies)
    }
    return CedarAuthorizer({**shipped_policies(), **own}, parse_assignments(document))


def measure(decide: Callable[[int], bool]) -> tuple[float, float, float]:
    """Return median, 99th percentile and mean processor time, in microseconds."""
    taken = []
    busy = time.thread_time_ns()
    for number in range(ROUNDS):
        began = time.perf_counter_ns()
        allowed = decide(number)
        taken.append(time.perf_counter_ns() - began)
        assert allowed
    busy = time.thread_time_ns() - busy
    taken.sort()
    median, high = taken[ROUNDS // 2], taken[ROUNDS * 99 // 100]
    return median / 1000, high / 1000, busy / ROUNDS / 1000


def main() -> int:
    """Measure, print, and say whether the budget is kept."""
    read = AccessAction.VERSION_READ
    version = "projects/vision/artifacts/resnet/versions/{}"

    def question(authorizer: CedarAuthorizer, *, fresh: bool) -> Callable[[int], bool]:
        def ask(number: int) -> bool:
            key = number if fresh else 1
            who, what = PRINCIPAL.format(key), version.format(key)
            return authorizer.decide(who, read, what, FACTS).allowed

        return ask

    small = authorizer_of(assignments=10)
    cases = {
        "seen before": question(small, fresh=False),
        "new principal and version": question(small, fresh=True),
        "new, 1000 assignments": question(authorizer_of(assignments=1000), fresh=True),
        "seen before, 100 policies more": question(
            authorizer_of(assignments=10, policies=100), fresh=False
        ),
    }
    within = True
    for name, ask in cases.items():
        median, high, busy = measure(ask)
        sys.stdout.write(
            f"{name:<30} p50 {median:7.1f} us  p99 {high:7.1f} us  cpu {busy:6.1f} us\n"
        )
        within &= median <= BUDGET_US
    sys.stdout.write(
        f"budget {BUDGET_US:.0f} us at p50: {'kept' if within else 'MISSED'}\n"
    )
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
