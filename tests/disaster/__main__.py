# SPDX-License-Identifier: Apache-2.0
"""`make disaster`: ten disasters on real SeaweedFS and OpenBao, and their recoveries.

python -m tests.disaster
python -m tests.disaster --scenario "lost index" --scenario "deleted primary"
python -m tests.disaster --one-site
"""

import argparse
import contextlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.disaster.campaign import disasters
from tests.disaster.outcome import Outcome
from tests.disaster.scenarios import SCENARIOS


def main() -> int:
    """Run what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="make disaster DISASTER_ARGS=...")
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS))
    parser.add_argument("--one-site", action="store_true", help="faster")
    parser.add_argument("--commands", action="store_true", help="print them, too")
    parser.add_argument("--json", type=Path, help="write the outcomes there")
    options = parser.parse_args()
    names = [name for name in SCENARIOS if name in (options.scenario or SCENARIOS)]
    begin_s, outcomes = time.monotonic(), list[Outcome]()
    found = disasters(names, one_site=options.one_site)
    with contextlib.closing(found):
        for outcome, site in found:
            outcomes.append(outcome)
            for line in outcome.lines():
                print(line, flush=True)
            if options.commands:
                for command in site.commands:
                    print(f"       $ {command}", flush=True)
    good = sum(outcome.is_good for outcome in outcomes)
    print(
        f"{good} of {len(names)} disasters survived, "
        f"{sum(outcome.lost_bytes for outcome in outcomes)} protected bytes lost, "
        f"{time.monotonic() - begin_s:.0f} s"
    )
    if options.json:
        found_json = [asdict(outcome) for outcome in outcomes]
        options.json.write_text(json.dumps(found_json, indent=1))
    return 0 if good == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
