# SPDX-License-Identifier: Apache-2.0
"""Where the caller's certificate comes from: files, or a SPIFFE agent.

A source says when its certificate is another one, so that a connection knows when
to make a new channel.
"""

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from strongroom._channel import own_certificate
from strongroom.config import ClientSettings
from strongroom.errors import (
    InvalidArgumentError,
    Reason,
    UnauthenticatedError,
)


@dataclass(frozen=True, slots=True)
class Material:
    """A private key with its certificate chain, and who vouches for servers; PEM."""

    ca_pem: bytes
    chain_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "Material(**redacted**)"


class IdentitySource(Protocol):
    """Holds the caller's certificate. Safe to use from many threads.

    Raises, from every method but `close` and `forget`: UnauthenticatedError,
    certificate or key is unusable (CERTIFICATE_MISSING); InvalidArgumentError, the
    authorities are (SETTING_INVALID).
    """

    def stamp(self) -> object:
        """Return what is another value once the certificate is another one; quick."""
        ...

    def read(self) -> Material:
        """Return the newest certificate."""
        ...

    def expire_time(self) -> datetime:
        """Return when the newest certificate ends."""
        ...

    def as_files(self) -> AbstractContextManager[ClientSettings]:
        """Lend the settings with files for the newest certificate.

        For the standard library, which reads certificates from files only.
        """
        ...

    def close(self) -> None:
        """Let go of everything; the source may be used again."""
        ...

    def forget(self) -> None:
        """Leave what is the parent's alone, in the child of a fork."""
        ...


def open_source(settings: ClientSettings) -> IdentitySource:
    """Return the source that the settings name.

    Raises:
        InvalidArgumentError: They name an agent, and the package for it is not
            installed (SETTING_INVALID).
    """
    if settings.sidecar_socket is not None:
        return NoSource(settings)
    if not settings.workload_socket:
        return FileSource(settings)
    try:
        module = importlib.import_module("strongroom._channel.agent")
    except ImportError as error:
        message = (
            f"the setting workload_socket is {settings.workload_socket}, "
            "but the package spiffe is not installed"
        )
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="pip install 'strongroom[spiffe]', or name cert_file and key_file.",
            setting="workload_socket",
        ) from error
    source: IdentitySource = module.AgentSource(settings)
    return source


class NoSource:
    """No certificate: a sidecar asks for none."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings

    def stamp(self) -> object:
        """Return what never changes."""
        return None

    def read(self) -> Material:
        """Return nothing."""
        return Material(b"", b"", b"")

    def expire_time(self) -> datetime:
        """Return the end of time."""
        return datetime.max.replace(tzinfo=UTC)

    @contextmanager
    def as_files(self) -> Iterator[ClientSettings]:
        """Lend the settings as they are."""
        yield self._settings

    def close(self) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""


class FileSource:
    """Three files that somebody else renews."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings

    def stamp(self) -> object:
        """Return the files' identities."""
        settings = self._settings
        paths = (settings.ca_file, settings.cert_file, settings.key_file)
        return tuple(_stamp(path) for path in paths)

    def read(self) -> Material:
        """Return what the files hold, after looking whether it belongs together."""
        settings = self._settings
        own_certificate.check_key_pair(settings)
        try:
            return Material(
                ca_pem=settings.ca_file.read_bytes(),
                chain_pem=settings.cert_file.read_bytes(),
                key_pem=settings.key_file.read_bytes(),
            )
        except OSError as error:
            message = f"{error.filename} cannot be read: {error.strerror}"
            raise UnauthenticatedError(
                message, reason=Reason.CERTIFICATE_MISSING, path=error.filename
            ) from error

    def expire_time(self) -> datetime:
        """Return when the certificate in the file ends."""
        return own_certificate.read_own_certificate(self._settings).not_after

    @contextmanager
    def as_files(self) -> Iterator[ClientSettings]:
        """Lend the settings as they are."""
        yield self._settings

    def close(self) -> None:
        """Do nothing; files are read when they are needed."""

    def forget(self) -> None:
        """Do nothing; files are everybody's."""


def _stamp(path: Path) -> object:
    with suppress(OSError):
        status = path.stat()
        return (status.st_ino, status.st_size, status.st_mtime_ns)
    return None
