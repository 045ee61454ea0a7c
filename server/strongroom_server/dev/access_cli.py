# SPDX-License-Identifier: Apache-2.0
"""`strongroom access test`: policies and assignments against a reviewed table.

Needs the files only, and no server: for CI, before a change is rolled out.
"""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.errors import InvalidArgumentError
from strongroom_server.adapters.cedar import AccessFiles, CedarAuthorizer
from strongroom_server.core.access import Decision
from strongroom_server.core.expectations import Expectation, parse_expectations

#: What a server's settings say where they say nothing (a test compares the two).
LOCK_DAYS_ALONE: Final = 70

#: The exit code if anything differs.
DIFFERENT: Final = 1


def compare(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV: principal, action, resource, expected (allow or deny).",
        ),
    ],
    *,
    assignments: Annotated[
        Path, typer.Option("--assignments", help="The file of role assignments.")
    ],
    policies: Annotated[
        Path | None,
        typer.Option("--policies", help="A folder with policies of your own."),
    ] = None,
    shipped_roles: Annotated[
        bool, typer.Option(help="With the roles that come with the server.")
    ] = True,
    shipped_rules: Annotated[
        bool, typer.Option(help="With the rules for everybody that come with it.")
    ] = True,
    protected_ref: Annotated[
        list[str] | None,
        typer.Option(help="A ref that nobody moves alone, as in the settings."),
    ] = None,
    lock_days_alone: Annotated[
        int,
        typer.Option(
            help="For how many days somebody locks a backup alone; 0: for any. The "
            "server's default is twice its backup.retention_days."
        ),
    ] = LOCK_DAYS_ALONE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines instead of text.")
    ] = False,
) -> None:
    """Compare what policies decide with what a table expects; for CI.

    Needs the files only, and no server. One line for each that differs. Ends with 0
    if none does, else with 1.

    For example:

      strongroom access test expectations.csv --assignments assignments.toml
    """
    files = AccessFiles(
        assignments,
        policies,
        shipped_roles,
        shipped_rules,
        (*(protected_ref or ()),),
        lock_days_alone,
    )
    _compare(files.read(), table, as_json=as_json)


def _compare(authorizer: CedarAuthorizer, table: Path, *, as_json: bool) -> None:
    rows = list(parse_expectations(_lines(table)))
    differing = 0
    for row in rows:
        decision = _decide(authorizer, row)
        good = decision.allowed == row.allowed and (
            not row.policy or decision.policy_id == row.policy
        )
        differing += not good
        _tell(table, row, decision, good=good, as_json=as_json)
    if not as_json:
        print(f"{len(rows)} expectations, {differing} differ")
    if differing or not rows:
        raise typer.Exit(DIFFERENT)


def _decide(authorizer: CedarAuthorizer, row: Expectation) -> Decision:
    """Decide as for a call; a question that no call asks is a fault of the table."""
    question = (row.principal, row.action, row.resource, row.facts)
    try:
        return authorizer.explain(*question).decision
    except InvalidArgumentError as error:
        message = f"line {row.line}: {error.message}"
        raise InvalidArgumentError(message, hint=error.hint) from error


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{table} cannot be read"
        raise InvalidArgumentError(message, path=table) from error


def _tell(
    table: Path, row: Expectation, decision: Decision, *, good: bool, as_json: bool
) -> None:
    told = {True: "allow", False: "deny"}
    if as_json:
        line = {
            "message_type": "expectation",
            "line": row.line,
            "principal": row.principal,
            "action": row.action.value,
            "resource": row.resource,
            "expected": told[row.allowed],
            "decided": told[decision.allowed],
            "policy": decision.policy_id,
            "ok": good,
        }
        print(json.dumps(line))
    elif not good:
        wanted = told[row.allowed] + (f" by {row.policy}" if row.policy else "")
        print(
            f"! {table}:{row.line}: {row.principal} {row.action} {row.resource}: "
            f"{told[decision.allowed]} by {decision.policy_id}, not {wanted}"
        )
