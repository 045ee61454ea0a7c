# SPDX-License-Identifier: Apache-2.0
"""Expectations about access: a table that is reviewed like code, and checked in CI.

A CSV file with a heading. `principal`, `action`, `resource` and `expected` (`allow`
or `deny`) must be there; `policy` (what decides, as the audit log has it),
`tls_version`, `key_exchange` and `hour_utc` may, and for people `mfa` (`true` or
`false`), `auth_age_s`, `approvals` and `workload`, the certificate's SPIFFE id; and of
requests `lifts` (`true` if a hold is lifted) and `lock_days`. Lines that begin with `#`
are comments.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import InvalidArgumentError
from strongroom_server.core.access import AccessAction, CallFacts
from strongroom_server.core.operators import is_operator

_NEEDED: Final = frozenset({"principal", "action", "resource", "expected"})
_FACTS: Final = {
    "tls_version": "TLSv1.3",
    "key_exchange": "X25519MLKEM768",
    "hour_utc": "12",
    "mfa": "false",
    "auth_age_s": "0",
    "approvals": "0",
    "workload": "",
    "lifts": "false",
    "lock_days": "0",
}
_NUMBERS: Final = {
    "hour_utc": "hour",
    "auth_age_s": "age",
    "approvals": "count",
    "lock_days": "count of days",
}
_FLAGS: Final = {"true": True, "false": False}
_KNOWN: Final = _NEEDED | {"policy"} | _FACTS.keys()
_VERDICTS: Final = {"allow": True, "deny": False}


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of the table.

    Attributes:
        line: Its number in the file, from 1.
        principal: A SPIFFE id, or `operator:NAME`.
        action: The right.
        resource: A resource name.
        facts: Of the call; as most calls have them, unless the table says otherwise.
        allowed: What is expected.
        policy: What is expected to decide, such as `reader@training`; "" for any.
    """

    line: int
    principal: str
    action: AccessAction
    resource: str
    facts: CallFacts
    allowed: bool
    policy: str


def parse_expectations(lines: Iterable[str]) -> Iterator[Expectation]:
    """Read the lines of a table of expectations.

    Raises:
        InvalidArgumentError: A column, action or word is unknown or missing.
    """
    numbered = _without_comments(lines)
    heading = next(csv.reader([next(numbered, (1, ""))[1]]), [])
    columns = [column.strip() for column in heading]
    unknown = sorted({*columns} - _KNOWN) or sorted(_NEEDED - {*columns})
    if unknown or len(columns) != len({*columns}):
        message = f"the heading has {', '.join(columns) or 'nothing'}"
        hint = (
            f"It must have {', '.join(sorted(_NEEDED))}; it may have "
            f"{', '.join(sorted(_KNOWN - _NEEDED))}."
        )
        raise InvalidArgumentError(message, hint=hint)
    for number, line in numbered:
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        if len(cells) != len(columns):
            raise _wrong(number, f"{len(cells)} cells are not {len(columns)}")
        yield _parse(number, dict(zip(columns, cells, strict=True)))


def _without_comments(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _parse(number: int, row: Mapping[str, str]) -> Expectation:
    facts = {name: row.get(name) or default for name, default in _FACTS.items()}
    if row["expected"] not in _VERDICTS:
        raise _wrong(number, f"{row['expected']!r} is neither allow nor deny")
    try:
        action = AccessAction(row["action"])
    except ValueError as error:
        raise _wrong(number, f"{row['action']!r} is no action") from error
    return Expectation(
        line=number,
        principal=row["principal"],
        action=action,
        resource=row["resource"],
        facts=_facts(number, row["principal"], facts),
        allowed=_VERDICTS[row["expected"]],
        policy=row.get("policy", ""),
    )


def _facts(number: int, principal: str, facts: Mapping[str, str]) -> CallFacts:
    for name, what in _NUMBERS.items():
        if not facts[name].isdecimal():
            raise _wrong(number, f"{facts[name]!r} is no {what}")
    for name in ("mfa", "lifts"):
        if facts[name] not in _FLAGS:
            raise _wrong(number, f"{facts[name]!r} is neither true nor false")
    program = "" if is_operator(principal) else principal
    return CallFacts(
        facts["tls_version"],
        facts["key_exchange"],
        int(facts["hour_utc"]),
        mfa=_FLAGS[facts["mfa"]],
        auth_age_s=int(facts["auth_age_s"]),
        approvals=int(facts["approvals"]),
        workload=facts["workload"] or program,
        lifts=_FLAGS[facts["lifts"]],
        lock_days=int(facts["lock_days"]),
    )


def _wrong(number: int, message: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"line {number}: {message}", line=number)
