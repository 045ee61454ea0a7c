# SPDX-License-Identifier: Apache-2.0
"""The process's one mTLS channel: made late, renewed with the certificate.

A channel must not cross a fork, so each process makes its own. When the certificate
is another one, calls that start later use a new channel; the old one is closed when
the last call on it has ended.
"""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import grpc

from strongroom import _system, _telemetry
from strongroom._channel.identity import IdentitySource, Material, open_source
from strongroom._channel.methods import service_config
from strongroom._version import VERSION
from strongroom.config import ClientSettings
from strongroom.errors import (
    InvalidArgumentError,
    StrongroomError,
    UnauthenticatedError,
)

#: A block is 1 MiB; a page of listings may be larger.
_MAX_RECEIVED_BYTES: Final = 16 << 20
_MAX_SENT_BYTES: Final = 4 << 20
#: What may be on its way to us on one stream.
_LOOKAHEAD_BYTES: Final = 4 * 1024 * 1024
#: Servers answer pings more frequent than theirs with GOAWAY; gRPC's own floor for
#: servers that allow pings at all is 10 s.
_KEEPALIVE_MS: Final = 60_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000
#: Between attempts to reach a server that is down; the pauses grow up to the second.
_FIRST_RECONNECT_MS: Final = 250
_MAX_RECONNECT_MS: Final = 3_000
#: The same for a sidecar: asking a socket of this machine costs nothing.
_MAX_LOCAL_RECONNECT_MS: Final = 250


@dataclass(eq=False)
class _Live:
    """A channel, and how many calls are on it."""

    channel: grpc.Channel
    #: Of the certificate that it was made with.
    stamp: object
    call_count: int = 0
    retired: bool = False


@dataclass(eq=False)
class _State:
    lock: threading.Lock = field(default_factory=threading.Lock)
    live: _Live | None = None
    closed: bool = False


class Connection:
    """Lends the current channel to calls; three states: unopened, open, closed."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._source: IdentitySource | None = None
        self._state = _State()
        _CONNECTIONS.add(self)

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Lend the channel for one call.

        Raises:
            UnauthenticatedError: Certificate or key is unusable
                (CERTIFICATE_MISSING).
            InvalidArgumentError: The authorities are unusable (SETTING_INVALID).
            ValueError: The client is closed (a caller's bug).
        """
        state = self._state
        with state.lock:
            if state.closed:
                message = "the client is closed"
                raise ValueError(message)
            live = self._current(state)
            live.call_count += 1
        try:
            yield live.channel
        finally:
            with state.lock:
                live.call_count -= 1
                unused = live.retired and not live.call_count
            if unused:
                live.channel.close()

    def close(self) -> None:
        """Close the channel; calls that still run end as cancelled."""
        with self._state.lock:
            self._state.closed = True
            live, self._state.live = self._state.live, None
            source = self._source
        if live is not None:
            live.channel.close()
        if source is not None:
            source.close()

    def as_files(self) -> AbstractContextManager[ClientSettings]:
        """Lend the settings with files for the caller's certificate.

        Raises:
            StrongroomError: As `channel`.
        """
        with self._state.lock:
            return self._identity().as_files()

    def expire_time(self) -> datetime | None:
        """Return when the caller's certificate ends; None if nobody has called yet.

        Raises:
            StrongroomError: As `channel`.
        """
        source, state = self._source, self._state
        if source is None or state.closed or state.live is None:
            return None
        return source.expire_time()

    def renew(self) -> None:
        """Have the next call make a new channel; calls that run keep theirs."""
        state = self._state
        with state.lock:
            live, state.live = state.live, None
            if live is not None:
                live.retired = True
            unused = live is not None and not live.call_count
        if live is not None and unused:
            live.channel.close()

    def forget(self) -> None:
        """Leave the parent's channel alone, in the child of a fork."""
        state = self._state
        if state.live is not None:
            # Closing or collecting it here would disturb the parent's connection.
            _ABANDONED.append(state.live)
        if self._source is not None:
            self._source.forget()
        self._state = _State(closed=state.closed)

    def _current(self, state: _State) -> _Live:
        old = state.live
        try:
            source = self._identity()
            stamp = source.stamp()
            if old is not None and old.stamp == stamp:
                return old
            new = _Live(_open_channel(self._settings, source.read()), stamp)
        except (UnauthenticatedError, InvalidArgumentError):
            # Half of the files may be replaced at this moment, or the agent away;
            # the pair in use is still good, and the next call looks again.
            if old is None:
                raise
            return old
        state.live = new
        if old is not None:
            old.retired = True
            if not old.call_count:
                old.channel.close()
        return new

    def _identity(self) -> IdentitySource:
        if self._source is None:
            self._source = open_source(self._settings)
        return self._source


_CONNECTIONS: Final = weakref.WeakSet[Connection]()
_ABANDONED: Final[list[_Live]] = []


def _forget_all() -> None:
    for connection in list(_CONNECTIONS):
        connection.forget()


os.register_at_fork(after_in_child=_forget_all)


def _read_times_left_s() -> Iterator[float]:
    """Yield how long the certificate lives that ends first, of those in use."""
    ends = []
    for connection in list(_CONNECTIONS):
        with suppress(StrongroomError):
            ends.append(connection.expire_time())
    left = [(end - _system.now()).total_seconds() for end in ends if end is not None]
    if left:
        yield min(left)


_telemetry.gauge(
    "strongroom.certificate.time_left",
    "Until the caller's certificate ends.",
    unit="s",
    read=_read_times_left_s,
)


def _open_channel(settings: ClientSettings, material: Material) -> grpc.Channel:
    if settings.sidecar_socket is not None:
        # It never leaves the machine; the socket's own mode says who may.
        return grpc.insecure_channel(
            f"unix:{settings.sidecar_socket}",
            options=_options(_MAX_LOCAL_RECONNECT_MS),
        )
    credentials = grpc.ssl_channel_credentials(
        root_certificates=material.ca_pem,
        private_key=material.key_pem,
        certificate_chain=material.chain_pem,
    )
    return grpc.secure_channel(settings.endpoint, credentials, options=_options())


def _options(
    max_reconnect_ms: int = _MAX_RECONNECT_MS,
) -> tuple[tuple[str, int | str], ...]:
    return (
        ("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES),
        ("grpc.max_send_message_length", _MAX_SENT_BYTES),
        # A window that grows by itself holds as much as a slow disk lets wait.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _LOOKAHEAD_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", service_config()),
        # Renewed certificates must not travel on an old connection.
        ("grpc.use_local_subchannel_pool", 1),
        # A server that restarts is found again in seconds, not in two minutes.
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", max_reconnect_ms),
        # The endpoint is named on purpose; a proxy could only break mTLS.
        ("grpc.enable_http_proxy", 0),
        ("grpc.primary_user_agent", f"strongroom/{VERSION}"),
    )
