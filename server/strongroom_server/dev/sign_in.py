# SPDX-License-Identifier: Apache-2.0
"""Signing in as a person of the stack without a browser.

Does what OpenBao's pages do for a person: password, one-time code, consent, and the
redirect to the program that waits on this machine.
"""

import http.client
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from strongroom.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.dev.addresses import HOST
from strongroom_server.dev.identity_provider import (
    MOUNT,
    PROVIDER,
    authorization_url,
    redirect_uri,
)
from strongroom_server.dev.people import PERIOD_S, Person
from strongroom_server.dev.vault_client import VaultClient

_TIMEOUT_S: Final = 15.0
# A code is good once. The provider also takes that of the period before and after,
# so that somebody may sign in three times in half a minute.
_OFFSETS_S: Final = (0, PERIOD_S, -PERIOD_S)
#: Periods that are waited for until there is a code that was not used.
_PERIODS: Final = 2

Wait = Callable[[float], None]


def sign_in(
    client: VaultClient, who: Person, url: str, *, wait: Wait = time.sleep
) -> None:
    """Sign in for the program that printed `url`.

    Args:
        client: Of the stack's OpenBao; needs no token.
        who: Whose password and phone are used.
        url: As `strongroom login` prints it.
        wait: Waits for some seconds, until the phone shows another code.

    Raises:
        InvalidArgumentError: The address is not one of this stack's.
        PermissionDeniedError: The provider refused.
        UnavailableError: Nobody waits for the answer any more.
    """
    query = _query_of(url, client.port)
    redirect = _redirect_of(query, client.port)
    person = client.with_token(log_in(client, who, wait=wait))
    try:
        path = f"{PROVIDER}/authorize?{urlencode(query)}"
        status, answer = person.exchange("GET", path)
    finally:
        person.exchange("POST", "auth/token/revoke-self", {})
    if status != HTTPStatus.OK:
        told = answer.get("error_description") or answer.get("error") or status
        raise PermissionDeniedError(
            f"OpenBao does not let {who.name} sign in: {told}",
            hint="Run `strongroom login` again, and take the address that it prints.",
            name=who.name,
        )
    told = ("code", "state", "iss")
    _tell(redirect, {name: str(answer[name]) for name in told if name in answer})


def _query_of(url: str, port: int) -> dict[str, str]:
    address, _, text = url.partition("?")
    fields = parse_qs(text, keep_blank_values=True)
    if address != authorization_url(port) or any(
        len(all_) > 1 for all_ in fields.values()
    ):
        raise _bad_address(f"{address} is not where this stack's people sign in")
    return {name: values[0] for name, values in fields.items()}


def _redirect_of(query: dict[str, str], port: int) -> SplitResult:
    redirect = urlsplit(query.get("redirect_uri", ""))
    wanted = urlsplit(redirect_uri(port))
    if (redirect.scheme, redirect.hostname, redirect.path) != (
        *(wanted.scheme, wanted.hostname, wanted.path),
    ):
        raise _bad_address(f"it leads to {redirect.geturl()!r}, not to this machine")
    return redirect


def log_in(client: VaultClient, who: Person, *, wait: Wait = time.sleep) -> str:
    """Log in with both factors; return a token that may do little else.

    A code is good once: if all that are good now were used, the next one is waited
    for.

    Raises:
        PermissionDeniedError: OpenBao takes none.
    """
    token = _try_codes(client, who, _OFFSETS_S)
    for _ in range(_PERIODS):
        if token:
            return token
        # Just behind the turn of the period, by OpenBao's clock as by ours.
        wait(PERIOD_S - time.time() % PERIOD_S + 1)
        token = _try_codes(client, who, (PERIOD_S,))
    if token:
        return token
    raise PermissionDeniedError(
        f"OpenBao takes no code of {who.name}'s phone",
        hint=f"A code is good once; try again in {PERIOD_S} seconds.",
        name=who.name,
    )


def _try_codes(client: VaultClient, who: Person, offsets_s: Sequence[int]) -> str:
    """Return a token; "" if none of the codes at these moments from now is taken."""
    for offset_s in offsets_s:
        auth = _fields(
            client.write(f"auth/{MOUNT}/login/{who.name}", {"password": who.password()})
        )
        requirement = auth.get("mfa_requirement")
        if not isinstance(requirement, dict):
            raise PreconditionError(
                f"OpenBao lets {who.name} in without a second factor",
                reason=Reason.SETTING_INVALID,
                hint="Run `strongroom dev up`.",
            )
        [method] = _methods(requirement)
        body = {
            "mfa_request_id": requirement["mfa_request_id"],
            "mfa_payload": {method: [who.code(time.time() + offset_s)]},
        }
        status, answer = client.exchange("POST", "sys/mfa/validate", body)
        if status == HTTPStatus.OK:
            return str(_fields(answer)["client_token"])
    return ""


def _fields(answer: dict[str, object]) -> dict[str, object]:
    auth = answer.get("auth")
    return auth if isinstance(auth, dict) else {}


def _methods(requirement: dict[str, object]) -> list[str]:
    constraints = requirement.get("mfa_constraints")
    found = constraints.values() if isinstance(constraints, dict) else ()
    return [str(method["id"]) for item in found for method in item["any"]]


def _tell(redirect: SplitResult, fields: dict[str, str]) -> None:
    """Go where the provider sends a browser."""
    connection = http.client.HTTPConnection(
        HOST, redirect.port or 80, timeout=_TIMEOUT_S
    )
    try:
        connection.request("GET", f"{redirect.path}?{urlencode(fields)}")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"nobody waits for the sign-in at {HOST}:{redirect.port}: {error}",
            hint="Run `strongroom login` again, and take the address that it prints.",
        ) from error
    finally:
        connection.close()
    if status != HTTPStatus.OK:
        raise _bad_address(f"the program there answered {status}")


def _bad_address(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"this address cannot be signed in at: {problem}",
        hint="Take the address that `strongroom login --no-browser` prints, in quotes.",
    )
