# SPDX-License-Identifier: Apache-2.0
"""Tokens with which a verification goes on where an earlier one stopped.

A token says where, in which store, and of which verification; it proves nothing:
whoever alters one leaves something out of a report of his own.
"""

import base64
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core import canonical

FORMAT: Final = 1
MAX_TOKEN_CHARS: Final = 4096
_FIELDS: Final = {
    "format": int, "store": str, "scope": str, "keyless": bool, "stage": int,
    "after": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class VerifyToken:
    """Where a verification stands.

    Attributes:
        store: The store's id, in hex.
        scope: The resource name that is verified; "" is the whole store.
        keyless: Whether no key is opened.
        stage: The number of the stage that it is in.
        after: Everything up to here is done; what that is depends on the stage.
    """

    store: str
    scope: str
    keyless: bool
    stage: int = 0
    after: str = ""


def format_token(token: VerifyToken) -> str:
    """Return the token as text."""
    body = {
        "format": FORMAT,
        "store": token.store,
        "scope": token.scope,
        "keyless": token.keyless,
        "stage": token.stage,
        "after": token.after,
    }
    return base64.urlsafe_b64encode(canonical.encode(body)).decode()


def parse_token(text: str, wanted: VerifyToken) -> VerifyToken:
    """Return where to go on.

    Args:
        text: What `format_token` returned; "" begins at the beginning.
        wanted: The verification that is asked for, at its beginning.

    Raises:
        InvalidArgumentError: It is no token, or of another store, scope or kind of
            verification (ARGUMENT_INVALID).
    """
    if not text:
        return wanted
    body = _decode(text)
    token = VerifyToken(
        body["store"], body["scope"], body["keyless"], body["stage"], body["after"]
    )
    if (token.store, token.scope, token.keyless) != (
        wanted.store,
        wanted.scope,
        wanted.keyless,
    ):
        raise InvalidArgumentError(
            "the resume token belongs to another store, or to a verification of "
            "something else",
            reason=Reason.ARGUMENT_INVALID,
            hint="Ask for the same again, or leave the token out.",
        )
    return token


def _decode(text: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(
            text[:MAX_TOKEN_CHARS].encode(), altchars=b"-_", validate=True
        )
        body = canonical.decode_object(data, MAX_TOKEN_CHARS)
    except ValueError as error:
        raise _malformed() from error
    known = set(body) == set(_FIELDS) and all(
        type(body[name]) is kind for name, kind in _FIELDS.items()
    )
    if not known or body["format"] != FORMAT or body["stage"] < 0:
        raise _malformed()
    return body


def _malformed() -> InvalidArgumentError:
    return InvalidArgumentError(
        "the resume token is malformed",
        reason=Reason.ARGUMENT_INVALID,
        hint="Copy it whole, or leave it out.",
    )
