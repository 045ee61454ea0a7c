# SPDX-License-Identifier: Apache-2.0
"""The Vault adapter: KEKs, signatures and certificates from Vault or OpenBao.

`session` opens it; `client` keeps a token alive; `transport` makes one request, in
time; `failures` turns what hvac and requests raise into errors of ours; `keys`,
`signer` and `issuer` are the ports.
"""

from strongroom_server.adapters.vault.session import VaultSession, open_vault
from strongroom_server.adapters.vault.settings import VaultSettings

__all__ = ["VaultSession", "VaultSettings", "open_vault"]
