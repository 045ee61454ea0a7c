# SPDX-License-Identifier: Apache-2.0
"""What identities of ours must not be able to do in Vault, as tables.

`every_operation` makes one of everything that a running server can be asked for,
by its own description of itself; the others are written down by hand, with bodies
that would do harm.
"""

import base64
import http.client
import itertools
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom_server.dev.vault_client import VaultClient

Body = Mapping[str, object] | None

KEK: Final = "sr.aaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#: A key of somebody else in the same mount.
FOREIGN: Final = "payroll"
AES: Final[Mapping[str, object]] = {"type": "aes256-gcm96", "derived": True}
CONTEXT: Final = base64.b64encode(b"SRCTX-v1\0".ljust(48, b"x")).decode()
#: A context that no Strongroom makes.
NO_CONTEXT: Final = base64.b64encode(b"SRCTX-v2\0".ljust(48, b"x")).decode()
_WRAPPED: Final = "vault:v1:AAAA"
_METHODS: Final = ("GET", "LIST", "SCAN", "POST", "PATCH", "DELETE")
#: What a parameter of a path may be; keys have names that policies speak of.
_KEYS: Final = (KEK, "sr.store", "sr.sign.version", FOREIGN)


@dataclass(frozen=True)
class Attempt:
    """Something to ask for, which must be answered 403."""

    method: str
    path: str
    body: Body = field(default=None, hash=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {json.dumps(self.body)[:80]}"


def _made(*rows: tuple[str, str, Body]) -> tuple[Attempt, ...]:
    return tuple(Attempt(*row) for row in rows)


#: What would make a key that can leave Vault, or a key of another kind.
FORBIDDEN_KEYS: Final = tuple(
    Attempt("POST", "transit/keys/sr.cccc.dddd", body)
    for body in (
        {**AES, "exportable": True},
        {**AES, "Exportable": True},
        {**AES, "EXPORTABLE": True},
        {**AES, "exportable": "true"},
        {**AES, "exportable": 1},
        {**AES, "exportable": [False, True]},
        {**AES, "allow_plaintext_backup": True},
        {**AES, "Allow_Plaintext_Backup": True},
        {**AES, "deletion_allowed": True},
        {**AES, "deletion_allowed": False},
        {**AES, "convergent_encryption": True},
        {**AES, "auto_rotate_period": "1h"},
        {**AES, "key_size": 32},
        {"type": "aes256-gcm96", "derived": False},
        {"type": "aes256-gcm96", "derived": "false"},
        {"type": "aes128-gcm96", "derived": True},
        {"type": "chacha20-poly1305", "derived": True},
        {"type": "rsa-4096"},
        {"type": "hmac", "key_size": 32},
    )
)

#: Uses of a KEK outside the places that contexts name, and of keys of others.
FORBIDDEN_USES: Final = _made(
    ("POST", f"transit/datakey/plaintext/{KEK}", {"context": NO_CONTEXT}),
    ("POST", f"transit/datakey/plaintext/{KEK}", {"context": [CONTEXT]}),
    ("POST", f"transit/datakey/plaintext/{KEK}", {"Context": NO_CONTEXT}),
    ("POST", f"transit/datakey/plaintext/{KEK}", {"bits": 256}),
    (
        "POST",
        f"transit/datakey/plaintext/{KEK}",
        {"context": CONTEXT, "CONTEXT": NO_CONTEXT},
    ),
    (
        "POST",
        f"transit/datakey/plaintext/{KEK}",
        {"context": CONTEXT, "nonce": "AAAA"},
    ),
    (
        "POST",
        f"transit/decrypt/{KEK}",
        {"ciphertext": _WRAPPED, "context": NO_CONTEXT},
    ),
    ("POST", f"transit/decrypt/{KEK}", {"ciphertext": _WRAPPED}),
    (
        "POST",
        f"transit/decrypt/{KEK}",
        {"batch_input": [{"ciphertext": _WRAPPED, "context": CONTEXT}]},
    ),
    (
        "POST",
        f"transit/decrypt/{KEK}",
        {"ciphertext": _WRAPPED, "context": CONTEXT, "associated_data": "AAAA"},
    ),
    (
        "POST",
        f"transit/rewrap/{KEK}",
        {"ciphertext": _WRAPPED, "context": NO_CONTEXT},
    ),
    ("POST", f"transit/datakey/plaintext/{FOREIGN}", {"context": CONTEXT}),
    ("POST", f"transit/decrypt/{FOREIGN}", {"ciphertext": _WRAPPED}),
    ("POST", f"transit/rewrap/{FOREIGN}", {"ciphertext": _WRAPPED}),
    ("POST", f"transit/datakey/wrapped/{KEK}", {"context": CONTEXT}),
    ("POST", f"transit/encrypt/{KEK}", {"plaintext": "AAAA", "context": CONTEXT}),
    ("POST", "transit/encrypt/sr.new.new", {"plaintext": "AAAA"}),
    ("POST", f"transit/hmac/{KEK}", {"input": "AAAA"}),
    ("POST", f"transit/sign/{KEK}", {"input": "AAAA"}),
    ("POST", f"transit/sign/{FOREIGN}", {"input": "AAAA"}),
    ("POST", "transit/sign/sr.sign.version/sha2-256", {"input": "AAAA"}),
    (
        "POST",
        "transit/sign/sr.sign.version",
        {"input": "AAAA", "hash_algorithm": "sha1"},
    ),
    ("POST", "transit/sign/sr.sign.version", {"input": "AAAA", "prehashed": True}),
    ("POST", "transit/sign/sr.sign.version", {"batch_input": [{"input": "AAAA"}]}),
    (
        "POST",
        "transit/sign/sr.sign.version.pq",
        {"input": "AAAA", "context": CONTEXT},
    ),
    ("POST", "transit/verify/sr.sign.version", {"input": "AAAA"}),
)

#: What takes a key out, makes that possible, or destroys it.
FORBIDDEN_KEY_WORK: Final = _made(
    ("POST", f"transit/keys/{KEK}/config", {"exportable": True}),
    ("POST", f"transit/keys/{KEK}/config", {"Exportable": "true"}),
    ("POST", f"transit/keys/{KEK}/config", {"allow_plaintext_backup": True}),
    ("POST", f"transit/keys/{KEK}/config", {"deletion_allowed": True}),
    ("GET", f"transit/export/encryption-key/{KEK}", None),
    ("GET", f"transit/export/encryption-key/{KEK}/1", None),
    ("GET", f"transit/backup/{KEK}", None),
    ("POST", f"transit/restore/{KEK}", {"backup": "x"}),
    ("GET", f"transit/byok-export/{KEK}/sr.store", None),
    ("DELETE", f"transit/keys/{KEK}", None),
    ("POST", f"transit/keys/{KEK}/trim", {"min_available_version": 1}),
    ("POST", f"transit/keys/{KEK}/import", AES),
    ("POST", "transit/keys/sr.gggg.hhhh/import", AES),
    ("POST", f"transit/keys/{KEK}/import_version", {"ciphertext": "x"}),
    ("POST", "transit/keys/sr.store", AES),
    ("POST", "transit/keys/sr.sign.version", AES),
    ("POST", "transit/keys/sr.sign.version.pq/config", {"exportable": True}),
    ("POST", "transit/config/keys", {"disable_upsert": False}),
    ("GET", "transit/wrapping_key", None),
)

#: What a server must not do to keys and a key admin may.
KEY_ADMIN_WORK: Final = _made(
    ("POST", f"transit/keys/{KEK}/config", {"min_decryption_version": 1}),
    ("POST", f"transit/keys/{KEK}/config", {"auto_rotate_period": "720h"}),
    ("POST", f"transit/keys/{KEK}/rotate", {}),
    ("DELETE", f"transit/keys/{KEK}/soft-delete", None),
    ("POST", f"transit/keys/{KEK}/soft-delete-restore", {}),
    ("LIST", "transit/keys", None),
    ("GET", "transit/keys?list=true", None),
)

#: The system, other identities, and certificates.
FORBIDDEN_ELSEWHERE: Final = _made(
    ("GET", "sys/policies/acl/strongroom-server", None),
    ("POST", "sys/policies/acl/strongroom-server", {"policy": ""}),
    ("POST", "sys/policies/acl/other", {"policy": ""}),
    ("GET", "sys/mounts", None),
    ("POST", "sys/mounts/kv", {"type": "kv"}),
    ("POST", "sys/remount", {"from": "transit", "to": "elsewhere"}),
    ("DELETE", "sys/mounts/transit", None),
    ("POST", "sys/mounts/transit/tune", {"max_lease_ttl": "1s"}),
    ("POST", "sys/seal", {}),
    ("POST", "sys/step-down", {}),
    ("POST", "sys/generate-root-token/attempt", {}),
    ("GET", "sys/audit", None),
    ("GET", "sys/raw/core/keyring", None),
    ("GET", "sys/storage/raft/snapshot", None),
    ("POST", "auth/token/create", {}),
    ("POST", "auth/token/create-orphan", {}),
    ("GET", "auth/approle/role/strongroom-server/role-id", None),
    ("POST", "auth/approle/role/strongroom-server/secret-id", {}),
    ("POST", "pki/sign/strongroom-server", {"csr": "x"}),
    ("POST", "pki/sign-verbatim", {"csr": "x"}),
    ("POST", "pki/root/generate/exported", {"common_name": "x"}),
    ("POST", "pki/roles/strongroom-server", {}),
    ("POST", "pki/revoke", {"serial_number": "x"}),
)

#: The whole table of the server's policy.
SERVER_DENIALS: Final = (
    *FORBIDDEN_KEYS,
    *FORBIDDEN_USES,
    *FORBIDDEN_KEY_WORK,
    *KEY_ADMIN_WORK,
    *FORBIDDEN_ELSEWHERE,
    Attempt("POST", "pki/issue/strongroom-client", {"uri_sans": "spiffe://x/ns/a"}),
)
#: And of the key admin's: it may neither make a key nor use one.
KEY_ADMIN_DENIALS: Final = (
    *FORBIDDEN_KEYS,
    *FORBIDDEN_USES,
    *FORBIDDEN_KEY_WORK,
    *FORBIDDEN_ELSEWHERE,
    Attempt("POST", f"transit/keys/{KEK}", AES),
    Attempt("POST", f"transit/datakey/plaintext/{KEK}", {"context": CONTEXT}),
    Attempt(
        "POST",
        f"transit/decrypt/{KEK}",
        {"ciphertext": _WRAPPED, "context": CONTEXT},
    ),
    Attempt("POST", "transit/sign/sr.sign.version", {"input": "AAAA"}),
    Attempt("POST", "pki/issue/strongroom-server", {}),
)


_OWN_TOKEN: Final = {"GET auth/token/lookup-self", "POST auth/token/renew-self"}
#: All that each policy opens to a request with an empty body, of everything that
#: OpenBao offers. Reviewed like code: a line more is a right more.
OPENED: Final[Mapping[str, set[str]]] = {
    "server": {
        *_OWN_TOKEN,
        f"GET transit/keys/{KEK}",
        f"POST transit/keys/{KEK}",
        f"GET transit/keys/{FOREIGN}",
        f"POST transit/keys/{FOREIGN}",
        "GET transit/keys/sr.store",
        "GET transit/keys/sr.sign.version",
        f"POST transit/rewrap/{KEK}",
        "POST transit/rewrap/sr.store",
        "POST transit/rewrap/sr.sign.version",
        "POST pki/issue/strongroom-server",
    },
    "key-admin": {
        *_OWN_TOKEN,
        "LIST transit/keys",
        *(
            f"{method} transit/keys/{key}{below}"
            for key in (KEK, FOREIGN, "sr.store", "sr.sign.version")
            for method, below in (
                ("GET", ""),
                ("POST", "/config"),
                ("POST", "/rotate"),
                ("DELETE", "/soft-delete"),
                ("POST", "/soft-delete-restore"),
            )
        ),
    },
    "key-destroyer": {
        *_OWN_TOKEN,
        *(
            f"{method} transit/keys/{key}{below}"
            for key in (KEK, FOREIGN)
            for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/config"))
        ),
    },
    "key-approver": {
        "POST sys/control-group/authorize",
        "POST sys/control-group/request",
    },
    "client-issuer": {"POST pki/issue/strongroom-client"},
    "snapshot": {*_OWN_TOKEN, "GET sys/storage/raft/snapshot"},
}


def every_operation(root: VaultClient) -> Iterator[Attempt]:
    """Give every method on every path that needs a token, as Vault describes itself.

    Args:
        root: May read Vault's description of itself.
    """
    path = "sys/internal/specs/openapi?generic_mount_paths=false"
    _, answer = root.exchange("GET", path)
    paths = answer["paths"]
    assert isinstance(paths, dict)
    for template, described in sorted(paths.items()):
        if not described.get("x-vault-unauthenticated"):
            for path, method in itertools.product(_filled(template), _METHODS):
                body: Body = {} if method in {"POST", "PATCH"} else None
                yield Attempt(method, path, body)


def _filled(template: str) -> Iterator[str]:
    path = template.removeprefix("/")
    if path.startswith("transit/") and "{name}" in path:
        paths = [path.replace("{name}", key) for key in _KEYS]
    else:
        paths = [path]
    for one in paths:
        yield re.sub(r"\{[^}]*\}", "strongroom-server", one)


class Asker:
    """Asks over one connection, which thousands of questions need."""

    def __init__(self, client: VaultClient) -> None:
        context = ssl.create_default_context(cafile=str(client.ca_file))
        self._token = client.token
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", client.port, timeout=15, context=context
        )

    def status(self, attempt: Attempt) -> int:
        """Ask, and return the status of the answer."""
        body = None if attempt.body is None else json.dumps(attempt.body)
        headers = {"X-Vault-Token": self._token}
        if attempt.method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        self._connection.request(attempt.method, f"/v1/{attempt.path}", body, headers)
        response = self._connection.getresponse()
        response.read()
        return response.status

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def token_with(root: VaultClient, policy: str, name: str = "under-test") -> VaultClient:
    """Give a client whose token has one policy, and nothing else."""
    root.write(f"sys/policies/acl/{name}", {"policy": policy})
    body = {"policies": [name], "no_default_policy": True}
    auth = root.write("auth/token/create", body)["auth"]
    assert isinstance(auth, dict)
    return root.with_token(str(auth["client_token"]))
