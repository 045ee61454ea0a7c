# SPDX-License-Identifier: Apache-2.0
"""`make security`: published vectors through our own functions, then every attack.

python -m tests.security
python -m tests.security --family "vault policy" --family journals
"""

import argparse
import sys
from collections.abc import Sequence

from tests.security import known_answers, wycheproof
from tests.security.attacks import ACCEPTED, Family, Result, attack_all
from tests.security.families import FAMILIES


def main() -> int:
    """Run what the command line says; return the exit code."""
    options = _options()
    wrong = 0 if options.family else _check_vectors()
    picked = [
        family
        for family in FAMILIES
        if not options.family or family.name in options.family
    ]
    results = [
        result
        for family in picked
        for result in _attack(family, thorough=not options.quick)
    ]
    refused = sum(result.refused for result in results)
    tries = sum(sum(result.outcomes.values()) for result in results)
    print(f"\n{len(picked)} families, {tries} tries")
    print(f"{len(results)} attacks, {refused} refused")
    return 1 if wrong or not results or refused < len(results) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make security SECURITY_ARGS=...")
    parser.add_argument(
        "--family",
        action="append",
        choices=[family.name for family in FAMILIES],
        help="only this one, without the vectors; may be given again",
    )
    parser.add_argument("--quick", action="store_true", help="try fewer places")
    return parser.parse_args()


def _check_vectors() -> int:
    """Run and print all vectors; return how many files went wrong."""
    print("vectors: Wycheproof and known answers, through our own functions")
    total = wrong = 0
    for file in wycheproof.FILES:
        try:
            counts = wycheproof.check_all(file)
        except (AssertionError, wycheproof.VectorsMissingError) as error:
            print(f"  WRONG    {file.name}: {error}")
            wrong += 1
            continue
        total += sum(counts.values())
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"  right    {file.name} ({file.through}): {told}")
    for answers in known_answers.ANSWERS:
        try:
            count = known_answers.check(answers)
        except AssertionError as error:
            print(f"  WRONG    {answers.name}: {error}")
            wrong += 1
            continue
        total += count
        print(f"  right    {answers.name} ({answers.through}): {count} known answers")
    print(f"{total} vectors, {wrong} files wrong", flush=True)
    return wrong


def _attack(family: Family, *, thorough: bool) -> Sequence[Result]:
    print(f"\n{family.name}", flush=True)
    results = attack_all(family, thorough=thorough)
    for result in results:
        print(f"  {_told(result)}")
    return results


def _told(result: Result) -> str:
    name = result.attack.name
    if result.honest != ACCEPTED:
        return f"NOT TRIED {name}: the honest twin ended with {result.honest}"
    outcomes = sorted(result.outcomes.items())
    told = ", ".join(f"{count} by {by}" for by, count in outcomes)
    word = "refused  " if result.refused else "NOT REFUSED"
    return f"{word} {name}: {told or 'nothing was tried'}"


if __name__ == "__main__":
    sys.exit(main())
