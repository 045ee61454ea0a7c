# SPDX-License-Identifier: Apache-2.0
"""The settings that a stack writes for its server and its clients, as TOML."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from strongroom_server.dev.addresses import HOST, AddressBook
from strongroom_server.dev.client_certificates import ACCOUNTS, client_spiffe_id
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.provisioning import (
    APPROLE_MOUNT,
    KEY_ADMIN_APPROLE,
    PKI_MOUNT,
    SERVER_APPROLE,
    SERVER_ROLE,
    SERVER_SPIFFE_ID,
    TRANSIT_MOUNT,
    TRUST_DOMAIN,
)
from strongroom_server.dev.seaweed import BUCKET, REGION, REMOVER, TENANT

#: The longest path of a Unix socket, in bytes (`sun_path` less its last zero).
_SOCKET_PATH_BYTES = 107

_Value = str | Sequence[str]

_CAPTION: Final = """\
# Who has which role where. Yours to change: `strongroom dev up` does not write it
# again. The server follows this file and policies/ beside it, without a restart;
# `strongroom doctor` says if it refused a change.
"""
_OWNER_POLICY: Final = """\
// A role of this stack's own, beside those that come with the server. Yours to
// change: `strongroom dev up` does not write it again.
@id("owner")
permit (principal in Role::"owner", action, resource);
"""


def server_ports(layout: StackLayout) -> tuple[str, ...]:
    """Name the ports that the server needs in this folder."""
    base = ("server-data", "server-health")
    return base if _socket_fits(layout) else (*base, "server-admin")


def server_settings(layout: StackLayout, addresses: AddressBook, store: str) -> str:
    """Write `server.toml`.

    Args:
        layout: The stack's paths.
        addresses: Its ports.
        store: The URL of the S3 gateway.
    """
    role_id, secret_id = layout.approle(SERVER_APPROLE)
    admin_role_id, admin_secret_id = layout.approle(KEY_ADMIN_APPROLE)
    socket = f"unix:{layout.server / 'admin.sock'}"
    admin = socket if _socket_fits(layout) else _at(addresses, "server-admin")
    tables: dict[str, dict[str, _Value]] = {
        "store": {
            "endpoint": store,
            "bucket": BUCKET,
            "region": REGION,
            "credentials_file": str(layout.store_credentials(TENANT)),
            "remover_credentials_file": str(layout.store_credentials(REMOVER)),
            "prefix": "",
        },
        "vault": {
            "address": f"https://{_at(addresses, 'vault')}",
            "ca_file": str(layout.vault_ca),
            "transit_mount": TRANSIT_MOUNT,
            "auth": "approle",
            "auth_mount": APPROLE_MOUNT,
            "role_id_file": str(role_id),
            "secret_id_file": str(secret_id),
            "key_admin_role_id_file": str(admin_role_id),
            "key_admin_secret_id_file": str(admin_secret_id),
        },
        "identity": {
            "trust_domain": TRUST_DOMAIN,
            "pki_mount": PKI_MOUNT,
            "pki_role": SERVER_ROLE,
            "spiffe_id": SERVER_SPIFFE_ID,
            "dns_names": ["localhost"],
            "ip_addresses": [HOST],
        },
        "listen": {
            "data": _at(addresses, "server-data"),
            "health": _at(addresses, "server-health"),
            "admin": admin,
        },
        "index": {"path": str(layout.server / "index")},
        "audit": {"path": str(layout.server / "audit")},
        "access": {
            "assignments_file": str(layout.assignments),
            "policies": str(layout.policies),
        },
        "telemetry": {"spans_file": str(layout.telemetry / "server-spans.jsonl")},
    }
    caption = "# Written by `strongroom dev up`; what you change here is lost.\n"
    return caption + "".join(
        f"\n[{name}]\n{_table(table)}" for name, table in tables.items()
    )


def role_assignments() -> str:
    """Write `assignments.toml`, which belongs to the user once it is there."""
    parts = [_CAPTION]
    for account, role in ACCOUNTS.items():
        assignment: dict[str, _Value] = {
            "id": account,
            "principal": client_spiffe_id(account, "*"),
            "roles": [role],
            "resources": ["projects/*", "server"],
        }
        parts.append(f"\n[[assignments]]\n{_table(assignment)}")
    return "".join(parts)


def owner_policy() -> str:
    """Write `policies/owner.cedar`, which belongs to the user once it is there."""
    return _OWNER_POLICY


def client_settings(layout: StackLayout, addresses: AddressBook, account: str) -> str:
    """Write `client.toml` for one service account."""
    folder = layout.client(account)
    return "# Written by `strongroom dev up`; what you change here is lost.\n" + _table(
        {
            "endpoint": _at(addresses, "server-data"),
            "ca_file": str(folder / "ca.crt"),
            "cert_file": str(folder / "tls.crt"),
            "key_file": str(folder / "tls.key"),
            "server_spiffe_id": SERVER_SPIFFE_ID,
            "trust_domain": TRUST_DOMAIN,
            "spans_file": str(layout.telemetry / "client-spans.jsonl"),
        }
    )


def _at(addresses: AddressBook, name: str) -> str:
    return f"{HOST}:{addresses.port(name)}"


def _socket_fits(layout: StackLayout) -> bool:
    return len(bytes(layout.server / "admin.sock")) <= _SOCKET_PATH_BYTES


def _table(values: Mapping[str, _Value]) -> str:
    # A JSON string or list of strings is TOML too, once DEL is escaped.
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in values.items()
    ]
    return "".join(lines).replace("\x7f", "\\u007f")
