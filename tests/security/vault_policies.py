# SPDX-License-Identifier: Apache-2.0
"""What a thief of one of our Vault tokens tries, on a real OpenBao."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from strongroom_server.core.vault_policy import ROLES, Names
from strongroom_server.dev.vault_client import VaultClient
from tests.security.attacks import Attack, Family, RefusedError, reasons
from tests.support.stack import BaoForTests, running_bao
from tests.support.vault_denials import (
    AES,
    CONTEXT,
    FORBIDDEN_ELSEWHERE,
    FORBIDDEN_KEY_WORK,
    FORBIDDEN_KEYS,
    FORBIDDEN_USES,
    FOREIGN,
    KEK,
    KEY_ADMIN_DENIALS,
    KEY_ADMIN_WORK,
    OPENED,
    SERVER_DENIALS,
    Asker,
    Attempt,
    Body,
    every_operation,
    token_with,
)

#: Vault's 403.
DENIED: Final = "DENIED"
#: Answered to everybody, also to who may do nothing: logins, public certificates.
OPEN_TO_ALL: Final = "OPEN_TO_ALL"
_FORBIDDEN: Final = 403

#: What the denials of both roles are about, by a name.
_GROUPS: Final = {
    "a key that could leave Vault": FORBIDDEN_KEYS,
    "a use of keys outside of their contexts": FORBIDDEN_USES,
    "an export, change or end of a key": FORBIDDEN_KEY_WORK,
    "the work of a key administrator": KEY_ADMIN_WORK,
    "the system, other identities and certificates": FORBIDDEN_ELSEWHERE,
}


def _ask(client: VaultClient, attempt: Attempt) -> None:
    status, answer = client.exchange(attempt.method, attempt.path, attempt.body)
    if status == _FORBIDDEN:
        raise RefusedError(DENIED)
    # Refused is refused by policy: another error may be another request's luck.
    assert status < _FORBIDDEN, (str(attempt), status, answer)


def _by_table(
    role: str, client: VaultClient, table: Sequence[Attempt], honest: Attempt
) -> Iterator[Attack]:
    """Yield the denials of a role, by what they are about."""
    rest = list(table)
    groups = {
        name: [one for one in rest if one in group] for name, group in _GROUPS.items()
    }
    grouped = [one for group in groups.values() for one in group]
    groups["what is another role's"] = [one for one in rest if one not in grouped]
    for name, group in groups.items():
        if group:
            yield Attack(
                f"{role}: {name}",
                reasons(DENIED),
                partial(_ask, client, honest),
                [partial(_ask, client, attempt) for attempt in group],
            )


def _everything(
    role: str, token: VaultClient, nobody: Asker, attempts: Sequence[Attempt]
) -> tuple[Attack, Asker]:
    """Return the attempt at all that a server offers and a role does not need."""
    asker = Asker(token)
    outside = [
        attempt
        for attempt in attempts
        if f"{attempt.method} {attempt.path}" not in OPENED[role]
    ]

    def ask(attempt: Attempt) -> None:
        if asker.status(attempt) == _FORBIDDEN:
            raise RefusedError(DENIED)
        if nobody.status(attempt) != _FORBIDDEN:
            raise RefusedError(OPEN_TO_ALL)

    def honest() -> None:
        method, _, path = min(OPENED[role]).partition(" ")
        body: Body = None if method == "GET" else {}
        assert asker.status(Attempt(method, path, body)) != _FORBIDDEN

    attack = Attack(
        f"{role}: every method of every path outside of its work",
        reasons(DENIED, OPEN_TO_ALL),
        honest,
        [partial(ask, attempt) for attempt in outside],
    )
    return attack, asker


def _attacks(bao: BaoForTests, stack: ExitStack, *, thorough: bool) -> Iterator[Attack]:
    root = bao.client()
    root.write(f"transit/keys/{FOREIGN}", {"type": "aes256-gcm96"})
    root.write(f"transit/keys/{KEK}", AES)
    roles = {
        role: token_with(bao.client(), policy(Names()), f"attacked-{role}")
        for role, policy in ROLES.items()
    }
    wrap = Attempt("POST", f"transit/datakey/plaintext/{KEK}", {"context": CONTEXT})
    yield from _by_table("server", roles["server"], SERVER_DENIALS, wrap)
    keys = Attempt("LIST", "transit/keys")
    yield from _by_table("key admin", roles["key-admin"], KEY_ADMIN_DENIALS, keys)
    if not thorough:
        return
    nothing = 'path "nothing" { capabilities = ["deny"] }'
    nobody = Asker(token_with(bao.client(), nothing, "nobody"))
    stack.callback(nobody.close)
    attempts = list(every_operation(root))
    for role, token in roles.items():
        attack, asker = _everything(role, token, nobody, attempts)
        stack.callback(asker.close)
        yield attack


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        bao = stack.enter_context(running_bao(Path(folder)))
        yield list(_attacks(bao, stack, thorough=thorough))


FAMILY: Final = Family("vault policies", _opened, real=True)
