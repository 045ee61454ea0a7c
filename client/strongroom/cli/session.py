# SPDX-License-Identifier: Apache-2.0
"""What all commands share: options, settings, and a client with traces."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from strongroom._login.logins import load_login
from strongroom.cli.asking import ask_for_approval
from strongroom.cli.spans import spans_recorded
from strongroom.client import Client
from strongroom.config import ClientSettings, load_settings
from strongroom.errors import PermissionDeniedError
from strongroom.errors import Reason as Why

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print JSON lines instead of text.")
]
QuietFlag = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results only, one per line.")
]
NoProgressFlag = Annotated[
    bool, typer.Option("--no-progress", help="Show no progress bar.")
]
DryRunFlag = Annotated[
    bool, typer.Option("--dry-run", help="Only check what would be.")
]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; kept in the signed journal.")
]


@dataclass(frozen=True, slots=True)
class Session:
    """The options in front of the command."""

    config_file: Path | None = None
    endpoint: str | None = None

    def settings(self) -> ClientSettings:
        """Return the settings, or raise what is wrong with them."""
        return load_settings(endpoint=self.endpoint, config_file=self.config_file)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Yield a client, of the person who signed in, if one did.

        Its spans go to the file that the settings name.
        """
        settings = self.settings()
        with (
            spans_recorded(settings.spans_file),
            Client(settings, login=True) as client,
        ):
            try:
                yield client
            except PermissionDeniedError as error:
                ask_for_approval(client, error)
                _name_sign_in(settings, error)
                raise


def _name_sign_in(settings: ClientSettings, error: PermissionDeniedError) -> None:
    """Say that a person could sign in, where only a program was refused."""
    plain = error.reason is Why.ACTION_NOT_ALLOWED
    if plain and settings.login_issuer and load_login(settings) is None:
        error.hint = (
            "Nobody has signed in here, so only the certificate counts: "
            "strongroom login. Or ask an operator for a role."
        )


def session_of(context: typer.Context) -> Session:
    """Return the options in front of the command."""
    session = context.find_object(Session)
    return session if session is not None else Session()
