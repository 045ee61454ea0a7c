# SPDX-License-Identifier: Apache-2.0
"""Logins on disk: one private file for each server and provider, and its use."""

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom import _system
from strongroom.config import ClientSettings
from strongroom.errors import InternalError, Reason, UnauthenticatedError

_FORMAT: Final = 1
_MAX_FILE_BYTES: Final = 64 * 1024
_MAX_TIME_S: Final = 253_402_300_799  # the last second of the year 9999

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Login:
    """A person who signed in, for as long as the token says."""

    endpoint: str
    issuer: str
    #: What the provider calls the person.
    name: str
    auth_time: datetime
    expire_time: datetime
    #: How the person proved who they are, in the provider's words.
    methods: tuple[str, ...]
    token: str = field(repr=False)

    def is_alive(self, now: datetime) -> bool:
        """Tell whether the token still counts."""
        return now < self.expire_time


class LoginHeaders:
    """What is sent with each call: the token of the login, if somebody signed in."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings

    def __call__(self) -> Headers:
        """Return the headers of a call that begins now.

        Raises:
            UnauthenticatedError: The login has ended, or its file is not only ours
                (TOKEN_EXPIRED, TOKEN_INVALID).
        """
        login = load_login(self._settings)
        if login is None:
            return ()
        if not login.is_alive(_system.now()):
            message = (
                f"the login of {login.name} has ended at {login.expire_time:%H:%M:%SZ}"
            )
            raise UnauthenticatedError(
                message,
                reason=Reason.TOKEN_EXPIRED,
                hint="`strongroom login` signs in again; `strongroom logout` goes on "
                "as the certificate alone.",
                expire_time=login.expire_time.isoformat(),
            )
        return (("authorization", f"Bearer {login.token}"),)


def login_file(settings: ClientSettings) -> Path:
    """Return where the login of this server and provider lies, if there is one."""
    which = f"{settings.endpoint}\0{settings.login_issuer}"
    name = hashlib.sha256(which.encode()).hexdigest()[:32]
    return settings.login_folder / f"{name}.json"


def load_login(settings: ClientSettings) -> Login | None:
    """Return the login, whether or not it is alive; None if nobody signed in.

    Raises:
        UnauthenticatedError: Others may read or write its file, or it is damaged
            (TOKEN_INVALID).
    """
    if not settings.login_issuer:
        return None
    path = login_file(settings)
    try:
        content = _read(path)
    except FileNotFoundError:
        return None
    except UnauthenticatedError:  # which is an OSError, too
        raise
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    try:
        login = _parse(json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(path, "it is damaged") from error
    if (login.endpoint, login.issuer) != (settings.endpoint, settings.login_issuer):
        raise _unusable(path, "it is of another server")
    return login


def save_login(settings: ClientSettings, login: Login) -> None:
    """Keep a login in place of the one before; only its owner may read it.

    Raises:
        InternalError: The folder cannot be written.
    """
    path = login_file(settings)
    record = {
        "format": _FORMAT,
        "endpoint": login.endpoint,
        "issuer": login.issuer,
        "name": login.name,
        "auth_time": int(login.auth_time.timestamp()),
        "expire_time": int(login.expire_time.timestamp()),
        "methods": list(login.methods),
        "token": login.token,
    }
    partial = path.with_name(f".{path.name}.{_system.new_id(8):x}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(partial, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump(record, file)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        message = f"the login cannot be kept in {path.parent}: {error.strerror}"
        raise InternalError(
            message, hint="Set login_folder in client.toml.", path=path.parent
        ) from error


def forget_login(settings: ClientSettings) -> bool:
    """Delete the login of this server and provider; say whether there was one.

    Raises:
        InternalError: It cannot be deleted.
    """
    if not settings.login_issuer:
        return False
    path = login_file(settings)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        message = f"the login in {path} cannot be removed: {error.strerror}"
        raise InternalError(message, hint=f"rm {path}", path=path) from error
    return True


def _read(path: Path) -> bytes:
    """Read a file that only its owner may read, and that we own."""
    # Not to wait for the other end of what is no file.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        private = not stat.S_IMODE(status.st_mode) & 0o077
        if status.st_uid != os.getuid() or not private:
            raise _unusable(path, "it is not only its owner's")
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, "it is no file")
        return file.read(_MAX_FILE_BYTES)


def _parse(record: dict[str, object]) -> Login:
    if record["format"] != _FORMAT:
        raise ValueError
    methods = record["methods"]
    return Login(
        endpoint=str(record["endpoint"]),
        issuer=str(record["issuer"]),
        name=str(record["name"]),
        auth_time=_time(record["auth_time"]),
        expire_time=_time(record["expire_time"]),
        methods=tuple(map(str, methods)) if isinstance(methods, list) else (),
        token=str(record["token"]),
    )


def _time(value: object) -> datetime:
    if not isinstance(value, int) or not 0 <= value <= _MAX_TIME_S:
        raise ValueError
    return datetime.fromtimestamp(value, UTC)


def _unusable(path: Path, problem: str) -> UnauthenticatedError:
    message = f"the login in {path} is not used: {problem}"
    return UnauthenticatedError(
        message,
        reason=Reason.TOKEN_INVALID,
        hint="`strongroom logout` removes it; then `strongroom login`.",
        path=path,
    )
