# SPDX-License-Identifier: Apache-2.0
"""Opening Vault: one login, and the ports that it serves."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta

from strongroom_server.adapters.vault.checkpoints import VaultCheckpointSigner
from strongroom_server.adapters.vault.client import VaultClient
from strongroom_server.adapters.vault.issuer import VaultIssuer
from strongroom_server.adapters.vault.key_admin import VaultKeyAdmin
from strongroom_server.adapters.vault.key_destroyer import VaultKeyDestroyer
from strongroom_server.adapters.vault.keys import VaultKeyService
from strongroom_server.adapters.vault.settings import VaultSettings
from strongroom_server.adapters.vault.signer import VaultSigner
from strongroom_server.adapters.vault.transport import VaultTransport
from strongroom_server.ports import Clock, Entropy, KeyRequestSink


class VaultSession:
    """What a server may do in Vault. Made by `open_vault`, which also closes it.

    Attributes:
        keys: KEKs, which never leave Vault.
        key_admin: What looks after KEKs; for a session with an identity of its own.
        key_destroyer: What destroys KEKs; for a session with an identity of its own.
        signer: The signing keys of journal entries, which never leave it either.
        checkpoints: Those of the audit log's checkpoints.
    """

    def __init__(
        self, settings: VaultSettings, client: VaultClient, *, clock: Clock
    ) -> None:
        self._settings = settings
        self._client = client
        self.keys = VaultKeyService(client, mount=settings.transit_mount)
        self.key_admin = VaultKeyAdmin(client, mount=settings.transit_mount)
        self.key_destroyer = VaultKeyDestroyer(
            client, mount=settings.transit_mount, clock=clock
        )
        self.signer = VaultSigner(client, mount=settings.transit_mount, clock=clock)
        self.checkpoints = VaultCheckpointSigner(client, mount=settings.transit_mount)

    def check_clock(self) -> None:
        """Check that Vault's clock and ours agree; errors as `KeyService`."""
        self._client.check_clock()

    def issuer(
        self,
        spiffe_id: str,
        *,
        dns_names: Sequence[str],
        ip_addresses: Sequence[str],
        ttl: timedelta,
    ) -> VaultIssuer:
        """Return an issuer of certificates with this one SPIFFE id and these names."""
        return VaultIssuer(
            self._client,
            mount=self._settings.pki_mount,
            role=self._settings.pki_role,
            spiffe_id=spiffe_id,
            dns_names=dns_names,
            ip_addresses=ip_addresses,
            ttl=ttl,
        )


@contextlib.contextmanager
def open_vault(
    settings: VaultSettings,
    *,
    clock: Clock,
    entropy: Entropy,
    requests_made: KeyRequestSink | None = None,
) -> Iterator[VaultSession]:
    """Open Vault, and close it at the end.

    Checks the settings and makes no request: a server may start while Vault is
    sealed, and logs in with its first request. `keys.check_ready()` asks now.
    What keys are used for is told to `requests_made`.

    Raises:
        PreconditionError: The settings cannot work (SETTING_INVALID).
    """
    transport = VaultTransport(
        settings, clock=clock, entropy=entropy, requests_made=requests_made
    )
    with contextlib.closing(transport):
        yield VaultSession(
            settings, VaultClient(settings, transport, clock=clock), clock=clock
        )
