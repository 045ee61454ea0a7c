# SPDX-License-Identifier: Apache-2.0
"""The one channel to central: renewed with the certificate, lent to calls."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import grpc

from strongroom.errors import Reason, UnavailableError
from strongroom_server.ports import IssuedCertificate

_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
#: Central's own limit for pings; a peer that is silent for longer is gone.
_KEEPALIVE_MS: Final = 10_000
_KEEPALIVE_TIMEOUT_MS: Final = 5_000
#: Between attempts to reach central; the pauses grow up to the second.
_FIRST_RECONNECT_MS: Final = 250
_MAX_RECONNECT_MS: Final = 2_000


@dataclass(eq=False)
class _Live:
    """A channel, and how many calls are on it."""

    channel: grpc.Channel
    certificate: IssuedCertificate
    call_count: int = 0
    retired: bool = False


class CentralChannel:
    """Lends the current channel. Safe to use from many threads.

    Args:
        endpoint: `host:port`; the host is checked against central's certificate.
        certificate: Returns the newest certificate of this sidecar.
    """

    def __init__(
        self, endpoint: str, certificate: Callable[[], IssuedCertificate]
    ) -> None:
        self.endpoint = endpoint
        self._certificate = certificate
        self._lock = threading.Lock()
        self._live: _Live | None = None

    @contextmanager
    def lend(self) -> Iterator[grpc.Channel]:
        """Lend the channel for one call."""
        with self._lock:
            live = self._current()
            live.call_count += 1
        try:
            yield live.channel
        finally:
            with self._lock:
                live.call_count -= 1
                unused = live.retired and not live.call_count
            if unused:
                live.channel.close()

    def check_ready(self) -> None:
        """Check that central can be reached.

        Raises:
            UnavailableError: It cannot, within two seconds (TRANSPORT).
        """
        with self.lend() as channel:
            ready = grpc.channel_ready_future(channel)
            try:
                ready.result(timeout=2.0)
            except grpc.FutureTimeoutError as error:
                raise UnavailableError(
                    f"central cannot be reached at {self.endpoint}",
                    reason=Reason.TRANSPORT,
                    hint="Look at central's health, and at the network between.",
                    endpoint=self.endpoint,
                ) from error
            finally:
                ready.cancel()

    def close(self) -> None:
        """Close the channel; calls that still run end as cancelled."""
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            live.channel.close()

    def _current(self) -> _Live:
        certificate, old = self._certificate(), self._live
        if old is not None and old.certificate == certificate:
            return old
        new = _Live(_open_channel(self.endpoint, certificate), certificate)
        self._live = new
        if old is not None:
            old.retired = True
            if not old.call_count:
                old.channel.close()
        return new


def _open_channel(endpoint: str, certificate: IssuedCertificate) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        certificate.ca_pem, certificate.private_key_pem, certificate.chain_pem
    )
    return grpc.secure_channel(
        endpoint,
        credentials,
        options=(
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
            ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
            # Clients of ours try again by themselves.
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_MS),
            ("grpc.enable_http_proxy", 0),
            (
                "grpc.primary_user_agent",
                f"strongroom-sidecar/{version('strongroom')}",
            ),
        ),
    )
