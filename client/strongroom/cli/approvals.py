# SPDX-License-Identifier: Apache-2.0
"""Commands about approvals: ls, show, approve, deny, run, enroll.

What is shown of a request is read from its bytes by this program, not told by the
server, and it is these bytes that a security key signs for.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from strongroom import _convert, _system
from strongroom.cli.output import Output, counted, format_time
from strongroom.cli.quoting import barred, columns_of, quoted
from strongroom.cli.session import (
    JsonFlag,
    QuietFlag,
    Reason,
    Session,
    session_of,
)
from strongroom.cli.shredding import print_receipt
from strongroom.client import Client
from strongroom.config import NO_FILE
from strongroom.errors import InvalidArgumentError, PreconditionError
from strongroom.errors import Reason as Why
from strongroom.values import Approval, KeyAssertion, RelyingParty, TrustedStore

approvals_app = typer.Typer(
    no_args_is_help=True, help="What one person may do only if others agree."
)

#: Prints what an approved method answered, by its full name; others as JSON.
RESULT_PRINTERS: Final[dict[str, Callable[[Client, Output, Message], None]]] = {
    "/strongroom.v1.KeyService/ShredProject": print_receipt,
}

#: What stands on the screen as it is: names, without blanks, and short.
_PLAIN: Final = re.compile(r"[A-Za-z0-9:/._@\[\]-]{1,66}")
_NAME_WIDTH: Final = 11
_MAX_NAME_WIDTH: Final = 30
#: Columns that every terminal has; a longer line would go on below as if it began.
_SCREEN: Final = 78
_HEADING: Final = ("ID", "STATE", "LEFT", "ACTION", "RESOURCE", "REQUESTER", "REASON")
_MINUTE_S: Final = 60

_Id = Annotated[str, typer.Argument(metavar="ID", help="As `approvals ls` shows it.")]
_YesFlag = Annotated[
    str,
    typer.Option(
        "--yes",
        metavar="DIGEST",
        help="Do not ask: the digest that `approvals show` printed.",
    ),
]
#: What stands in `approvals ls` is for finding one, not for approving it.
_MAX_REASON_CHARS: Final = 40


@approvals_app.command("ls")
def list_approvals(
    context: typer.Context, *, as_json: JsonFlag = False, quiet: QuietFlag = False
) -> None:
    """List the approvals that people wait for, and those that can still be used.

    For example:

      strongroom approvals ls
    """
    output = Output(as_json=as_json, quiet=quiet)
    with session_of(context).client() as client:
        found = client.list_approvals()
    for approval in found.approvals:
        output.record("approval", _record(approval))
    output.table([_row(item) for item in found.approvals], heading=_HEADING)
    for name in found.damaged:
        output.line(f"! {name} is damaged, and counts for nothing")
    output.say(counted(len(found.approvals), "approval"))


@approvals_app.command()
def show(context: typer.Context, name: _Id, *, as_json: JsonFlag = False) -> None:
    """Show an approval whole: who asks for what, why, and every field of the request.

    For example:

      strongroom approvals show 6ae72d44-616d416eec
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        approval = client.get_approval(name)
    _show(output, approval)


@approvals_app.command()
def approve(
    context: typer.Context,
    name: _Id,
    *,
    yes: _YesFlag = "",
    as_json: JsonFlag = False,
) -> None:
    """Approve exactly the request that is shown, with your security key.

    The settings say for which store (store_id, relying_party in client.toml).

    For example:

      strongroom approvals approve 6ae72d44-616d416eec
    """
    output = Output(as_json=as_json)
    if as_json and not yes:
        message = "with --json nobody is asked, so --yes has to say what is approved"
        raise InvalidArgumentError(
            message, hint="--yes DIGEST, as `approvals show` prints it."
        )
    session = session_of(context)
    trusted = _trusted(session)
    keys, path = _security_keys(), _software_key(session)

    def sign(
        challenge: bytes, party: RelyingParty, credential_ids: tuple[bytes, ...]
    ) -> KeyAssertion:
        answer: KeyAssertion = keys.sign_with(path, challenge, party, credential_ids)
        return answer

    with session.client() as client:
        approval = client.get_approval(name)
        if not as_json:
            _show(output, approval)
        if yes and yes != approval.digest:
            raise _unseen(approval)
        if not yes and not typer.confirm("Approve this?", err=True):
            raise _unconfirmed()
        approved = client.approve(approval, sign, trusted=trusted)
    output.record("approval", _record(approved))
    who = ", ".join(consent.principal for consent in approved.consents)
    output.line(f"{approved.approval_id}: approved by {who}")


@approvals_app.command()
def deny(
    context: typer.Context, name: _Id, *, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Deny an approval; nobody can approve it then.

    For example:

      strongroom approvals deny 6ae72d44-616d416eec --reason "wrong project"
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        denied = client.deny(name, reason=reason)
    output.record("approval", _record(denied))
    output.line(f"{denied.approval_id}: denied by {denied.denier}")


@approvals_app.command("run")
def run_approved(
    context: typer.Context, name: _Id, *, as_json: JsonFlag = False
) -> None:
    """Send exactly the request that was approved; it succeeds once.

    For example:

      strongroom approvals run 6ae72d44-616d416eec
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        approval = client.get_approval(name)
        answers = client.run_approved(approval)
        output.say(f"{approval.approval_id}: {approval.action} done")
        printer = RESULT_PRINTERS.get(approval.method)
        for answer in answers:
            if printer is not None:
                printer(client, output, answer)
            else:
                _print_answer(output, answer)


@approvals_app.command()
def enroll(
    context: typer.Context,
    key_name: Annotated[
        str, typer.Argument(metavar="NAME", help="What to call the key: bob-desk.")
    ],
    *,
    software: Annotated[
        Path | None,
        typer.Option(help="Make a file in place of a device: for development only."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make your security key ready to approve, and print what a reviewer adds.

    The printed lines count once they stand in the server's file of credentials
    (operators.credentials_file), which somebody else reviews. The key signs for the
    relying_party of your client.toml.

    For example:

      strongroom approvals enroll bob-desk
    """
    output = Output(as_json=as_json)
    session = session_of(context)
    keys, trusted = _security_keys(), _trusted(session)
    with session.client() as client:
        party = client.list_approvals().relying_party
        principal = client.server_info().principal
    if party is None:
        message = "the server knows no security keys"
        raise PreconditionError(
            message,
            reason=Why.SETTING_INVALID,
            hint="An operator sets operators.rp_id and operators.credentials_file.",
        )
    if not principal.startswith("operator:"):
        message = f"you are {principal}, a program: only people approve"
        raise PreconditionError(
            message, reason=Why.SETTING_INVALID, hint="strongroom login"
        )
    trusted.check_party(party)
    made = keys.enroll_with(software, party, principal)
    entry = {
        "name": key_name,
        "operator": principal,
        "credential_id": _base64url(made.credential_id),
        "public_key": _base64url(made.public_key),
    }
    output.record("credential", entry)
    if software is not None:
        output.line("# a SOFTWARE key, for development only")
    output.line("[[credentials]]")
    for key, value in entry.items():
        output.line(f"{key} = {json.dumps(value)}")


def _show(output: Output, approval: Approval) -> None:
    """Show what would be signed, and that only its state and who decided are told.

    What others wrote comes last, in quotes and behind bars: it cannot look like
    anything that stands above it.
    """
    request = _convert.request_of(approval.method, approval.request)
    fields = dict(_convert.shown_fields(request))
    shown = {"request": fields, "store": approval.store, "digest": approval.digest}
    output.record("approval", {**_record(approval), **shown})
    long: list[tuple[str, str]] = []

    def fact(name: str, value: str) -> None:
        plain = _PLAIN.fullmatch(value)
        output.line(f"{name.ljust(_NAME_WIDTH)}{value if plain else '(below)'}")
        if not plain:
            long.append((name, value))

    output.line(f"approval   {approval.approval_id}: {_state(approval)}")
    fact("store", approval.store)
    fact("requester", approval.requester)
    output.line(f"asked for  {format_time(approval.create_time)}")
    output.line(f"ends       {format_time(approval.expire_time)}, in {_left(approval)}")
    fact("method", approval.method)
    for consent in approval.consents:
        fact("approved", consent.principal)
    if approval.denier:
        fact("denied", approval.denier)
    output.line(f"digest     {approval.digest}")
    texts = [(f"request.{key}", value) for key, value in fields.items()]
    texts += [*long, ("reason", approval.reason)]
    if approval.deny_reason:
        texts.append(("denied-because", approval.deny_reason))
    _show_texts(output, texts)


def _show_texts(output: Output, texts: Sequence[tuple[str, str]]) -> None:
    """Print each text behind its name if there is room, or below it."""
    width = min(max(len(name) for name, _ in texts), _MAX_NAME_WIDTH)
    for name, text in texts:
        # Keys of a map are the requester's words, too.
        names = [name] if _PLAIN.fullmatch(name) else list(barred(name))
        lines = list(barred(text))
        room = _SCREEN - width - len("  ")
        fits = len(lines) == 1 and columns_of(lines[0]) <= room
        if fits and names == [name[:width]]:
            names, lines = [], [f"{name.ljust(width)}  {lines[0]}"]
        for line in (*names, *lines):
            output.line(line)


def _record(approval: Approval) -> Mapping[str, object]:
    return {
        "approval_id": approval.approval_id,
        "state": approval.state,
        "method": approval.method,
        "action": approval.action,
        "resources": approval.resources,
        "requester": approval.requester,
        "reason": approval.reason,
        "create_time": approval.create_time,
        "expire_time": approval.expire_time,
        "consents": approval.consents,
        "denier": approval.denier,
        "deny_reason": approval.deny_reason,
    }


def _row(approval: Approval) -> tuple[str, ...]:
    return (
        approval.approval_id,
        _state(approval),
        _left(approval),
        approval.action,
        ", ".join(approval.resources),
        approval.requester,
        _short(approval.reason),
    )


def _short(reason: str) -> str:
    text = quoted(reason)
    return text if len(text) <= _MAX_REASON_CHARS else text[:_MAX_REASON_CHARS] + "…"


def _state(approval: Approval) -> str:
    told = approval.state.value.lower().replace("_", " ")
    people = len(approval.consents)
    return f"{told} ({people})" if people else told


def _left(approval: Approval) -> str:
    left_s = max(0.0, (approval.expire_time - _system.now()).total_seconds())
    minutes, seconds = divmod(int(left_s), _MINUTE_S)
    return f"{minutes} min" if minutes else f"{seconds} s"


def _print_answer(output: Output, answer: Message) -> None:
    output.record("answer", MessageToDict(answer, preserving_proto_field_name=True))
    for key, value in _convert.shown_fields(answer):
        output.line(f"{key}  {value}")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _software_key(session: Session) -> Path | None:
    path = session.settings().security_key_file
    return None if path == NO_FILE else path


def _trusted(session: Session) -> TrustedStore:
    """Return for which store the person signs, by their own settings."""
    settings = session.settings()
    for name in ("store_id", "relying_party"):
        if not getattr(settings, name):
            message = f"no setting {name}: a server could have you sign for another one"
            raise PreconditionError(
                message,
                reason=Why.SETTING_INVALID,
                hint=f"Ask the store's operators, and write {name} into "
                f"{settings.source or 'client.toml'}.",
                setting=name,
            )
    return TrustedStore(settings.store_id, settings.relying_party)


def _security_keys() -> ModuleType:
    try:
        from strongroom.cli import security_keys
    except ModuleNotFoundError as error:
        message = f"security keys need the module {error.name!r}"
        raise InvalidArgumentError(
            message,
            hint="pip install 'strongroom[cli,operators]'",
            module=error.name or "",
        ) from error
    return security_keys


def _unconfirmed() -> InvalidArgumentError:
    message = "nothing was approved"
    return InvalidArgumentError(message, hint="Say yes, or deny it with a reason.")


def _unseen(approval: Approval) -> InvalidArgumentError:
    message = f"what --yes says is not the digest of approval {approval.approval_id}"
    return InvalidArgumentError(
        message,
        hint=f"Look at it first: strongroom approvals show {approval.approval_id}",
    )
