# SPDX-License-Identifier: Apache-2.0
"""The Vault policies on a real OpenBao: what is allowed works, all else is 403."""

import base64
from collections.abc import Iterator, Mapping

import pytest

from strongroom_server.core.vault_policy import key_admin_policy
from strongroom_server.dev.provisioning import SERVER_SPIFFE_ID, TRUST_DOMAIN, approle
from strongroom_server.dev.vault_client import VaultClient
from tests.support.stack import BaoForTests, running_bao

Body = Mapping[str, object] | None

KEK = "sr.aaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
AES: Mapping[str, object] = {"type": "aes256-gcm96", "derived": True}
CONTEXT = base64.b64encode(b"SRCTX-v1\0".ljust(48, b"x")).decode()
OTHER_CONTEXT = base64.b64encode(b"SRCTX-v1\0".ljust(48, b"y")).decode()
CLIENT_ID = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/trainer/job/17"


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        # A key of somebody else, and one that the server has made.
        running.client().write("transit/keys/payroll", {"type": "aes256-gcm96"})
        running.client().write(f"transit/keys/{KEK}", AES)
        yield running


@pytest.fixture(scope="module")
def server(bao: BaoForTests) -> VaultClient:
    return bao.server_client()


@pytest.fixture(scope="module")
def issuer(bao: BaoForTests) -> VaultClient:
    clients = approle(bao.layout, "strongroom-dev-clients")
    return clients.log_in(bao.client(""))


@pytest.fixture(scope="module")
def admin(bao: BaoForTests) -> VaultClient:
    return token_with(bao, key_admin_policy())


def token_with(bao: BaoForTests, policy: str) -> VaultClient:
    root = bao.client()
    root.write("sys/policies/acl/under-test", {"policy": policy})
    body = {"policies": ["under-test"], "no_default_policy": True}
    auth = root.write("auth/token/create", body)["auth"]
    assert isinstance(auth, dict)
    return root.with_token(str(auth["client_token"]))


def test_the_server_makes_a_kek_and_reads_it_back(server: VaultClient) -> None:
    name = f"transit/keys/{KEK}x"

    server.write(name, AES)

    key = server.read(name) or {}
    assert key["derived"] is True
    assert key["exportable"] is False
    assert key["allow_plaintext_backup"] is False
    assert key["deletion_allowed"] is False


@pytest.mark.parametrize(
    "extra",
    [
        {"exportable": False},
        {"allow_plaintext_backup": False},
        {"convergent_encryption": False},
        {"auto_rotate_period": "720h"},
    ],
)
def test_a_kek_may_be_made_with_harmless_words(
    server: VaultClient, extra: Mapping[str, object]
) -> None:
    server.write(f"transit/keys/{KEK}y", {**AES, **extra})


@pytest.mark.parametrize(
    "body",
    [
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
    ],
)
def test_no_other_kind_of_key_can_be_made(
    server: VaultClient, bao: BaoForTests, body: Mapping[str, object]
) -> None:
    name = "transit/keys/sr.cccc.dddd"

    status, _ = server.exchange("POST", name, body)

    assert status == 403
    assert bao.client().read(name) is None


def test_a_parameter_in_the_url_makes_no_key_exportable(server: VaultClient) -> None:
    name = "transit/keys/sr.eeee.ffff"

    server.exchange("POST", f"{name}?exportable=true&allow_plaintext_backup=true", AES)

    key = server.read(name) or {}
    assert key.get("exportable", False) is False
    assert key.get("allow_plaintext_backup", False) is False


def test_the_server_wraps_unwraps_and_re_wraps_in_its_context(
    server: VaultClient, bao: BaoForTests
) -> None:
    body = {"context": CONTEXT, "bits": 256}
    wrapped = server.write_for_data(f"transit/datakey/plaintext/{KEK}", body)

    place = {"ciphertext": wrapped["ciphertext"], "context": CONTEXT}
    bao.client().write(f"transit/keys/{KEK}/rotate")
    rewrapped = server.write_for_data(f"transit/rewrap/{KEK}", place)
    place = {"ciphertext": rewrapped["ciphertext"], "context": CONTEXT}
    opened = server.write_for_data(f"transit/decrypt/{KEK}", place)

    assert opened["plaintext"] == wrapped["plaintext"]
    assert str(rewrapped["ciphertext"]).startswith("vault:v2:")


def test_a_wrapped_key_does_not_open_in_another_context(server: VaultClient) -> None:
    body = {"context": CONTEXT, "bits": 256}
    wrapped = server.write_for_data(f"transit/datakey/plaintext/{KEK}", body)

    place = {"ciphertext": wrapped["ciphertext"], "context": OTHER_CONTEXT}

    assert server.exchange("POST", f"transit/decrypt/{KEK}", place)[0] == 400


def test_the_server_signs_with_both_keys_and_reads_their_public_part(
    server: VaultClient,
) -> None:
    for name in ("sr.sign.version", "sr.sign.version.pq"):
        message = base64.b64encode(b"entry").decode()
        signature = server.write_for_data(f"transit/sign/{name}", {"input": message})
        key = server.read(f"transit/keys/{name}") or {}

        assert str(signature["signature"]).startswith("vault:v1:")
        assert "public_key" in str(key["keys"])


def test_the_server_wraps_under_the_store_key(server: VaultClient) -> None:
    server.write("transit/datakey/plaintext/sr.store", {"context": CONTEXT})


def test_the_server_keeps_its_token_alive(server: VaultClient) -> None:
    token = server.read("auth/token/lookup-self") or {}
    server.write("auth/token/renew-self")

    assert token["policies"] == ["strongroom-server"]
    assert token["type"] == "service"
    assert token["creation_ttl"] == 900
    assert token["bound_cidrs"] == ["127.0.0.1"]


DENIED: list[tuple[str, str, Body]] = [
    # Take a key out, or make that possible.
    ("POST", f"transit/keys/{KEK}/config", {"exportable": True}),
    ("POST", f"transit/keys/{KEK}/config", {"allow_plaintext_backup": True}),
    ("POST", f"transit/keys/{KEK}/config", {"deletion_allowed": True}),
    ("POST", f"transit/keys/{KEK}/config", {"min_decryption_version": 1}),
    ("POST", f"transit/keys/{KEK}/config", AES),
    ("GET", f"transit/export/encryption-key/{KEK}", None),
    ("GET", f"transit/export/encryption-key/{KEK}/1", None),
    ("GET", f"transit/backup/{KEK}", None),
    ("POST", f"transit/restore/{KEK}", {"backup": "x"}),
    ("GET", f"transit/byok-export/{KEK}/sr.store", None),
    # Destroy or replace one.
    ("DELETE", f"transit/keys/{KEK}", None),
    ("POST", f"transit/keys/{KEK}/rotate", {}),
    ("POST", f"transit/keys/{KEK}/trim", {"min_available_version": 1}),
    ("POST", f"transit/keys/{KEK}/soft-delete", {}),
    ("DELETE", f"transit/keys/{KEK}/soft-delete", None),
    ("POST", f"transit/keys/{KEK}/import", AES),
    ("POST", "transit/keys/sr.gggg.hhhh/import", AES),
    # Touch what an operator made.
    ("POST", "transit/keys/sr.store", AES),
    ("POST", "transit/keys/sr.sign.version", AES),
    ("POST", "transit/keys/sr.sign.version.pq/config", {"exportable": True}),
    # Keys of others, and other ways to use ours.
    ("POST", "transit/datakey/plaintext/payroll", {}),
    ("POST", "transit/decrypt/payroll", {"ciphertext": "vault:v1:AAAA"}),
    ("POST", "transit/rewrap/payroll", {"ciphertext": "vault:v1:AAAA"}),
    ("POST", f"transit/datakey/wrapped/{KEK}", {"context": CONTEXT}),
    ("POST", f"transit/encrypt/{KEK}", {"plaintext": "AAAA", "context": CONTEXT}),
    ("POST", "transit/encrypt/sr.new.new", {"plaintext": "AAAA"}),
    ("POST", f"transit/hmac/{KEK}", {"input": "AAAA"}),
    ("POST", f"transit/sign/{KEK}", {"input": "AAAA"}),
    ("POST", "transit/sign/payroll", {"input": "AAAA"}),
    ("POST", "transit/verify/sr.sign.version", {"input": "AAAA"}),
    ("LIST", "transit/keys", None),
    ("GET", "transit/keys?list=true", None),
    # Engine, policies, identities, the system.
    ("POST", "transit/config/keys", {"disable_upsert": False}),
    ("GET", "transit/config/keys", None),
    ("GET", "transit/wrapping_key", None),
    ("GET", "sys/policies/acl/strongroom-server", None),
    ("POST", "sys/policies/acl/strongroom-server", {"policy": ""}),
    ("POST", "sys/policies/acl/other", {"policy": ""}),
    ("GET", "sys/mounts", None),
    ("POST", "sys/mounts/kv", {"type": "kv"}),
    ("POST", "sys/seal", {}),
    ("POST", "sys/generate-root-token/attempt", {}),
    ("GET", "sys/audit", None),
    ("POST", "auth/token/create", {}),
    ("POST", "auth/token/create-orphan", {}),
    ("GET", "auth/approle/role/strongroom-server/role-id", None),
    ("POST", "auth/approle/role/strongroom-server/secret-id", {}),
    # Other certificates.
    ("POST", "pki/issue/strongroom-client", {"uri_sans": CLIENT_ID}),
    ("POST", "pki/sign/strongroom-server", {"csr": "x"}),
    ("POST", "pki/sign-verbatim", {"csr": "x"}),
    ("POST", "pki/root/generate/exported", {"common_name": "x"}),
    ("POST", "pki/roles/strongroom-server", {}),
    ("POST", "pki/revoke", {"serial_number": "x"}),
]


@pytest.mark.parametrize(("method", "path", "body"), DENIED)
def test_the_server_may_do_nothing_else(
    server: VaultClient, method: str, path: str, body: Body
) -> None:
    status, answer = server.exchange(method, path, body)

    assert status == 403, answer


@pytest.mark.parametrize("path", ["transit/encrypt/sr.new", "transit/encrypt/new"])
def test_not_even_root_makes_a_key_by_encrypting(bao: BaoForTests, path: str) -> None:
    body = {"plaintext": "AAAA", "context": CONTEXT}

    assert bao.client().exchange("POST", path, body)[0] >= 400
    assert bao.client().read(path.replace("encrypt", "keys")) is None


def test_the_key_admin_rotates_and_retires(admin: VaultClient) -> None:
    key = "transit/keys/payroll"

    admin.write(f"{key}/rotate")
    admin.write(f"{key}/config", {"min_decryption_version": 2})
    admin.write(f"{key}/config", {"auto_rotate_period": "24h"})

    assert (admin.read(key) or {})["min_decryption_version"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"transit/keys/{KEK}/config", {"exportable": True}),
        ("POST", f"transit/keys/{KEK}/config", {"Exportable": "true"}),
        ("POST", f"transit/keys/{KEK}/config", {"allow_plaintext_backup": True}),
        ("POST", f"transit/keys/{KEK}/config", {"deletion_allowed": True}),
        ("POST", f"transit/keys/{KEK}", AES),
        ("POST", f"transit/decrypt/{KEK}", {"ciphertext": "x", "context": CONTEXT}),
        ("POST", f"transit/datakey/plaintext/{KEK}", {"context": CONTEXT}),
        ("GET", f"transit/export/encryption-key/{KEK}", None),
        ("GET", f"transit/backup/{KEK}", None),
        ("DELETE", f"transit/keys/{KEK}", None),
        ("POST", "sys/policies/acl/under-test", {"policy": ""}),
    ],
)
def test_the_key_admin_can_neither_use_nor_take_nor_destroy(
    admin: VaultClient, method: str, path: str, body: Body
) -> None:
    assert admin.exchange(method, path, body)[0] == 403


def test_the_issuer_issues_client_certificates(issuer: VaultClient) -> None:
    issuer.write("pki/issue/strongroom-client", {"uri_sans": CLIENT_ID})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "pki/issue/strongroom-server", {"uri_sans": SERVER_SPIFFE_ID}),
        ("POST", "pki/sign/strongroom-client", {"csr": "x"}),
        ("GET", "pki/roles/strongroom-client", None),
        ("POST", "transit/datakey/plaintext/sr.store", {"context": CONTEXT}),
        ("GET", "transit/keys/sr.store", None),
        ("GET", "auth/token/lookup-self", None),
    ],
)
def test_the_issuer_may_do_nothing_else(
    issuer: VaultClient, method: str, path: str, body: Body
) -> None:
    assert issuer.exchange(method, path, body)[0] == 403


@pytest.mark.parametrize(
    "body",
    [
        {"uri_sans": SERVER_SPIFFE_ID},
        {"uri_sans": "spiffe://elsewhere.example/ns/dev/sa/trainer/job/1"},
        {"uri_sans": f"spiffe://{TRUST_DOMAIN}/ns/dev"},
        {"uri_sans": f"https://{TRUST_DOMAIN}/ns/dev/sa/trainer/job/1"},
        {"uri_sans": CLIENT_ID, "common_name": "localhost"},
        {"uri_sans": CLIENT_ID, "alt_names": "localhost"},
        {"uri_sans": CLIENT_ID, "alt_names": "a@example.com"},
        {"uri_sans": CLIENT_ID, "ip_sans": "127.0.0.1"},
        {"uri_sans": CLIENT_ID, "other_sans": "1.2.3.4;utf8:x"},
    ],
)
def test_a_client_certificate_names_one_job_and_nothing_else(
    issuer: VaultClient, body: Mapping[str, object]
) -> None:
    assert issuer.exchange("POST", "pki/issue/strongroom-client", body)[0] == 400


def test_the_server_gets_a_certificate_for_its_own_names(server: VaultClient) -> None:
    names = {"alt_names": "localhost", "ip_sans": "127.0.0.1", "ttl": "24h"}

    server.write("pki/issue/strongroom-server", {"uri_sans": SERVER_SPIFFE_ID, **names})


@pytest.mark.parametrize(
    "body",
    [
        {"uri_sans": CLIENT_ID},
        {"uri_sans": f"{SERVER_SPIFFE_ID}/x"},
        {"uri_sans": SERVER_SPIFFE_ID, "alt_names": "example.com"},
        {"uri_sans": SERVER_SPIFFE_ID, "alt_names": "x.localhost"},
        {"uri_sans": SERVER_SPIFFE_ID, "common_name": "example.com"},
        {"uri_sans": SERVER_SPIFFE_ID, "ip_sans": "10.0.0.1"},
    ],
)
def test_a_server_certificate_names_the_server_and_nothing_else(
    server: VaultClient, body: Mapping[str, object]
) -> None:
    assert server.exchange("POST", "pki/issue/strongroom-server", body)[0] == 400
