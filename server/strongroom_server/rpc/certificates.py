# SPDX-License-Identifier: Apache-2.0
"""The server's own certificate: issued, renewed in time, given to each handshake."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, cast

import grpc

from strongroom.errors import Reason, StrongroomError, UnavailableError
from strongroom_server.ports import CertificateIssuer, Clock, IssuedCertificate

_LOG: Final = logging.getLogger("strongroom_server.certificates")

#: How often the keeper looks whether it is time, and tries again after a failure.
CHECK_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class _Held:
    certificate: IssuedCertificate
    configuration: grpc.ServerCertificateConfiguration
    renew_time: datetime
    alarm_time: datetime


class CertificateKeeper:
    """Holds the current certificate. Safe to use from many threads.

    Connections outlive a renewal; only their maximum age ends them.
    """

    def __init__(
        self,
        issuer: CertificateIssuer,
        *,
        clock: Clock,
        max_age: timedelta = timedelta(days=3650),
    ) -> None:
        """Get the first certificate.

        Args:
            issuer: Asked again at half of each certificate's life.
            clock: Says when.
            max_age: Asked again at least that often; for files that somebody
                else renews.

        Raises:
            StrongroomError: As the issuer does.
        """
        self._issuer = issuer
        self._clock = clock
        self._max_age = max_age
        self._held = self._issue(None)

    @property
    def current(self) -> IssuedCertificate:
        """The certificate of the next handshake."""
        return self._held.certificate

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that demand a client certificate and follow renewals."""
        shown = self._held.configuration

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # None means "as before", and spares a new TLS context a handshake.
            nonlocal shown
            newest = self._held.configuration
            if newest is shown:
                return None
            shown = newest
            return newest

        return grpc.dynamic_ssl_server_credentials(
            shown,
            # The stubs do not know that None is an answer.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", fetch),
            require_client_authentication=True,
        )

    def renew_if_due(self) -> None:
        """Get a new certificate if half of the current one's life is over.

        Raises:
            StrongroomError: As the issuer does; the current one stays.
        """
        if self._clock.now() >= self._held.renew_time:
            self._held = self._issue(self._held)

    def time_left_s(self) -> float:
        """Return the seconds until the current certificate ends; negative after it."""
        return (self.current.not_after - self._clock.now()).total_seconds()

    def check_renewed(self) -> None:
        """Check that the certificate is renewed long before it ends.

        Raises:
            UnavailableError: Three quarters of its life are over: renewing it has
                failed since the half, or nobody renews its files.
        """
        held = self._held
        if self._clock.now() >= held.alarm_time:
            not_after = held.certificate.not_after.isoformat()
            message = f"the server's certificate ends {not_after} and is not renewed"
            raise UnavailableError(
                message,
                reason=Reason.CERTIFICATE_EXPIRED,
                hint="The server's log says why: certificate_not_renewed.",
                not_after=not_after,
            )

    def check_ready(self) -> None:
        """Check that the current certificate has not ended.

        Raises:
            UnavailableError: It has; renewing has failed for half of its life.
        """
        not_after = self.current.not_after
        if self._clock.now() >= not_after:
            message = f"the server's certificate ended {not_after.isoformat()}"
            raise UnavailableError(message, reason=Reason.CERTIFICATE_EXPIRED)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Renew in a thread of its own for as long as the context lasts."""
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stop,), name="certificate", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(CHECK_S):
            try:
                self.renew_if_due()
            except StrongroomError as error:
                # Half of the certificate's life is left for other attempts;
                # readiness says so when it is over.
                line = {"event": "certificate_not_renewed", "reason": error.reason}
                _LOG.warning("%s", json.dumps(line))

    def _issue(self, held: _Held | None) -> _Held:
        now = self._clock.now()
        issued = self._issuer.issue()
        if held is not None and held.certificate == issued:
            # Files, or an agent, that nobody has renewed since; handshakes go on
            # with the context that they have.
            return replace(held, renew_time=now + self._max_age)
        left = issued.not_after - now
        return _Held(
            certificate=issued,
            configuration=grpc.ssl_server_certificate_configuration(
                [(issued.private_key_pem, issued.chain_pem)], issued.ca_pem
            ),
            renew_time=now + min(left / 2, self._max_age),
            alarm_time=now + left * 3 / 4,
        )
