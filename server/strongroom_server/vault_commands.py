# SPDX-License-Identifier: Apache-2.0
"""`strongroom vault`: what an operator installs in Vault; asks nobody."""

import enum
import sys
from typing import Annotated

import typer

from strongroom.errors import InvalidArgumentError
from strongroom_server.core import vault_policy

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


@app.callback()
def _vault() -> None:
    """Keep `policy` a command of its own, though it is the only one."""


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
