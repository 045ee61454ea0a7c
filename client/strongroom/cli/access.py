# SPDX-License-Identifier: Apache-2.0
"""The command `access explain`: why a call would be allowed or denied."""

from typing import Annotated

import typer

from strongroom.cli.output import Output, counted, short_digest
from strongroom.cli.session import JsonFlag, session_of
from strongroom.values import AccessExplanation, AccessRemedy

access_app = typer.Typer(no_args_is_help=True, help="Who may do what, and why.")


@access_app.callback()
def _group() -> None:
    """Who may do what, and why."""


@access_app.command()
def explain(
    context: typer.Context,
    *,
    action: Annotated[
        str, typer.Option("--action", help="The right, such as version.read.")
    ],
    resource: Annotated[
        str,
        typer.Option(
            "--resource",
            help="server, projects, projects/NAME, or project/artifact@version.",
        ),
    ],
    principal: Annotated[
        str,
        typer.Option(
            "--principal", help="A SPIFFE id or operator:NAME; your own if missing."
        ),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Say why a call would be allowed or denied, by the policies in force now.

    Ends with 0 whichever it is. Whether the resource exists plays no part.

    For example:

      strongroom access explain --action version.read --resource demo/minilm@prod

      strongroom access explain --principal spiffe://example.org/ns/a/sa/b/job/c
      --action ref.move --resource projects/demo/artifacts/minilm/refs/prod
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        told = client.explain_access(action, resource, principal=principal)
    output.record("access", told)
    for line in _told(told):
        output.line(line)


def _told(told: AccessExplanation) -> list[str]:
    verdict = "allowed" if told.allowed else "denied"
    lines = [f"{verdict}: {told.principal} {told.action} {told.resource}"]
    lines.append(f"  decided by: {_deciding(told)}")
    lines += [f"  failed: {error}" for error in told.errors]
    for item in told.assignments:
        where = ", ".join(item.resources)
        lines.append(f"  {item.id}: {item.principal} is {', '.join(item.roles)}")
        lines.append(f"    on {where}")
    if not told.assignments:
        lines.append("  no assignment gives it a role there")
    if told.remedy is not None:
        lines.append(f"  would be allowed with: {_lacking(told.remedy)}")
    elif not told.allowed and not told.policies:
        allowing = ", ".join(told.allowing_roles)
        lines.append(f"  would be allowed as: {allowing or 'none of the roles'}")
    lines.append(f"  policies {short_digest('sha256:' + told.digest)}")
    if told.refusal:
        lines.append(f"  ! {told.refusal}")
    return lines


def _lacking(remedy: AccessRemedy) -> str:
    parts = []
    if remedy.login:
        when = f"at most {remedy.max_age_s} seconds ago"
        parts.append(f"a login with a second factor {when}")
    if remedy.approvals:
        parts.append(
            f"the approval of {counted(remedy.approvals, 'other person', 'others')}"
        )
    return " and ".join(parts)


def _deciding(told: AccessExplanation) -> str:
    if told.policies:
        names = ", ".join(told.policies)
        noun = counted(len(told.policies), "policy", "policies").split()[1]
        return f"{noun} {names}"
    return "a policy that failed" if told.errors else "no policy allows it"
