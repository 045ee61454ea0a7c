# SPDX-License-Identifier: Apache-2.0
"""Commands about approvals: ls, show, approve, deny, withdraw, run, enroll.

What is shown of a request is read from its bytes by this program, not told by the
server, and it is these bytes that a security key signs for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from strongroom import _convert, _system
from strongroom.cli.enrolling import (
    enroll,
    security_keys,
    software_key,
    trusted_store,
)
from strongroom.cli.foreseeing import foreseen
from strongroom.cli.output import Output, counted, format_time
from strongroom.cli.quoting import barred, columns_of, quoted
from strongroom.cli.session import (
    JsonFlag,
    QuietFlag,
    Reason,
    session_of,
)
from strongroom.cli.shredding import print_receipt
from strongroom.client import Client
from strongroom.errors import InvalidArgumentError
from strongroom.values import Approval, ApprovalState, KeyAssertion, RelyingParty

approvals_app = typer.Typer(
    no_args_is_help=True, help="What one person may do only if others agree."
)

#: Prints what an approved method answered, by its full name; others as JSON.
RESULT_PRINTERS: Final[dict[str, Callable[[Client, Output, Message], None]]] = {
    "/strongroom.v1.KeyService/ShredArtifact": print_receipt,
    "/strongroom.v1.KeyService/ShredProject": print_receipt,
}

#: What stands on the screen as it is: names, without blanks, and short.
_PLAIN: Final = re.compile(r"[A-Za-z0-9:/._@\[\]-]{1,66}")
_NAME_WIDTH: Final = 11
_MAX_NAME_WIDTH: Final = 30
#: Columns that every terminal has; a longer line would go on below as if it began.
_SCREEN: Final = 78
_OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})
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

    Of a shredding also what would die, by the server's word; a security key signs for
    the request alone.

    For example:

      strongroom approvals show 6ae72d44-616d416eec
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        approval = client.get_approval(name)
        _show(output, approval, foreseen(client, approval))


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
    trusted = trusted_store(session)
    keys, path = security_keys(), software_key(session)

    def sign(
        challenge: bytes, party: RelyingParty, credential_ids: tuple[bytes, ...]
    ) -> KeyAssertion:
        answer: KeyAssertion = keys.sign_with(path, challenge, party, credential_ids)
        return answer

    with session.client() as client:
        approval = client.get_approval(name)
        if not as_json:
            _show(output, approval, foreseen(client, approval))
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


@approvals_app.command()
def withdraw(
    context: typer.Context, name: _Id, *, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Take back what you asked for; nobody can approve or use it then.

    For example:

      strongroom approvals withdraw 6ae72d44-616d416eec --reason "typing error"
    """
    output = Output(as_json=as_json)
    with session_of(context).client() as client:
        taken = client.withdraw_approval(name, reason=reason)
    output.record("approval", _record(taken))
    output.line(f"{taken.approval_id}: withdrawn")


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


approvals_app.command()(enroll)


def _show(output: Output, approval: Approval, foreseen: str) -> None:
    """Show what would be signed; its state, who decided, and what would be are told.

    What others wrote comes last, in quotes and behind bars: it cannot look like
    anything that stands above it.
    """
    request = _convert.request_of(approval.method, approval.request)
    fields = dict(_convert.shown_fields(request))
    shown = {"request": fields, "store": approval.store, "digest": approval.digest}
    shown |= {"foreseen": foreseen} if foreseen else {}
    output.record("approval", {**_record(approval), **shown})
    long: list[tuple[str, str]] = []

    def fact(name: str, value: str) -> None:
        plain = _PLAIN.fullmatch(value)
        output.line(f"{name.ljust(_NAME_WIDTH)}{value if plain else '(below)'}")
        if not plain:
            long.append((name, value))

    output.line(f"approval   {approval.approval_id}: {_state(approval)}")
    output.line(f"needs      {_needs(approval)}, as the server says")
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
    told = {
        "denied-because": approval.deny_reason, "the-server-foresees": foreseen
    }  # fmt: skip
    texts += [(name, text) for name, text in told.items() if text]
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
        "needed_count": approval.needed_count,
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


def _needs(approval: Approval) -> str:
    if approval.needed_count is None:
        return "it is not known how many people"
    if approval.needed_count == 0:
        return "nobody, by the policies of now"
    told = (
        "1 person"
        if approval.needed_count == 1
        else (f"{approval.needed_count} people")
    )
    return f"{told}, of whom {len(approval.consents)} approved"


def _state(approval: Approval) -> str:
    told = approval.state.value.lower().replace("_", " ")
    people, needed = len(approval.consents), approval.needed_count
    if needed and needed > 1 and approval.state in _OPEN:
        return f"{told} ({people} of {needed})"
    return f"{told} ({people})" if people else told


def _left(approval: Approval) -> str:
    left_s = max(0.0, (approval.expire_time - _system.now()).total_seconds())
    minutes, seconds = divmod(int(left_s), _MINUTE_S)
    return f"{minutes} min" if minutes else f"{seconds} s"


def _print_answer(output: Output, answer: Message) -> None:
    output.record("answer", MessageToDict(answer, preserving_proto_field_name=True))
    for key, value in _convert.shown_fields(answer):
        output.line(f"{key}  {value}")


def _unconfirmed() -> InvalidArgumentError:
    message = "nothing was approved"
    return InvalidArgumentError(message, hint="Say yes, or deny it with a reason.")


def _unseen(approval: Approval) -> InvalidArgumentError:
    message = f"what --yes says is not the digest of approval {approval.approval_id}"
    return InvalidArgumentError(
        message,
        hint=f"Look at it first: strongroom approvals show {approval.approval_id}",
    )
