# SPDX-License-Identifier: Apache-2.0
"""What each of our identities may do in Vault: the policies, as HCL.

`deploy/vault/*.hcl` are these texts with the default names; a test compares them.
A mount that holds KEKs belongs to one Strongroom alone: `transit/keys/+` below
covers every key of the mount, because the narrower `transit/keys/sr.*` would also
cover `transit/keys/sr.x/config`, `/rotate` and `/trim` (a trailing glob crosses
slashes, and wins over `transit/keys/+/config`; tried on OpenBao 2.7.2).
"""

import re
from collections.abc import Mapping
from typing import Final

#: What the names of all our keys in Vault begin with.
KEY_PREFIX: Final = "sr."
#: The KEK of what belongs to the store as a whole.
STORE_KEK: Final = "sr.store"
#: The keys that sign journal entries: ECDSA P-384 and ML-DSA-65.
SIGNING_KEYS: Final = ("sr.sign.version", "sr.sign.version.pq")

_MOUNT = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")

# The whole list of what may be said when a KEK is made; each with its only values.
# A parameter that is not here is refused, in any letter case, so no key can be
# made exportable, or backed up in plaintext, or deletable.
_KEK_PARAMETERS: Final[Mapping[str, str]] = {
    "type": '["aes256-gcm96"]',
    "derived": "[true]",
    "convergent_encryption": "[false]",
    "exportable": "[false]",
    "allow_plaintext_backup": "[false]",
    "auto_rotate_period": '["720h"]',
}

_SERVER_POLICY: Final = """\
# The Strongroom server: make KEKs, use them, sign, get its own certificate.

# A new KEK. What may be said is listed; all else is refused.
path "{mount}/keys/+" {{
  capabilities = ["create", "update", "read"]
  allowed_parameters = {{
{parameters}
  }}
}}

# Wrap, unwrap and re-wrap domain keys.
path "{mount}/datakey/plaintext/{prefix}*" {{
  capabilities = ["update"]
}}

path "{mount}/decrypt/{prefix}*" {{
  capabilities = ["update"]
}}

path "{mount}/rewrap/{prefix}*" {{
  capabilities = ["update"]
}}

# The keys that an operator makes: read their public part or version, no more.
{fixed_keys}
# Sign journal entries, with both algorithms.
{signing}
# A certificate for the server itself.
path "{pki_mount}/issue/{pki_role}" {{
  capabilities = ["update"]
}}

# Keep its own token alive.
path "auth/token/lookup-self" {{
  capabilities = ["read"]
}}

path "auth/token/renew-self" {{
  capabilities = ["update"]
}}
"""

_KEY_ADMIN_POLICY: Final = """\
# Whoever looks after the keys: rotate them and retire old versions. May neither
# use a key, nor take one out of Vault, nor destroy one.
path "{mount}/keys" {{
  capabilities = ["list"]
}}

path "{mount}/keys/+" {{
  capabilities = ["read"]
}}

path "{mount}/keys/+/rotate" {{
  capabilities = ["update"]
}}

path "{mount}/keys/+/config" {{
  capabilities = ["update"]
  denied_parameters = {{
    "exportable"             = []
    "allow_plaintext_backup" = []
    "deletion_allowed"       = []
  }}
}}
"""

_CLIENT_ISSUER_POLICY: Final = """\
# Whoever hands out client certificates (the development stack, a job controller):
# one role, and nothing else.
path "{pki_mount}/issue/{pki_role}" {{
  capabilities = ["update"]
}}
"""

_PROVISIONER_POLICY: Final = """\
# The development stack, to apply changed policies: together with the unseal key
# it makes a root token for a moment. Not for production.
path "sys/generate-root-token/*" {
  capabilities = ["create", "read", "update", "delete"]
}
"""


def server_policy(
    *,
    mount: str = "transit",
    pki_mount: str = "pki",
    pki_role: str = "strongroom-server",
) -> str:
    """Write the policy of the Strongroom server.

    Args:
        mount: The transit engine that holds our keys and no others.
        pki_mount: The PKI engine that issues certificates.
        pki_role: The role of that engine for the server's certificate.

    Raises:
        ValueError: A name could say something else in HCL (a caller's bug).
    """
    width = max(map(len, _KEK_PARAMETERS)) + 2
    quoted = {f'"{name}"': values for name, values in _KEK_PARAMETERS.items()}
    lines = [f"    {name:<{width}} = {values}" for name, values in quoted.items()]
    fixed = (STORE_KEK, *SIGNING_KEYS)
    return _SERVER_POLICY.format(
        mount=_checked(mount),
        pki_mount=_checked(pki_mount),
        pki_role=_checked(pki_role),
        prefix=KEY_PREFIX,
        parameters="\n".join(lines),
        fixed_keys="\n".join(_rule(f"{mount}/keys/{key}", "read") for key in fixed),
        signing="\n".join(
            _rule(f"{mount}/sign/{key}", "update") for key in SIGNING_KEYS
        ),
    )


def key_admin_policy(*, mount: str = "transit") -> str:
    """Write the policy of whoever rotates keys; `ValueError` as above."""
    return _KEY_ADMIN_POLICY.format(mount=_checked(mount))


def client_issuer_policy(
    *, pki_mount: str = "pki", pki_role: str = "strongroom-client"
) -> str:
    """Write the policy of whoever hands out client certificates."""
    return _CLIENT_ISSUER_POLICY.format(
        pki_mount=_checked(pki_mount), pki_role=_checked(pki_role)
    )


def provisioner_policy() -> str:
    """Write the policy with which the development stack renews its policies."""
    return _PROVISIONER_POLICY


def _rule(path: str, capability: str) -> str:
    return f'path "{path}" {{\n  capabilities = ["{capability}"]\n}}\n'


def _checked(name: str) -> str:
    if _MOUNT.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a name of a Vault mount or role")
    return name
