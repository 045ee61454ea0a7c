# SPDX-License-Identifier: Apache-2.0
"""Which backup a command is about: its number, or the newest one if none is given.

What a script fills in may be 0, which a server takes for the newest backup; in the
night of an attack that is the poisoned one. So only leaving it out means the newest.
"""

from typing import Annotated

import typer

from strongroom.errors import InvalidArgumentError

_HELP = "The backup's number, from 1; the newest one without."

#: Of commands that are about a backup.
BackupArgument = Annotated[int | None, typer.Argument(help=_HELP)]
#: Of commands that are about something else, and take it from a backup.
BackupOption = Annotated[int | None, typer.Option("--backup", help=_HELP)]


def chosen_backup(number: int | None) -> int:
    """Return the number as servers are asked: 0 for the newest, if none was given.

    Raises:
        InvalidArgumentError: A number was given that no backup has.
    """
    if number is None:
        return 0
    if number < 1:
        message = f"there is no backup {number}: numbers begin with 1"
        raise InvalidArgumentError(
            message,
            hint="Leave the number out for the newest one; `strongroom backup ls` "
            "shows which there are.",
            number=number,
        )
    return number
