# SPDX-License-Identifier: Apache-2.0
"""`strongroom vault`: what is installed in Vault, and whether a Vault fits a store."""

import enum
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from strongroom.errors import InvalidArgumentError
from strongroom_server.core import vault_policy
from strongroom_server.core.scope import format_id
from strongroom_server.reconcile_commands import (
    Config,
    Json,
    print_json,
    print_safely,
    settings_file,
    shown_time,
)
from strongroom_server.services.keys import (
    VaultProblem,
    VaultReport,
    check_found,
)

_DEFAULT = vault_policy.DEFAULT_NAMES

app = typer.Typer(
    name="vault",
    help="What Vault or OpenBao needs to know about Strongroom.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class Role(enum.StrEnum):
    """Whose policy to print."""

    SERVER = "server"
    KEY_ADMIN = "key-admin"
    KEY_DESTROYER = "key-destroyer"
    KEY_APPROVER = "key-approver"
    CLIENT_ISSUER = "client-issuer"
    SNAPSHOT = "snapshot"


@app.command()
def policy(
    *,
    role: Annotated[Role, typer.Option(help="Whose policy.")] = Role.SERVER,
    mount: Annotated[
        str, typer.Option(help="The transit mount; Strongroom's alone.")
    ] = _DEFAULT.mount,
    pki_mount: Annotated[str, typer.Option(help="The PKI mount.")] = _DEFAULT.pki_mount,
    pki_role: Annotated[
        str, typer.Option(help="The PKI role of the server's certificate.")
    ] = _DEFAULT.pki_role,
    client_pki_role: Annotated[
        str, typer.Option(help="The PKI role of clients' certificates.")
    ] = _DEFAULT.client_pki_role,
    approvers: Annotated[
        str, typer.Option(help="The group that approves that a key is destroyed.")
    ] = _DEFAULT.approvers,
    approvals: Annotated[
        int, typer.Option(help="How many of it must, at least 2.")
    ] = _DEFAULT.approvals,
    control_group: Annotated[
        bool, typer.Option(help="Whether Vault asks that group at all.")
    ] = _DEFAULT.control_group,
    project: Annotated[
        list[str] | None,
        typer.Option(help="The id of a project that a server may open; else all."),
    ] = None,
) -> None:
    """Print the least policy with which a role can do its work, as HCL.

    strongroom vault policy | bao policy write strongroom-server -
    """
    try:
        names = vault_policy.Names(
            mount=mount,
            pki_mount=pki_mount,
            pki_role=pki_role,
            client_pki_role=client_pki_role,
            approvers=approvers,
            approvals=approvals,
            control_group=control_group,
            projects=tuple(project or ()),
        )
    except ValueError as error:
        raise InvalidArgumentError(
            str(error), hint="strongroom vault policy --help"
        ) from error
    sys.stdout.write(vault_policy.ROLES[role](names))


@app.command()
def check(
    *,
    config: Config = None,
    backup: Annotated[
        str,
        typer.Option(help="Compare with a backup: its number, or `newest`."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Compare Vault with the store: each domain key is unwrapped, each KEK named.

    For a Vault that was restored, before a server is started on it. Changes nothing.

    For example:

      strongroom vault check --config server.toml

      strongroom vault check --config server.toml --backup newest
    """
    # Late, so that `policy` needs no client of S3.
    from strongroom_server.opening_vault_check import open_vault_check

    with open_vault_check(settings_file(config), backup=backup) as opened:
        for item in opened.check.run():
            if isinstance(item, VaultReport):
                _tell_report(item, opened.backup, as_json=as_json)
                check_found(item)
            else:
                _tell_problem(item, as_json=as_json)


def _tell_problem(problem: VaultProblem, *, as_json: bool) -> None:
    if as_json:
        fields = {**asdict(problem), "domain": _shown_id(problem.domain)}
        print_json({"message_type": "problem", **fields})
        return
    print_safely(f"! {problem.kind:<9} {problem.reason:<18} {problem.message}")
    print_safely(f"  {'next':<9} {problem.hint}")


def _tell_report(report: VaultReport, backup: int, *, as_json: bool) -> None:
    newest = report.newest_key_time
    if as_json:
        fields = {
            **asdict(report),
            "store": report.store.hex(),
            "backup": backup or None,
            "newest_key_time": newest and newest.isoformat(),
        }
        print_json({"message_type": "summary", **fields})
        return
    what = f", as backup {backup} has it" if backup else ""
    print_safely(f"  store      {report.store.hex()}{what}")
    print_safely(
        f"  keys       {report.opened_count} of {report.slot_count} open, "
        f"of {report.domain_count} key domains; {report.shredded_count} are shredded"
    )
    if newest is not None:
        print_safely(
            f"  youngest   {shown_time(newest)}: a snapshot of Vault from before then "
            "does not have it"
        )


def _shown_id(value: bytes) -> str:
    """Return an id as text; "" if there is none."""
    return format_id(value) if value else ""
