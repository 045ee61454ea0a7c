# SPDX-License-Identifier: Apache-2.0
"""The caller's certificate from a SPIFFE agent, over the Workload API.

Imported only where the settings name an agent: it needs the extra `spiffe`. The
agent sends a new certificate whenever it has one, to a thread of that package.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from spiffe import TrustDomain, X509Source
from spiffe.errors import PySpiffeError
from spiffe.svid.x509_svid import X509Svid

from strongroom._channel import own_certificate
from strongroom._channel.identity import IdentitySource, Material
from strongroom.config import NO_FILE, ClientSettings
from strongroom.errors import Reason, UnauthenticatedError

#: How long the agent may take to send the first certificate.
TIMEOUT_S: Final = 10.0


@dataclass(eq=False, slots=True)
class _Live:
    """A stream from the agent, and how many certificates came after the first."""

    source: X509Source
    update_count: int = 0

    def count_update(self) -> None:
        self.update_count += 1


class AgentSource:
    """An `IdentitySource`; the default one of the agent's identities for us."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._live: _Live | None = None

    def stamp(self) -> object:
        """Return a number of the newest certificate, and of the stream it came by."""
        live = self._open()
        return (live, live.update_count)

    def read(self) -> Material:
        """Return the newest certificate that the agent sent."""
        svid = self._svid()
        return Material(
            ca_pem=self._authorities(svid),
            chain_pem=b"".join(map(_encode, svid.cert_chain)),
            key_pem=svid.private_key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
        )

    def expire_time(self) -> datetime:
        """Return when the newest certificate ends."""
        return self._svid().leaf.not_valid_after_utc

    @contextmanager
    def as_files(self) -> Iterator[ClientSettings]:
        """Lend files in memory, which never reach a disk."""
        material = self.read()
        with ExitStack() as stack:
            yield replace(
                self._settings,
                ca_file=_in_memory(material.ca_pem, stack),
                cert_file=_in_memory(material.chain_pem, stack),
                key_file=_in_memory(material.key_pem, stack),
            )

    def close(self) -> None:
        """Stop listening to the agent."""
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            live.source.close()

    def forget(self) -> None:
        """Leave the parent's stream alone, in the child of a fork."""
        if self._live is not None:
            _ABANDONED.append(self._live)
        self._lock = threading.Lock()
        self._live = None

    def _open(self) -> _Live:
        with self._lock:
            live = self._live
            if live is None or live.source.is_closed():
                try:
                    live = _Live(
                        X509Source(
                            socket_path=self._settings.workload_socket,
                            timeout_in_seconds=min(
                                TIMEOUT_S, self._settings.call_timeout_s
                            ),
                        )
                    )
                except PySpiffeError as error:
                    raise self._missing(str(error)) from error
                live.source.subscribe_for_updates(live.count_update)
                self._live = live
            return live

    def _svid(self) -> X509Svid:
        try:
            return self._open().source.get_x509_context().default_svid
        except PySpiffeError as error:
            raise self._missing(str(error)) from error

    def _authorities(self, svid: X509Svid) -> bytes:
        """Return who vouches for servers: a file's, or the agent's, authorities."""
        settings = self._settings
        if settings.ca_file != NO_FILE:
            own_certificate.check_authorities(settings.ca_file)
            return settings.ca_file.read_bytes()
        domain = TrustDomain(settings.trust_domain or svid.spiffe_id.trust_domain.name)
        bundle = self._open().source.get_bundle_for_trust_domain(domain)
        if bundle is None or not bundle.x509_authorities:
            raise self._missing(f"no authorities of {domain.name}")
        return b"".join(sorted(map(_encode, bundle.x509_authorities)))

    def _missing(self, why: str) -> UnauthenticatedError:
        socket = self._settings.workload_socket
        message = f"the SPIFFE Workload API {socket} gives no certificate: {why}"
        return UnauthenticatedError(
            message,
            reason=Reason.CERTIFICATE_MISSING,
            hint="Is the agent running, and is this workload registered with it?",
            socket=socket,
        )


_ABANDONED: Final[list[_Live]] = []


def _encode(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _in_memory(data: bytes, stack: ExitStack) -> Path:
    number = os.memfd_create("strongroom", os.MFD_CLOEXEC)
    stack.callback(os.close, number)
    os.write(number, data)
    return Path(f"/proc/self/fd/{number}")


_source: type[IdentitySource] = AgentSource
