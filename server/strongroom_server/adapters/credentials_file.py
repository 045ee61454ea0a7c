# SPDX-License-Identifier: Apache-2.0
"""`CredentialSource` over a TOML file: read anew whenever it changes.

Perhaps somebody just took a stolen key out, and made a typing error: while the newest
file is refused, nobody's key is believed.
"""

import json
import logging
import threading
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
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.core.operator_credentials import (
    MAX_FILE_BYTES,
    OperatorCredential,
    parse_credentials,
)
from strongroom_server.ports import Clock, CredentialSource

_LOG: Final = logging.getLogger("strongroom_server.credentials")

#: The file is looked at that often at most; each look is one `stat`.
LOOK_S: Final = 1.0


class CredentialsFile:
    """Holds what the newest file says. Safe to use from many threads."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        """Read the file.

        Raises:
            PreconditionError: It cannot be read (SETTING_INVALID).
            InvalidArgumentError: It is no file of credentials (SETTING_INVALID).
        """
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_s = clock.monotonic()
        self._stamp = self._look()
        self._problem: StrongroomError | None = None
        self._current = self._read()

    def current(self) -> Mapping[str, OperatorCredential]:
        """Return whose keys are believed; nobody's if the newest file is refused."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            with self._lock:
                if now_s - self._looked_s >= LOOK_S:
                    self._renew()
                    self._looked_s = now_s
        return self._current

    def check_current(self) -> None:
        """Check that the newest file is the one that is used.

        Raises:
            StrongroomError: It was refused, and why; nobody can approve.
        """
        self.current()
        if self._problem is not None:
            raise self._problem

    def _renew(self) -> None:
        stamp = self._look()
        if stamp == self._stamp and self._problem is None:
            return
        try:
            self._current = self._read()
        except StrongroomError as error:
            if stamp != self._stamp or self._problem is None:
                line = {"event": "credentials_refused", "reason": error.reason}
                _LOG.error("%s", json.dumps({**line, "message": error.message}))
            self._problem, self._current = error, {}
        else:
            self._problem = None
            people = {item.operator for item in self._current.values()}
            line = {"event": "credentials", "credentials": str(len(self._current))}
            _LOG.info("%s", json.dumps({**line, "operators": str(len(people))}))
        self._stamp = stamp

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns)

    def _read(self) -> Mapping[str, OperatorCredential]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise self._unreadable(f"it is longer than {MAX_FILE_BYTES} bytes")
            found = parse_credentials(tomllib.loads(data.decode("utf-8")))
        except OSError as error:
            raise self._unreadable(error.strerror or "I/O error") from error
        except (ValueError, RecursionError) as error:
            if isinstance(error, StrongroomError):
                raise
            raise self._unreadable(f"it is not TOML: {error}") from error
        _check_keys(found.values())
        return found

    def _unreadable(self, why: str) -> PreconditionError:
        message = f"the credentials {self._path} cannot be read: {why}"
        return PreconditionError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="See operators.credentials_file in the settings; an empty file is "
            "good.",
            path=self._path,
        )


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


_source: type[CredentialSource] = CredentialsFile
