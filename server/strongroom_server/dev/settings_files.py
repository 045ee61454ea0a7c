# SPDX-License-Identifier: Apache-2.0
"""The settings that a stack writes for its server and its clients, as TOML."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom_server.dev.addresses import HOST, AddressBook
from strongroom_server.dev.backup_store import (
    BACKUP_BUCKET,
    BACKUP_SHREDDER,
    BACKUP_WRITER,
)
from strongroom_server.dev.client_certificates import (
    ACCOUNTS,
    WORKSTATION,
    client_spiffe_id,
)
from strongroom_server.dev.identity_provider import NAME_CLAIM, client_id, issuer_url
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.people import PEOPLE
from strongroom_server.dev.provisioning import (
    APPROLE_MOUNT,
    KEY_ADMIN_APPROLE,
    KEY_DESTROYER_APPROLE,
    PKI_MOUNT,
    SERVER_APPROLE,
    SERVER_ROLE,
    SERVER_SPIFFE_ID,
    TRANSIT_MOUNT,
    TRUST_DOMAIN,
)
from strongroom_server.dev.seaweed import BUCKET, REGION, REMOVER, SHREDDER, TENANT
from strongroom_server.dev.security_keys import RELYING_PARTY

#: The longest path of a Unix socket, in bytes (`sun_path` less its last zero).
_SOCKET_PATH_BYTES = 107

_Value = str | Sequence[str]

_CAPTION: Final = """\
# Who has which role where. Yours to change: `strongroom dev up` does not write it
# again. The server follows this file and policies/ beside it, without a restart;
# `strongroom doctor` says if it refused a change.
"""
_SIDECAR_CAPTION: Final = (
    "# Written by `strongroom dev sidecar`; what you change here is lost.\n"
)
#: Whose rights a stack's sidecar has.
SIDECAR_ACCOUNT: Final = "trainer"
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
    socket = f"unix:{layout.server / 'admin.sock'}"
    admin = socket if _socket_fits(layout) else _at(addresses, "server-admin")
    tables: dict[str, dict[str, _Value]] = {
        "store": {
            "endpoint": store,
            "bucket": BUCKET,
            "region": REGION,
            "credentials_file": str(layout.store_credentials(TENANT)),
            "remover_credentials_file": str(layout.store_credentials(REMOVER)),
            "shredder_credentials_file": str(layout.store_credentials(SHREDDER)),
            "prefix": "",
        },
        "vault": {
            "address": f"https://{_at(addresses, 'vault')}",
            "ca_file": str(layout.vault_ca),
            "transit_mount": TRANSIT_MOUNT,
            "auth": "approle",
            "auth_mount": APPROLE_MOUNT,
            **_approle_files("", layout.approle(SERVER_APPROLE)),
            **_approle_files("key_admin_", layout.approle(KEY_ADMIN_APPROLE)),
            **_approle_files("key_destroyer_", layout.approle(KEY_DESTROYER_APPROLE)),
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
    tables |= _tables_of_some(layout, addresses)
    caption = "# Written by `strongroom dev up`; what you change here is lost.\n"
    return caption + "".join(
        f"\n[{name}]\n{_table(table)}" for name, table in tables.items()
    )


def _tables_of_some(
    layout: StackLayout, addresses: AddressBook
) -> dict[str, dict[str, _Value]]:
    """Return the sections that not every stack has."""
    tables: dict[str, dict[str, _Value]] = {}
    if _socket_fits(layout):
        tables["shared_memory"] = {"socket": str(layout.data_socket)}
    if addresses.port("backup-s3"):
        tables["backup"] = _backup(layout, addresses)
    if known_as := client_id(layout):
        tables["operators"] = _operators(layout, addresses, known_as)
    return tables


def _approle_files(setting: str, files: tuple[Path, Path]) -> dict[str, str]:
    """Name the files of an AppRole as settings whose names begin so."""
    role_id, secret_id = files
    return {
        f"{setting}role_id_file": str(role_id),
        f"{setting}secret_id_file": str(secret_id),
    }


def _backup(layout: StackLayout, addresses: AddressBook) -> dict[str, _Value]:
    return {
        "endpoint": f"http://{_at(addresses, 'backup-s3')}",
        "bucket": BACKUP_BUCKET,
        "region": REGION,
        "credentials_file": str(layout.backup_credentials(BACKUP_WRITER)),
        "shredder_credentials_file": str(layout.backup_credentials(BACKUP_SHREDDER)),
    }


def _operators(
    layout: StackLayout, addresses: AddressBook, known_as: str
) -> dict[str, _Value]:
    return {
        "issuer": issuer_url(addresses.port("vault")),
        "audience": known_as,
        "ca_file": str(layout.vault_ca),
        "name_claim": NAME_CLAIM,
        "rp_id": RELYING_PARTY,
        "credentials_file": str(layout.operator_credentials),
    }


def sidecar_settings(layout: StackLayout, addresses: AddressBook) -> str:
    """Write `sidecar.toml`: a sidecar that may do what `trainer` may."""
    folder = layout.client(SIDECAR_ACCOUNT)
    tables: dict[str, dict[str, _Value]] = {
        "central": {"endpoint": f"localhost:{addresses.port('server-data')}"},
        "identity": {
            "cert_file": str(folder / "tls.crt"),
            "key_file": str(folder / "tls.key"),
            "ca_file": str(folder / "ca.crt"),
            "spiffe_id": client_spiffe_id(SIDECAR_ACCOUNT),
        },
        "listen": {
            "socket": str(layout.sidecar / "sr.sock"),
            "health": _at(addresses, "sidecar-health"),
        },
        "cache": {"path": str(layout.sidecar / "cache")},
        "telemetry": {
            "spans_file": str(layout.telemetry / "sidecar-spans.jsonl"),
            "service_name": "strongroom-sidecar",
        },
    }
    return _SIDECAR_CAPTION + "".join(
        f"\n[{name}]\n{_table(table)}" for name, table in tables.items()
    )


def sidecar_client(layout: StackLayout) -> str:
    """Write `client.toml` for who calls through the sidecar."""
    return _SIDECAR_CAPTION + _table(
        {
            "endpoint": f"unix://{layout.sidecar / 'sr.sock'}",
            "spans_file": str(layout.telemetry / "client-spans.jsonl"),
        }
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
    for name, roles in PEOPLE.items():
        person: dict[str, _Value] = {
            "id": name,
            "principal": f"operator:{name}",
            "roles": roles,
            "resources": ["projects/*", "server"],
        }
        parts.append(f"\n[[assignments]]\n{_table(person)}")
    return "".join(parts)


def owner_policy() -> str:
    """Write `policies/owner.cedar`, which belongs to the user once it is there."""
    return _OWNER_POLICY


def client_settings(layout: StackLayout, addresses: AddressBook, account: str) -> str:
    """Write `client.toml` for one service account."""
    return _client_table(layout, addresses, account, account)


def person_settings(
    layout: StackLayout, addresses: AddressBook, name: str, *, store_id: str
) -> str:
    """Write `client.toml` for a person, who sits at the stack's workstation.

    Args:
        layout: The stack's paths.
        addresses: Its ports.
        name: Who it is.
        store_id: The store that the person's consents are for, 32 hex digits.
    """
    consents: dict[str, _Value] = {
        "store_id": store_id,
        "relying_party": RELYING_PARTY,
        "security_key_file": str(security_key_file(layout, name)),
    }
    return _client_table(layout, addresses, WORKSTATION, name) + _table(consents)


def security_key_file(layout: StackLayout, name: str) -> Path:
    """Name the file that stands in for a person's security key."""
    return layout.client(name) / "security-key.json"


def _client_table(
    layout: StackLayout, addresses: AddressBook, holder: str, user: str
) -> str:
    """Write settings with the certificate of `holder` and the logins of `user`."""
    folder = layout.client(holder)
    table: dict[str, _Value] = {
        "endpoint": _at(addresses, "server-data"),
        "ca_file": str(folder / "ca.crt"),
        "cert_file": str(folder / "tls.crt"),
        "key_file": str(folder / "tls.key"),
        "server_spiffe_id": SERVER_SPIFFE_ID,
        "trust_domain": TRUST_DOMAIN,
        "spans_file": str(layout.telemetry / "client-spans.jsonl"),
    }
    if _socket_fits(layout):
        table["shared_socket"] = str(layout.data_socket)
    if known_as := client_id(layout):
        table["login_issuer"] = issuer_url(addresses.port("vault"))
        table["login_client_id"] = known_as
        table["login_ca_file"] = str(layout.vault_ca)
        table["login_folder"] = str(layout.client(user) / "login")
    caption = "# Written by `strongroom dev up`; what you change here is lost.\n"
    return caption + _table(table)


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
