# SPDX-License-Identifier: Apache-2.0
"""`CertificateIssuer` over the SPIFFE Workload API: an agent such as SPIRE's.

The agent sends a new certificate whenever it has one; a thread of the `spiffe`
package receives it. What is asked for here is what came last.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.ports import CertificateIssuer, IssuedCertificate

#: How long the agent may take to send the first certificate.
TIMEOUT_S: Final = 10.0


class WorkloadApi:
    """Holds a source of certificates; opens a new one if the agent ended it."""

    def __init__(
        self,
        socket: str,
        *,
        spiffe_id: str,
        trust_domain: str,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._socket = socket
        self._spiffe_id = spiffe_id
        self._trust_domain = trust_domain
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._source: X509Source | None = None

    def issue(self) -> IssuedCertificate:
        """Return the newest certificate, and who vouches for callers.

        Raises:
            PreconditionError: The socket's address cannot be (SETTING_INVALID).
            UnavailableError: The agent does not answer, has no certificate of this
                server's SPIFFE id, or no authorities of callers
                (CERTIFICATE_MISSING).
        """
        try:
            context = self._open().get_x509_context()
            domain = TrustDomain(self._trust_domain)
            bundle = context.x509_bundle_set.get_bundle_for_trust_domain(domain)
        except PySpiffeError as error:
            raise self._unavailable(str(error)) from error
        if bundle is None or not bundle.x509_authorities:
            raise self._unavailable(f"no authorities of {self._trust_domain}")
        svid = context.default_svid
        authorities = sorted(_encode(one) for one in bundle.x509_authorities)
        return IssuedCertificate(
            private_key_pem=svid.private_key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            chain_pem=b"".join(map(_encode, svid.cert_chain)),
            ca_pem=b"".join(authorities),
            not_after=svid.leaf.not_valid_after_utc,
        )

    def close(self) -> None:
        """Stop listening to the agent."""
        with self._lock:
            if self._source is not None:
                self._source.close()
                self._source = None

    def _open(self) -> X509Source:
        with self._lock:
            if self._source is None or self._source.is_closed():
                self._source = X509Source(
                    socket_path=self._socket,
                    timeout_in_seconds=self._timeout_s,
                    svid_picker=self._pick,
                )
            return self._source

    def _pick(self, svids: Sequence[X509Svid]) -> X509Svid:
        """Return our own certificate; the agent may know several."""
        for svid in svids:
            if str(svid.spiffe_id) == self._spiffe_id:
                return svid
        given = ", ".join(str(svid.spiffe_id) for svid in svids)
        message = f"no certificate of {self._spiffe_id}, but of {given}"
        raise ValueError(message)

    def _unavailable(self, why: str) -> UnavailableError:
        message = f"the SPIFFE Workload API {self._socket} gives none: {why}"
        return UnavailableError(
            message,
            reason=Reason.CERTIFICATE_MISSING,
            hint="Is the agent running, and is this workload registered with it?",
            socket=self._socket,
        )


@contextmanager
def open_workload_api(
    socket: str, *, spiffe_id: str, trust_domain: str, timeout_s: float = TIMEOUT_S
) -> Iterator[WorkloadApi]:
    """Open the Workload API for as long as the context lasts.

    Args:
        socket: `unix:///…`, as `SPIFFE_ENDPOINT_SOCKET` has it.
        spiffe_id: The server's own id; of others the agent may have more.
        trust_domain: Of callers.
        timeout_s: How long the agent may take to send the first certificate.

    Raises:
        PreconditionError: The socket's address cannot be (SETTING_INVALID).
    """
    if not socket.startswith("unix:/"):
        message = f"identity.workload_socket cannot be {socket!r}: unix:///PATH"
        raise PreconditionError(message, reason=Reason.SETTING_INVALID)
    api = WorkloadApi(
        socket, spiffe_id=spiffe_id, trust_domain=trust_domain, timeout_s=timeout_s
    )
    try:
        yield api
    finally:
        api.close()


def _encode(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


_issuer: type[CertificateIssuer] = WorkloadApi
