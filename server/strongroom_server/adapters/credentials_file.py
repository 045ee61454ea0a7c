# SPDX-License-Identifier: Apache-2.0
"""`CredentialSource` over a TOML file: read anew whenever it changes.

Perhaps somebody just took a stolen key out, and made a typing error: while the newest
file is refused, nobody's key is believed.
"""

import logging
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from webauthn.helpers import decode_credential_public_key
from webauthn.helpers.decode_credential_public_key import (
    DecodedEC2PublicKey,
    DecodedOKPPublicKey,
    DecodedRSAPublicKey,
)

from strongroom.errors import (
    InvalidArgumentError,
    Reason,
)
from strongroom_server.core.operator_credentials import (
    MAX_FILE_BYTES,
    OperatorCredential,
    parse_credentials,
)
from strongroom_server.followed_file import FollowedFile, Reading
from strongroom_server.ports import Clock, CredentialSource

_LOG: Final = logging.getLogger("strongroom_server.credentials")


class CredentialsFile:
    """Holds what the newest file says. Safe to use from many threads."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        """Read the file.

        Raises:
            PreconditionError: It cannot be read (SETTING_INVALID).
            InvalidArgumentError: It is no file of credentials (SETTING_INVALID).
        """
        self._file = FollowedFile(path, _READING, clock=clock)

    def current(self) -> Mapping[str, OperatorCredential]:
        """Return whose keys are believed; nobody's if the newest file is refused."""
        return self._file.current()

    def check_current(self) -> None:
        """Check that the newest file is the one that is used.

        Raises:
            StrongroomError: It was refused, and why; nobody can approve.
        """
        self._file.check_current()


def _parse(data: bytes) -> Mapping[str, OperatorCredential]:
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = f"it is not TOML: {error}"
        raise ValueError(message) from error
    found = parse_credentials(document)
    _check_keys(found.values())
    return found


def _counts(found: Mapping[str, OperatorCredential]) -> Mapping[str, object]:
    people = {item.operator for item in found.values()}
    return {"credentials": str(len(found)), "operators": str(len(people))}


def _check_keys(credentials: Iterable[OperatorCredential]) -> None:
    """Check that public keys are keys, and that no two of them are one person's key.

    Whatever its bytes: of the two points with one first coordinate, whoever holds the
    key of one holds that of the other.
    """
    holders: dict[tuple[int, bytes], str] = {}
    for item in credentials:
        try:
            key = decode_credential_public_key(item.public_key)
        except Exception as error:  # the library lets its decoders' errors through
            message = f"the public key of {item.name} is no COSE_Key of a kind we know"
            raise _refused(message) from error
        part: bytes
        match key:
            case DecodedRSAPublicKey():
                part = key.n
            case DecodedEC2PublicKey() | DecodedOKPPublicKey():
                part = key.x
            case _:
                part = key.pub
        holder = holders.setdefault((key.kty, part.lstrip(b"\0")), item.name)
        if holder != item.name:
            message = f"{holder} and {item.name} have the same security key"
            raise _refused(message)


def _refused(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"operators' credentials: {message}",
        reason=Reason.SETTING_INVALID,
        hint="Each person enrolls their own: strongroom approvals enroll",
    )


_READING: Final[Reading[Mapping[str, OperatorCredential]]] = Reading(
    what="credentials",
    setting="operators.credentials_file",
    max_bytes=MAX_FILE_BYTES,
    parse=_parse,
    instead=lambda _: {},
    counts=_counts,
    log=_LOG,
)
_source: type[CredentialSource] = CredentialsFile
