# SPDX-License-Identifier: Apache-2.0
"""Signed statements as commands save them, and times as commands are given them."""

from datetime import UTC, datetime
from pathlib import Path

from strongroom.errors import AlreadyExistsError, InvalidArgumentError


def save_new(path: Path, data: bytes, *, hint: str) -> Path:
    """Write a statement to a new file, or find it in one that holds it already.

    Args:
        path: The file; what is there is never overwritten.
        data: The statement.
        hint: How to have it again, in a file of another name.

    Raises:
        AlreadyExistsError: The file holds something else.
        InvalidArgumentError: It cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        if path.is_file() and path.read_bytes() == data:
            return path
        message = f"{path} exists, and holds something else"
        raise AlreadyExistsError(message, hint=hint, path=path) from error
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise InvalidArgumentError(message, hint=hint, path=path) from error
    return path


def parse_time(text: str) -> datetime:
    """Return the time that was written; in UTC unless it says otherwise.

    Raises:
        InvalidArgumentError: It is none.
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError as error:
        message = f"{text[:40]!r} is no time, such as 2027-01-31 or 2027-01-31T12:00Z"
        raise InvalidArgumentError(message, value=text[:40]) from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
