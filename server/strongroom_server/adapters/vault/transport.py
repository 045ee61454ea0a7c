# SPDX-License-Identifier: Apache-2.0
"""One request to Vault: traced, tried again where that may help, bounded in time.

Every request that the server makes may be made twice without harm, so each is tried
again after connection errors and 5xx, until its deadline.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests
from hvac import adapters as hvac_adapters
from hvac import exceptions as hvac_errors
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from requests.adapters import HTTPAdapter

from strongroom.errors import InternalError, Reason, UnavailableError
from strongroom_server.adapters.vault.failures import (
    Refusal,
    is_behind,
    unavailable,
    vault_errors,
)
from strongroom_server.adapters.vault.settings import (
    VaultSettings,
    check_address,
    check_ca_file,
)
from strongroom_server.adapters.vault.storage_index import StorageIndex
from strongroom_server.core.key_requests import is_request_id
from strongroom_server.ports import Clock, Entropy, KeyRequestSink

_TRACER: Final = trace.get_tracer(__name__)
_PROPAGATOR: Final = TraceContextTextMapPropagator()
#: Tries of one request: a pooled connection that Vault has closed costs the first.
_ATTEMPTS: Final = 3
#: The longest pause after the first try; doubles with each.
_PAUSE_S: Final = 0.2
#: Connections kept; as many calls as a server handles at once.
_POOL_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before it is tried. Its body may hold secrets.

    Attributes:
        method: GET, POST or DELETE.
        mount: Where the engine or the login method is mounted.
        operation: Below the mount; goes to the span.
        name: The key or role, below the operation; does not go to the span.
        body: What to send, as JSON.
        refused: Makes the error for a 400.
        denied: Makes the error for a 403; the usual one if None.
        certificate: The files of a client certificate to show, and of its key.
    """

    method: str
    mount: str
    operation: str
    name: str
    body: dict[str, object] | None = field(repr=False)
    refused: Refusal
    denied: Refusal | None = None
    certificate: tuple[str, str] | None = None


class VaultTransport:
    """Requests to one Vault; safe to use from many threads.

    Makes no request until the first one is asked for.

    Attributes:
        skew_s: How far Vault's clock is ahead of ours, by its last answer; None
            before the first, or if it does not say.

    Raises:
        PreconditionError: The settings cannot work (SETTING_INVALID).
    """

    def __init__(
        self,
        settings: VaultSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        requests_made: KeyRequestSink | None = None,
    ) -> None:
        check_address(settings.address)
        check_ca_file(settings.ca_file)
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._requests_made = requests_made
        self._closed = False
        self.skew_s: float | None = None
        self._index = StorageIndex()
        self._session = _new_session(settings, _POOL_SIZE)

    def __repr__(self) -> str:
        return f"VaultTransport({self._settings.address})"

    def close(self) -> None:
        """Close the connections; later requests are refused."""
        self._closed = True
        self._session.close()

    def send(self, call: Call, token: str, deadline: float) -> dict[str, Any]:
        """Return Vault's whole answer, or {} if it has none.

        Tries until it works, fails for good, or the monotonic `deadline` has come.

        Args:
            call: What to ask for.
            token: With which token; "" to log in.
            deadline: When no further try is made; a monotonic time.

        Raises:
            UnavailableError, PreconditionError: See `VaultClient.request`.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return self._try(call, token, deadline)
            except UnavailableError as error:
                pause_s = self._pause_s(attempt)
                late = self._clock.monotonic() + pause_s >= deadline
                sealed = error.reason is Reason.KEY_SERVICE_SEALED
                if sealed or late or attempt == _ATTEMPTS - 1:
                    raise
                # The last try is made without: a Vault that was restored from a
                # snapshot may never come to where it was.
                if is_behind(error) and attempt == _ATTEMPTS - 2:
                    self._index.forget()
                self._clock.sleep(pause_s)
        message = "the tries of a request to Vault have no end"
        raise InternalError(message)

    def _pause_s(self, attempt: int) -> float:
        jitter = self._entropy.token_bytes(1)[0] / 255
        return float(_PAUSE_S * 2**attempt * (0.5 + jitter / 2))

    def _try(self, call: Call, token: str, deadline: float) -> dict[str, Any]:
        """Make a request once, in a span of its own."""
        remaining_s = deadline - self._clock.monotonic()
        if self._closed:
            message = "the Vault session is closed"
            raise InternalError(message)
        if remaining_s <= 0:
            raise unavailable("Vault did not answer in time")
        caller = trace.get_current_span().get_span_context()
        with _TRACER.start_as_current_span(
            f"Vault {call.mount}/{call.operation}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "vault.mount": call.mount,
                "vault.operation": call.operation,
                "http.request.method": call.method,
            },
            # The text of an exception may quote the request.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                with vault_errors(call.name, call.refused, call.denied):
                    answer = self._exchange(call, token, remaining_s, span)
            except Exception as error:
                reason = getattr(error, "reason", Reason.INTERNAL)
                span.set_status(trace.Status(trace.StatusCode.ERROR, str(reason)))
                raise
        self._note_made(call, str(answer.get("request_id", "")), caller)
        return answer

    def _note_made(
        self, call: Call, request_id: str, caller: trace.SpanContext
    ) -> None:
        """Tell whoever explains Vault's audit log what was done with a key."""
        is_use = call.method != "GET" and call.mount == self._settings.transit_mount
        if self._requests_made is None or not is_use or not is_request_id(request_id):
            return
        trace_id = trace.format_trace_id(caller.trace_id) if caller.is_valid else ""
        self._requests_made.note(request_id, trace_id=trace_id)

    @contextlib.contextmanager
    def _session_for(self, call: Call) -> Iterator[requests.Session]:
        """Give the shared connections, or one of its own to a certificate."""
        if call.certificate is None:
            yield self._session
            return
        # A pooled connection would go on with the certificate that it began with.
        with contextlib.closing(_new_session(self._settings, 1)) as session:
            session.cert = call.certificate
            yield session

    def _exchange(
        self, call: Call, token: str, remaining_s: float, span: trace.Span
    ) -> dict[str, Any]:
        def note(response: requests.Response, **_: object) -> None:
            span.set_attribute("http.response.status_code", response.status_code)
            self._note_time(response)
            self._index.note(response.headers.get("X-Vault-Index"))
            if response.status_code == requests.codes.precondition_failed:
                # hvac has a class for it, and does not use it.
                response.close()
                message = "the node does not have the state that was asked for"
                raise hvac_errors.PreconditionFailed(message)

        headers = self._index.headers()
        _PROPAGATOR.inject(headers)
        if token:
            headers["X-Vault-Token"] = token
        settings = self._settings
        with self._session_for(call) as session:
            # hvac.Client would read VAULT_TOKEN and ~/.vault-token; the adapter
            # below it does not. A redirect could carry the token elsewhere: none
            # is followed.
            adapter = hvac_adapters.RawAdapter(
                base_uri=settings.address, session=session, allow_redirects=False
            )
            response = adapter.request(
                call.method,
                "/".join(filter(None, ("v1", call.mount, call.operation, call.name))),
                headers=headers,
                json=call.body,
                timeout=(
                    min(settings.connect_timeout_s, remaining_s),
                    min(settings.read_timeout_s, remaining_s),
                ),
                hooks={"response": note},
            )
        if response.status_code == requests.codes.no_content:
            return {}
        answer = response.json()
        if response.status_code != requests.codes.ok or not isinstance(answer, dict):
            # Such as the redirect of a standby: hvac takes 3xx for a success.
            message = f"status {response.status_code}"
            raise hvac_errors.UnexpectedError(message)
        span.set_attribute("vault.request_id", str(answer.get("request_id", "")))
        return answer

    def _note_time(self, response: requests.Response) -> None:
        try:
            then = parsedate_to_datetime(response.headers.get("Date", ""))
            self.skew_s = (then - self._clock.now()).total_seconds()
        except (TypeError, ValueError):
            self.skew_s = None


def _new_session(settings: VaultSettings, pool_size: int) -> requests.Session:
    session = requests.Session()
    # No proxy, CA bundle or .netrc from the environment: settings alone decide.
    session.trust_env = False
    session.verify = str(settings.ca_file) if settings.ca_file else True
    session.mount("https://", HTTPAdapter(pool_maxsize=pool_size))
    session.mount("http://", HTTPAdapter(pool_maxsize=pool_size))
    return session
