# SPDX-License-Identifier: Apache-2.0
"""What a stack's OpenBao holds: engines, keys, roles, policies, AppRoles.

Everything is applied with a root token that lives for one call of `ensure_…` and
is never written down. Each step may be repeated, so a changed policy is applied
by doing all of them again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom_server.core import vault_policy
from strongroom_server.dev.addresses import HOST
from strongroom_server.dev.identity_provider import desired_people, provide_people
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.openbao import OpenBao
from strongroom_server.dev.private_files import (
    read_record,
    write_if_changed,
    write_record,
)
from strongroom_server.dev.vault_client import VaultClient

TRUST_DOMAIN: Final = "dev.strongroom.internal"
SERVER_SPIFFE_ID: Final = f"spiffe://{TRUST_DOMAIN}/strongroom/server"
TRANSIT_MOUNT: Final = "transit"
PKI_MOUNT: Final = "pki"
SERVER_ROLE: Final = "strongroom-server"
CLIENT_ROLE: Final = "strongroom-client"
APPROLE_MOUNT: Final = "approle"
#: The identities of the stack: AppRole and policy have the same name.
SERVER_APPROLE: Final = "strongroom-server"
KEY_ADMIN_APPROLE: Final = "strongroom-key-admin"
KEY_DESTROYER_APPROLE: Final = "strongroom-key-destroyer"
SNAPSHOT_APPROLE: Final = "strongroom-snapshot"
CLIENTS_APPROLE: Final = "strongroom-dev-clients"
PROVISIONER_APPROLE: Final = "strongroom-dev-provisioner"

_NAMES: Final = vault_policy.Names(
    mount=TRANSIT_MOUNT,
    pki_mount=PKI_MOUNT,
    pki_role=SERVER_ROLE,
    client_pki_role=CLIENT_ROLE,
)
_POLICIES: Final[Mapping[str, str]] = {
    SERVER_APPROLE: vault_policy.server_policy(_NAMES),
    KEY_ADMIN_APPROLE: vault_policy.key_admin_policy(_NAMES),
    # The stack has nobody whom Vault could ask; Strongroom's own approvals stand.
    KEY_DESTROYER_APPROLE: vault_policy.key_destroyer_policy(
        replace(_NAMES, control_group=False)
    ),
    SNAPSHOT_APPROLE: vault_policy.snapshot_policy(_NAMES),
    CLIENTS_APPROLE: vault_policy.client_issuer_policy(_NAMES),
    PROVISIONER_APPROLE: vault_policy.provisioner_policy(),
}

_KEYS: Final[Mapping[str, Mapping[str, object]]] = {
    vault_policy.STORE_KEK: {"type": "aes256-gcm96", "derived": True},
    vault_policy.SIGNING_KEYS[0]: {"type": "ecdsa-p384"},
    vault_policy.SIGNING_KEYS[1]: {"type": "mldsa-65"},
    vault_policy.LOG_KEYS[0]: {"type": "ed25519"},
    vault_policy.LOG_KEYS[1]: {"type": "mldsa-44"},
}

# Service tokens, because a batch token cannot be revoked.
_APPROLE: Final[Mapping[str, object]] = {
    "token_type": "service",
    "token_ttl": "15m",
    "token_max_ttl": "4h",
    "token_no_default_policy": True,
    "token_bound_cidrs": [f"{HOST}/32"],
    "secret_id_bound_cidrs": [f"{HOST}/32"],
    "secret_id_ttl": "0",
    "secret_id_num_uses": 0,
}

_PKI_ROLES: Final[Mapping[str, Mapping[str, object]]] = {
    SERVER_ROLE: {
        "allowed_uri_sans": [SERVER_SPIFFE_ID],
        "allowed_domains": ["localhost"],
        "allow_bare_domains": True,
        "allow_ip_sans": True,
        "allowed_ip_sans_cidr": [f"{HOST}/32"],
        "server_flag": True,
        "client_flag": True,
        "ttl": "24h",
        "max_ttl": "24h",
    },
    CLIENT_ROLE: {
        "allowed_uri_sans": [f"spiffe://{TRUST_DOMAIN}/ns/*/sa/*/job/*"],
        "allowed_domains": [],
        "allow_bare_domains": False,
        "allow_localhost": False,
        "allow_ip_sans": False,
        "server_flag": False,
        "client_flag": True,
        "ttl": "720h",
        "max_ttl": "720h",
    },
}
# A certificate that the stack issues carries a SPIFFE id, not a person's name;
# none is stored in OpenBao, because none lives long enough to be revoked by list.
_PKI_ROLE_COMMON: Final[Mapping[str, object]] = {
    "require_cn": False,
    "allow_subdomains": False,
    "allow_glob_domains": False,
    "allow_wildcard_certificates": False,
    "key_type": "ec",
    "key_bits": 256,
    "key_usage": ["DigitalSignature"],
    "no_store": True,
}


@dataclass(frozen=True, slots=True)
class AppRole:
    """The files with which one identity logs in."""

    role_id_file: Path
    secret_id_file: Path

    def log_in(self, client: VaultClient) -> VaultClient:
        """Give a client with a fresh token of this identity.

        Raises:
            PreconditionError: Refused.
            UnavailableError: No answer.
        """
        body = {
            "role_id": self.role_id_file.read_text("utf-8").strip(),
            "secret_id": self.secret_id_file.read_text("utf-8").strip(),
        }
        auth = client.write(f"auth/{APPROLE_MOUNT}/login", body)["auth"]
        if not isinstance(auth, dict):
            raise PreconditionError("the AppRole login gave no token")
        return client.with_token(str(auth["client_token"]))


def ensure_provisioned(bao: OpenBao, layout: StackLayout) -> bool:
    """Bring an unsealed OpenBao to the state that this file describes.

    Does nothing if it was brought there before. Say whether something was done.

    Raises:
        PreconditionError: OpenBao refused a step.
        UnavailableError: OpenBao went away.
    """
    record = layout.vault / "provisioned.json"
    digest = _desired_digest(bao.port)
    if record.exists() and read_record(record).get("digest") == digest:
        return False
    root = bao.take_root_token()
    if root is None:
        provisioner = approle(layout, PROVISIONER_APPROLE).log_in(bao.client())
        root = bao.make_root_token(provisioner)
    client = bao.client(root)
    try:
        provision(client, layout)
    finally:
        client.write("auth/token/revoke-self")
    bao.confirm_initialised()
    write_record(record, {"digest": digest})
    return True


def provision(client: VaultClient, layout: StackLayout) -> None:
    """Apply everything with a root token; each step may be repeated."""
    _ensure_engine(client, "sys/mounts", TRANSIT_MOUNT, "transit", {})
    pki = {"max_lease_ttl": "87600h"}
    _ensure_engine(client, "sys/mounts", PKI_MOUNT, "pki", pki)
    _ensure_engine(client, "sys/auth", APPROLE_MOUNT, "approle", {})
    # Without this, encrypting under a name that does not exist makes a key.
    client.write(f"{TRANSIT_MOUNT}/config/keys", {"disable_upsert": True})
    for name, parameters in _KEYS.items():
        client.write(f"{TRANSIT_MOUNT}/keys/{name}", parameters)
    if client.read(f"{PKI_MOUNT}/issuers?list=true") is None:
        root = {
            "common_name": "Strongroom development root",
            "key_type": "ec",
            "key_bits": 384,
            "ttl": "87600h",
        }
        client.write(f"{PKI_MOUNT}/root/generate/internal", root)
    for name, role in _PKI_ROLES.items():
        client.write(f"{PKI_MOUNT}/roles/{name}", {**_PKI_ROLE_COMMON, **role})
    for name, text in _POLICIES.items():
        client.write(f"sys/policies/acl/{name}", {"policy": text})
        _ensure_approle(client, layout, name)
    provide_people(client, layout)


def approle(layout: StackLayout, name: str) -> AppRole:
    """Name the files of one identity of the stack."""
    return AppRole(*layout.approle(name))


def _ensure_engine(
    client: VaultClient, api: str, path: str, kind: str, config: Mapping[str, object]
) -> None:
    status, answer = client.exchange("GET", f"{api}/{path}")
    data = answer.get("data")
    if status == HTTPStatus.OK and isinstance(data, dict) and data.get("type") == kind:
        return
    client.write(f"{api}/{path}", {"type": kind, "config": dict(config)})


def _ensure_approle(client: VaultClient, layout: StackLayout, name: str) -> None:
    """Make the AppRole, and write its files unless those there still work."""
    path = f"auth/{APPROLE_MOUNT}/role/{name}"
    client.write(path, {**_APPROLE, "token_policies": [name]})
    identity = approle(layout, name)
    role = client.read(f"{path}/role-id")
    if role is None:
        raise PreconditionError(
            f"OpenBao has no role id for {name}.", reason=Reason.SETTING_INVALID
        )
    write_if_changed(identity.role_id_file, str(role["role_id"]))
    if not _logs_in(client, identity):
        secret = client.write_for_data(f"{path}/secret-id")
        write_if_changed(identity.secret_id_file, str(secret["secret_id"]))


def _logs_in(client: VaultClient, identity: AppRole) -> bool:
    if not identity.secret_id_file.exists():
        return False
    try:
        identity.log_in(client.with_token("")).exchange(
            "POST", "auth/token/revoke-self", {}
        )
    except StrongroomError:
        return False
    return True


def _desired_digest(vault_port: int) -> str:
    desired: list[object] = [_POLICIES, _KEYS, _APPROLE, _PKI_ROLES, _PKI_ROLE_COMMON]
    desired.append(desired_people(vault_port))
    return hashlib.sha256(json.dumps(desired, sort_keys=True).encode()).hexdigest()
