# SPDX-License-Identifier: Apache-2.0
"""`KeyDestroyer` in Vault's transit engine: destroys KEKs of projects, for good.

Its identity is another one than the server's: it may use no key. Where its policy has
a control group, Vault answers a request with a token that stands for it, and carries
the request out when the token is unwrapped after its approvers have agreed.
"""

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.vault.client import VaultClient
from strongroom_server.adapters.vault.failures import access_denied
from strongroom_server.core.scope import is_project_kek
from strongroom_server.ports import Clock, KeyDestroyer

#: A request that ends so soon is asked for anew.
_MIN_LEFT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A request that Vault holds back; the token is a secret."""

    token: str = field(repr=False)
    accessor: str
    until_s: float


class VaultKeyDestroyer:
    """The `KeyDestroyer` port over a transit mount; safe to use from many threads.

    What Vault holds back is remembered by this process only; after a restart it has
    to be asked for, and agreed to, once more.
    """

    def __init__(self, client: VaultClient, *, mount: str, clock: Clock) -> None:
        self._client = client
        self._mount = mount
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str], _Held] = {}

    def allow(self, kek: str) -> None:
        """Let a KEK be destroyed; see `KeyDestroyer`."""
        if self._state(kek).get("deletion_allowed") is not True:
            self._carry_out("POST", f"{kek}/config", {"deletion_allowed": True})

    def destroy(self, kek: str) -> bool:
        """Destroy a KEK for good; see `KeyDestroyer`."""
        try:
            self._state(kek)
            self._carry_out("DELETE", kek, None)
        except PreconditionError as error:
            if error.reason is not Reason.KEK_MISSING:
                raise
            return False
        return True

    def _state(self, kek: str) -> dict[str, Any]:
        if not is_project_kek(kek):
            message = f"{kek[:80]!r} is no project's KEK, and is never destroyed"
            raise access_denied(message, hint="Name a project.")
        return self._client.request("GET", self._mount, "keys", name=kek)

    def _carry_out(
        self, method: str, name: str, body: dict[str, object] | None
    ) -> None:
        """Make a request, or go on with the one that Vault holds back."""
        with self._lock:
            held = self._held.get((method, name))
            now_s = self._clock.monotonic()
            if held is None or held.until_s <= now_s:
                answer = self._client.exchange(
                    method, self._mount, "keys", name=name, body=body
                )
                wrapped = answer.get("wrap_info")
                if not isinstance(wrapped, dict):
                    return
                ttl_s = max(float(wrapped["ttl"]) - _MIN_LEFT_S, 0.0)
                held = _Held(
                    str(wrapped["token"]), str(wrapped["accessor"]), now_s + ttl_s
                )
                self._held[method, name] = held
            # Vault says of a token whose request nobody has agreed to yet that there
            # is none such.
            self._client.request(
                "POST",
                "sys/wrapping",
                "unwrap",
                body={"token": held.token},
                refused=partial(_pending, held, name),
            )
            del self._held[method, name]


def _pending(held: _Held, name: str) -> PreconditionError:
    return PreconditionError(
        f"Vault holds back the change of key {name} until its approvers agree",
        reason=Reason.KEK_APPROVAL_PENDING,
        hint="They run `bao write sys/control-group/authorize "
        f"accessor={held.accessor}`; then do the same again, at the same server.",
        accessor=held.accessor,
        key=name,
    )


_key_destroyer: type[KeyDestroyer] = VaultKeyDestroyer
