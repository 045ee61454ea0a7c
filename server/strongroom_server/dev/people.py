# SPDX-License-Identifier: Apache-2.0
"""The people of a stack: who they are, and what stands in for their memory and phone.

A person of a real store keeps a password in mind and a second factor on a phone. In a
stack both lie in files, so that tests and first steps need neither; the provider
cannot tell, and asks for both.
"""

import hmac
import secrets
import struct
from base64 import b32decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import NotFoundError, PreconditionError, Reason
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.private_files import read_record, write_private

#: People and the roles that `assignments.toml` gives them.
PEOPLE: Final[Mapping[str, tuple[str, ...]]] = {
    "alice": ("operator", "approver"),
    "bob": ("approver", "security-officer"),
}
#: How long a one-time code lives, in seconds.
PERIOD_S: Final = 30
DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of a stack, and the files in place of memory and phone."""

    name: str
    roles: tuple[str, ...]
    #: The password, and nothing else.
    password_file: Path
    #: JSON with the secret of one-time codes; who has it has the phone.
    phone_file: Path

    def password(self) -> str:
        """Read the password; make one if there is none yet."""
        if not self.password_file.exists():
            write_private(self.password_file, secrets.token_urlsafe(18))
        return self.password_file.read_text("utf-8")

    def code(self, time_s: float) -> str:
        """Return the code that the phone shows at a time, in seconds since 1970.

        Raises:
            PreconditionError: The stack's file is missing or damaged.
        """
        return one_time_code(str(read_record(self.phone_file).get("secret")), time_s)


def person(layout: StackLayout, name: str) -> Person:
    """Find somebody by name.

    Raises:
        NotFoundError: There is nobody of that name.
    """
    if name not in PEOPLE:
        raise NotFoundError(
            f"nobody here is called {name!r}",
            reason=Reason.PATH_NOT_FOUND,
            hint=f"The people of a stack are {', '.join(PEOPLE)}.",
            name=name,
        )
    folder = layout.people / name
    return Person(name, PEOPLE[name], folder / "password", folder / "phone.json")


def one_time_code(secret: str, time_s: float) -> str:
    """Compute the code of one moment.

    Args:
        secret: The shared secret, in base32 without padding.
        time_s: Seconds since 1970.

    Raises:
        PreconditionError: The secret is not base32.

    Source:
        RFC 6238, section 4, with the defaults of RFC 4226, section 5.3: HMAC-SHA-1.
    """
    try:
        key = b32decode(secret + "=" * (-len(secret) % 8))
    except ValueError as error:
        raise PreconditionError(
            "the secret of one-time codes is not base32",
            reason=Reason.SETTING_INVALID,
            hint="Delete the stack's folder and start anew.",
        ) from error
    counter = struct.pack(">Q", int(time_s) // PERIOD_S)
    digest = hmac.digest(key, counter, "sha1")
    offset = digest[-1] & 0xF
    (number,) = struct.unpack_from(">I", digest, offset)
    return f"{(number & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}d}"
