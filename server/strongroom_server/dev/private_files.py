# SPDX-License-Identifier: Apache-2.0
"""Files and folders of a stack: whole or absent, and for their owner only."""

import json
import os
import secrets
from pathlib import Path

from strongroom.errors import PreconditionError, Reason


def make_private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, and its parents; give it back."""
    if not path.is_dir():
        make_private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Put `text` into a file of mode 0600 at once: a reader sees old or new.

    The bytes are on disk when this returns, so what is written here first (an
    unseal key, for instance) is there after a crash.
    """
    make_private_folder(path.parent)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_if_changed(path: Path, text: str) -> bool:
    """Write the file unless it says the same already; say whether it was written."""
    if path.exists() and path.read_text("utf-8") == text:
        return False
    write_private(path, text)
    return True


def write_record(path: Path, record: dict[str, object]) -> None:
    """Write a JSON object with `write_private`."""
    write_private(path, json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_record(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        PreconditionError: The file is missing or is no JSON object.
    """
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    if not isinstance(record, dict):
        raise _unreadable(path)
    return record


def _unreadable(path: Path) -> PreconditionError:
    return PreconditionError(
        f"the stack's file {path} cannot be read",
        reason=Reason.SETTING_INVALID,
        hint="Put the file back, or delete the stack's folder and start anew.",
        path=path,
    )
