# SPDX-License-Identifier: Apache-2.0
"""A person's own security key: making it ready, and what their settings say of it."""

import base64
import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer

from strongroom.cli.output import Output
from strongroom.cli.session import JsonFlag, Session, session_of
from strongroom.config import NO_FILE
from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom.values import TrustedStore

#: As the server's file of credentials wants them: one malformed name there, and it
#: believes nobody's key.
_PERSON: Final = re.compile(r"operator:[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


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
    if not _NAME.fullmatch(key_name):
        message = f"{key_name!r} is no name of a security key"
        raise InvalidArgumentError(
            message, hint="Small letters, digits and hyphens, as in bob-desk."
        )
    session = session_of(context)
    keys, trusted = security_keys(), trusted_store(session)
    with session.client() as client:
        party = client.list_approvals().relying_party
        principal = client.server_info().principal
    if party is None:
        message = "the server knows no security keys"
        raise PreconditionError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="An operator sets operators.rp_id and operators.credentials_file.",
        )
    if not _PERSON.fullmatch(principal):
        message = f"you are {principal}, a program: only people approve"
        raise PreconditionError(
            message, reason=Reason.SETTING_INVALID, hint="strongroom login"
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
        output.line(f'{key} = "{value}"')


def software_key(session: Session) -> Path | None:
    """Return the file that stands for a security key; None for a device."""
    path = session.settings().security_key_file
    return None if path == NO_FILE else path


def trusted_store(session: Session) -> TrustedStore:
    """Return for which store the person signs, by their own settings.

    Raises:
        PreconditionError: They name none (SETTING_INVALID).
    """
    settings = session.settings()
    for name in ("store_id", "relying_party"):
        if not getattr(settings, name):
            message = f"no setting {name}: a server could have you sign for another one"
            raise PreconditionError(
                message,
                reason=Reason.SETTING_INVALID,
                hint=f"Ask the store's operators, and write {name} into "
                f"{settings.source or 'client.toml'}.",
                setting=name,
            )
    return TrustedStore(settings.store_id, settings.relying_party)


def security_keys() -> ModuleType:
    """Return the module that speaks with security keys.

    Raises:
        InvalidArgumentError: What it needs is not installed.
    """
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


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
