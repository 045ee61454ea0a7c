# SPDX-License-Identifier: Apache-2.0
"""The Vault adapter: KEKs, signatures and certificates from Vault or OpenBao.

`session` opens it; `client` keeps a token alive, which one of the `logins` gives;
`transport` makes one request, in time, and by `storage_index` reads what it wrote;
`failures` turns what hvac and requests raise into errors of ours; `keys`,
`key_admin`, `key_destroyer`, `signer`, `checkpoints` and `issuer` are the ports.
"""

from strongroom_server.adapters.vault.logins import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    KubernetesLogin,
    TokenFileLogin,
    VaultLogin,
    make_login,
)
from strongroom_server.adapters.vault.session import VaultSession, open_vault
from strongroom_server.adapters.vault.settings import VaultSettings

__all__ = [
    "AppRoleLogin",
    "CertLogin",
    "JwtLogin",
    "KubernetesLogin",
    "TokenFileLogin",
    "VaultLogin",
    "VaultSession",
    "VaultSettings",
    "make_login",
    "open_vault",
]
