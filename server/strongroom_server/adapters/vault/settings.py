# SPDX-License-Identifier: Apache-2.0
"""Where Vault is and how the server logs in; what cannot work is refused early."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from strongroom_server.adapters.vault.failures import setting_invalid
from strongroom_server.adapters.vault.logins import VaultLogin


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Where Vault is and how the server logs in.

    Attributes:
        address: Such as `https://vault:8200`; plain HTTP on loopback only.
        ca_file: The CA of Vault's listener, PEM; None for the public ones.
        login: Reads its files anew at each login.
        transit_mount: Where the transit engine is mounted.
        pki_mount: Where the PKI engine is mounted.
        pki_role: The PKI role of the server's certificate.
        connect_timeout_s: For one connection.
        read_timeout_s: Between two bytes of one answer.
        deadline_s: For one request with its login and all tries; no try starts
            later.
    """

    address: str
    ca_file: Path | None
    login: VaultLogin
    transit_mount: str = "transit"
    pki_mount: str = "pki"
    pki_role: str = "strongroom-server"
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 10.0
    deadline_s: float = 15.0


def check_address(address: str) -> None:
    """Check that tokens cannot be read on their way to an address.

    Raises:
        PreconditionError: It is plain HTTP to another machine (SETTING_INVALID).
    """
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return
    message = f"the Vault address {address!r} is neither https:// nor on loopback"
    raise setting_invalid(message)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_ca_file(ca_file: Path | None) -> None:
    """Check that a CA file, if there is one, holds certificates.

    Raises:
        PreconditionError: It does not, or cannot be read (SETTING_INVALID).
    """
    if ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        message = f"the CA file {str(ca_file)!r} cannot be used"
        raise setting_invalid(message) from error
