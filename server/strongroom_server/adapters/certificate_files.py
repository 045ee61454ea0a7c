# SPDX-License-Identifier: Apache-2.0
"""`CertificateIssuer` over files that somebody else renews: cert-manager, SPIRE."""

from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from strongroom.errors import PreconditionError, Reason
from strongroom_server.ports import CertificateIssuer, IssuedCertificate

_MAX_BYTES: Final = 1024 * 1024


class CertificateFiles:
    """Reads a key, its chain and the authority of callers, anew each time."""

    def __init__(self, *, cert_file: Path, key_file: Path, ca_file: Path) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._ca_file = ca_file

    def issue(self) -> IssuedCertificate:
        """Return what the files hold now.

        Raises:
            PreconditionError: A file cannot be read, holds something else, or the
                key is not the certificate's (SETTING_INVALID).
        """
        chain, key, ca = map(_read, (self._cert_file, self._key_file, self._ca_file))
        try:
            leaf = x509.load_pem_x509_certificates(chain)[0]
            x509.load_pem_x509_certificates(ca)
            public = load_pem_private_key(key, password=None).public_key()
        except (ValueError, TypeError) as error:
            message = "the server's certificate files do not hold PEM as they should"
            raise _invalid(message, self._cert_file) from error
        if public != leaf.public_key():
            message = f"{self._key_file} is not the key of {self._cert_file}"
            raise _invalid(message, self._key_file)
        return IssuedCertificate(
            private_key_pem=key,
            chain_pem=chain,
            ca_pem=ca,
            not_after=leaf.not_valid_after_utc,
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        message = f"the file {path} cannot be read: {error.strerror}"
        raise _invalid(message, path) from error


def _invalid(message: str, path: Path) -> PreconditionError:
    return PreconditionError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="See [identity] in the settings.",
        path=path,
    )


_issuer: type[CertificateIssuer] = CertificateFiles
