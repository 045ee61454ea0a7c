# SPDX-License-Identifier: Apache-2.0
"""What a writer says about a version: checked where it is said, not where it is sent.

A save is sent by a thread, later; and what is no text never becomes a request.
"""

from collections.abc import Mapping
from typing import Final

from strongroom.errors import InvalidArgumentError

#: The server refuses more, too; of much more it would not even read the request.
_MAX_MESSAGE_CHARS: Final = 1000


def check_description(message: object, metadata: object = None) -> None:
    """Check what is to be said about a version; None says nothing.

    Raises:
        InvalidArgumentError: The message is no text or too long, or a key or a value
            of the metadata is no text.
    """
    if message is not None and not isinstance(message, str):
        problem = f"message is {type(message).__name__}, not text"
        raise InvalidArgumentError(problem, hint="Give text: str(…).")
    if message is not None and len(message) > _MAX_MESSAGE_CHARS:
        problem = f"message has more than {_MAX_MESSAGE_CHARS} characters"
        raise InvalidArgumentError(
            problem, hint="Put what is longer into a file of the version."
        )
    if metadata is None:
        return
    if not isinstance(metadata, Mapping):
        problem = f"metadata is {type(metadata).__name__}, no mapping"
        raise InvalidArgumentError(problem, hint='Give a dict of text: {"lr": "1e-4"}.')
    for key, value in metadata.items():
        if not isinstance(key, str):
            problem = f"metadata has the key {str(key)[:100]!r}, which is no text"
            raise InvalidArgumentError(problem, hint="Give text: str(…).")
        if not isinstance(value, str):
            problem = f"metadata {key[:100]!r} is {type(value).__name__}, not text"
            raise InvalidArgumentError(problem, hint="Give text: str(…).", key=key)
