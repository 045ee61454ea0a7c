# SPDX-License-Identifier: Apache-2.0
"""The Vault policies on a real OpenBao: what is allowed works, all else is 403."""

import base64
from collections.abc import Iterator, Mapping

import pytest

from strongroom_server.core.vault_policy import key_admin_policy
from strongroom_server.dev.provisioning import SERVER_SPIFFE_ID, TRUST_DOMAIN, approle
from strongroom_server.dev.vault_client import VaultClient
from tests.support.stack import BaoForTests, running_bao
from tests.support.vault_denials import (
    AES,
    CONTEXT,
    FORBIDDEN_KEYS,
    FOREIGN,
    KEK,
    KEY_ADMIN_DENIALS,
    KEY_ADMIN_WORK,
    SERVER_DENIALS,
    Attempt,
    Body,
    token_with,
)

OTHER_CONTEXT = base64.b64encode(b"SRCTX-v1\0".ljust(48, b"y")).decode()
CLIENT_ID = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/trainer/job/17"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        # A key of somebody else, and one that the server has made.
        running.client().write(f"transit/keys/{FOREIGN}", {"type": "aes256-gcm96"})
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
    return token_with(bao.client(), key_admin_policy())


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


@pytest.mark.parametrize("attempt", FORBIDDEN_KEYS, ids=str)
def test_no_other_kind_of_key_can_be_made(
    server: VaultClient, bao: BaoForTests, attempt: Attempt
) -> None:
    status, _ = server.exchange(attempt.method, attempt.path, attempt.body)

    assert status == 403
    assert bao.client().read(attempt.path) is None


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


@pytest.mark.parametrize("attempt", SERVER_DENIALS, ids=str)
def test_the_server_is_denied(server: VaultClient, attempt: Attempt) -> None:
    status, answer = server.exchange(attempt.method, attempt.path, attempt.body)

    assert status == 403, answer


@pytest.mark.parametrize("attempt", KEY_ADMIN_DENIALS, ids=str)
def test_the_key_admin_is_denied(admin: VaultClient, attempt: Attempt) -> None:
    status, answer = admin.exchange(attempt.method, attempt.path, attempt.body)

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


def test_the_key_admin_pauses_a_key_and_lets_it_go_on(
    admin: VaultClient, server: VaultClient
) -> None:
    body = {"context": CONTEXT}
    admin.exchange("DELETE", f"transit/keys/{KEK}/soft-delete")

    paused, _ = server.exchange("POST", f"transit/datakey/plaintext/{KEK}", body)
    admin.write(f"transit/keys/{KEK}/soft-delete-restore")

    assert paused == 400
    server.write(f"transit/datakey/plaintext/{KEK}", body)


@pytest.mark.parametrize("attempt", KEY_ADMIN_WORK, ids=str)
def test_the_key_admin_may(bao: BaoForTests, attempt: Attempt) -> None:
    # With a key of its own, for some of this lasts.
    bao.client().write("transit/keys/sr.admin", AES)
    admin = token_with(bao.client(), key_admin_policy())
    path = attempt.path.replace(KEK, "sr.admin")

    status, answer = admin.exchange(attempt.method, path, attempt.body)

    assert status in {200, 204}, answer


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
