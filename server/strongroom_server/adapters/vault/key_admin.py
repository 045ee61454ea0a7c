# SPDX-License-Identifier: Apache-2.0
"""`KeyAdmin` in Vault's transit engine: rotates KEKs and retires old versions.

Its identity is another one than the server's: it may use no key.
"""

from strongroom_server.adapters.vault.client import VaultClient
from strongroom_server.adapters.vault.keys import check_kek_name, kek_state_of
from strongroom_server.ports import KekState, KeyAdmin


class VaultKeyAdmin:
    """The `KeyAdmin` port over a transit mount."""

    def __init__(self, client: VaultClient, *, mount: str) -> None:
        self._client = client
        self._mount = mount

    def rotate(self, kek: str) -> int:
        """Make a new version of a KEK; see `KeyAdmin`."""
        before = self._state(kek).newest
        # By the name's end, since operations go to spans.
        self._client.request("POST", self._mount, "keys", name=f"{kek}/rotate", body={})
        # A rotation that was tried twice made two versions; the newest counts.
        return max(self._state(kek).newest, before)

    def retire(self, kek: str, *, oldest: int) -> bool:
        """Let no version before `oldest` unwrap; see `KeyAdmin`."""
        if self._state(kek).oldest >= oldest:
            return False
        self._client.request(
            "POST",
            self._mount,
            "keys",
            name=f"{kek}/config",
            body={"min_decryption_version": oldest},
        )
        return True

    def _state(self, kek: str) -> KekState:
        check_kek_name(kek)
        data = self._client.request("GET", self._mount, "keys", name=kek)
        return kek_state_of(data)


_key_admin: type[KeyAdmin] = VaultKeyAdmin
