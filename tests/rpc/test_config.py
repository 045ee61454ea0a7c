# SPDX-License-Identifier: Apache-2.0
"""Settings: understood, overridden, refused with the name of what is wrong."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import InvalidArgumentError, PreconditionError, Reason
from strongroom_server.app import show_config
from strongroom_server.config import format_settings, load_settings, read_settings
from strongroom_server.opening import access_files, open_tokens
from tests.rpc.programs import write_settings
from tests.support.clock import ManualClock

DOCUMENT: dict[str, dict[str, Any]] = {
    "store": {
        "endpoint": "http://127.0.0.1:8333",
        "bucket": "strongroom",
        "credentials_file": "/run/s3.json",
    },
    "vault": {
        "address": "https://vault.internal:8200",
        "role_id_file": "/run/role-id",
        "secret_id_file": "/run/secret-id",
    },
    "identity": {
        "trust_domain": "dev.strongroom.internal",
        "spiffe_id": "spiffe://dev.strongroom.internal/strongroom/server",
        "dns_names": ["localhost"],
    },
    "listen": {"data": "127.0.0.1:1", "health": "127.0.0.1:2", "admin": "unix:/run/a"},
    "index": {"path": "/var/index"},
    "audit": {"path": "/var/audit"},
    "access": {"assignments_file": "/etc/assignments.toml"},
}


def changed(section: str, **values: object) -> dict[str, dict[str, Any]]:
    document = copy.deepcopy(DOCUMENT)
    document.setdefault(section, {}).update(values)
    return document


def signing_in(**values: object) -> dict[str, dict[str, Any]]:
    good = {"issuer": "https://login.internal/v1", "audience": "strongroom"}
    return changed("operators", **(good | values))


def test_a_file_is_understood_with_its_defaults() -> None:
    settings = load_settings(DOCUMENT, {})

    assert settings.store.bucket == "strongroom"
    assert settings.store.credentials_file == Path("/run/s3.json")
    assert settings.store.region == "us-east-1"
    assert settings.vault.ca_file is None
    assert settings.identity.dns_names == ("localhost",)
    assert settings.listen.max_calls == 64
    assert settings.telemetry.spans_file is None


def test_the_environment_overrides_the_file() -> None:
    settings = load_settings(
        DOCUMENT,
        {
            "STRONGROOM__STORE__BUCKET": "other",
            "STRONGROOM__STORE__FIPS": "true",
            "STRONGROOM__LISTEN__MAX_CALLS": "7",
            "STRONGROOM__LISTEN__STALL_S": "1.5",
            "STRONGROOM__IDENTITY__DNS_NAMES": "a, b",
            "STRONGROOM__TELEMETRY__SPANS_FILE": "/run/spans",
            "STRONGROOM_ENDPOINT": "the client's",
            "HOME": "/root",
        },
    )

    assert settings.store.bucket == "other"
    assert settings.store.fips
    assert settings.listen.max_calls == 7
    assert settings.listen.stall_s == 1.5
    assert settings.identity.dns_names == ("a", "b")
    assert settings.telemetry.spans_file == Path("/run/spans")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, 32),
        ({"max_calls": 3}, 1),
        ({"max_calls": 100}, 50),
        ({"max_calls_of_principal": 60}, 60),
    ],
)
def test_one_principal_gets_half_unless_it_is_said(
    said: dict[str, int], expected: int
) -> None:
    settings = load_settings(changed("listen", **said), {})

    assert settings.listen.max_own_calls == expected


def test_what_is_shown_is_understood_the_same() -> None:
    settings = load_settings(changed("store", prefix='a "b" \x7f ü'), {})

    assert load_settings(tomllib.loads(format_settings(settings)), {}) == settings


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (changed("cache", size=1), "[cache]"),
        (changed("store", buckett="x"), "store.buckett"),
        ({**DOCUMENT, "port": 1}, "port is not a section"),
        ({key: DOCUMENT[key] for key in DOCUMENT if key != "audit"}, "audit.path"),
        (changed("store", bucket=1), "store.bucket"),
        (changed("store", fips="yes"), "store.fips"),
        (changed("store", fips=1), "store.fips"),
        (changed("store", credentials_file=""), "store.credentials_file"),
        (changed("store", endpoint="http://s3.internal"), "store.endpoint"),
        (changed("store", endpoint="http://127.0.0.1.evil"), "store.endpoint"),
        (changed("store", endpoint="ftp://s3"), "store.endpoint"),
        (changed("store", endpoint="https://"), "store.endpoint"),
        (changed("vault", address="http://vault:8200"), "vault.address"),
        (changed("vault", address="vault:8200"), "vault.address"),
        (changed("telemetry", otlp_endpoint="http://otel:4317"), "otlp_endpoint"),
        (changed("listen", max_calls=0), "listen.max_calls"),
        (changed("listen", max_calls=1.5), "listen.max_calls"),
        (changed("listen", max_calls=True), "listen.max_calls"),
        (changed("listen", stall_s=-1), "listen.stall_s"),
        (changed("listen", stall_s="soon"), "listen.stall_s"),
        (changed("listen", stall_s="inf"), "listen.stall_s"),
        (changed("listen", data=8080), "listen.data"),
        (changed("workers", threads=0), "workers.threads"),
        (changed("identity", dns_names=[1]), "identity.dns_names"),
        (changed("identity", dns_names={"a": 1}), "identity.dns_names"),
        (changed("identity", cert_file="/run/tls.crt"), "belong together"),
        (changed("vault", key_admin_role_id_file="/run/id"), "belong together"),
        (
            changed(
                "identity",
                workload_socket="unix:///run/agent.sock",
                cert_file="/c",
                key_file="/k",
                ca_file="/a",
            ),
            "exclude each other",
        ),
        (changed("identity", pq="always"), "identity.pq"),
        (changed("identity", max_lifetime_s=-1), "identity.max_lifetime_s"),
        (changed("operators", issuer="https://login"), "audience belong together"),
        (changed("operators", audience="x"), "audience belong together"),
        (signing_in(issuer="http://127.0.0.1:1"), "operators.issuer"),
        (signing_in(issuer="login.internal"), "operators.issuer"),
        (signing_in(issuer="https://a@login"), "operators.issuer"),
        (signing_in(issuer="https://login?x=1"), "operators.issuer"),
        (signing_in(issuer="https://login#x"), "operators.issuer"),
        (signing_in(name_claim=""), "operators.name_claim"),
        (signing_in(session_s=0), "session_s"),
        (signing_in(acr_values="gold", acr="x"), "operators.acr"),
    ],
)
def test_a_bad_setting_is_refused_by_name(document: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_settings(document, {})

    assert caught.value.reason is Reason.SETTING_INVALID
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "name", ["STRONGROOM__STORE__BUCKETT", "STRONGROOM__STORE", "STRONGROOM__X__Y"]
)
def test_an_unknown_variable_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        load_settings(DOCUMENT, {name: "1"})


@pytest.mark.parametrize("content", [b"[store", b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "server.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidArgumentError, match=r"server\.toml"):
        read_settings(path)


def with_copies(*tables: dict[str, object]) -> dict[str, object]:
    return {**DOCUMENT, "copies": list(tables)}


BUCKET_COPY: dict[str, object] = {
    "name": "east",
    "endpoint": "https://s3.east.internal",
    "bucket": "strongroom",
    "credentials_file": "/run/east.json",
}


def test_copies_are_folders_or_buckets() -> None:
    settings = load_settings(
        with_copies({"name": "disk", "path": "/mnt/copy"}, BUCKET_COPY), {}
    )

    assert load_settings(DOCUMENT, {}).copies == ()
    assert [copy.name for copy in settings.copies] == ["disk", "east"]
    assert settings.copies[0].path == Path("/mnt/copy")
    assert settings.copies[1].bucket == "strongroom"
    shown = tomllib.loads(format_settings(settings))
    assert load_settings(shown, {}) == settings


@pytest.mark.parametrize(
    "table",
    [
        {"name": "x"},
        {"path": "/mnt/copy"},
        {**BUCKET_COPY, "path": "/mnt/copy"},
        {**BUCKET_COPY, "bucket": ""},
        {**BUCKET_COPY, "endpoint": "http://s3.east.internal"},
        {"name": "x", "path": "/mnt", "more": 1},
    ],
)
def test_copies_that_cannot_be_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError):
        load_settings(with_copies(table), {})


@pytest.mark.parametrize("value", [{"name": "x"}, "x", ["x"]])
def test_copies_are_a_list_of_tables(value: object) -> None:
    with pytest.raises(InvalidArgumentError):
        load_settings({**DOCUMENT, "copies": value}, {})
    with pytest.raises(InvalidArgumentError):
        load_settings(DOCUMENT, {"STRONGROOM__COPIES__PATH": "/x"})


def with_login(**vault: object) -> dict[str, dict[str, Any]]:
    document = copy.deepcopy(DOCUMENT)
    document["vault"] = {"address": "https://vault.internal:8200", **vault}
    return document


LOGINS: dict[str, dict[str, object]] = {
    "approle": {"role_id_file": "/run/a", "secret_id_file": "/run/b"},
    "jwt": {"auth_role": "strongroom", "jwt_file": "/run/a"},
    "kubernetes": {"auth_role": "strongroom", "jwt_file": "/run/a"},
    "cert": {"cert_file": "/run/a", "key_file": "/run/b"},
    "token": {"token_file": "/run/a"},
}


@pytest.mark.parametrize("auth", sorted(LOGINS))
def test_each_way_to_log_in_at_vault_needs_its_files(auth: str) -> None:
    needed = LOGINS[auth]
    settings = load_settings(with_login(auth=auth, **needed), {})

    files = {name: Path(str(path)) for name, path in needed.items() if "file" in name}
    assert settings.vault.login_files == files
    assert load_settings(tomllib.loads(format_settings(settings)), {}) == settings
    for missing in needed:
        rest = {name: value for name, value in needed.items() if name != missing}
        with pytest.raises(InvalidArgumentError) as caught:
            load_settings(with_login(auth=auth, **rest), {})
        assert caught.value.reason is Reason.SETTING_INVALID
        assert f"vault.{missing}" in caught.value.message


@pytest.mark.parametrize("auth", sorted(LOGINS))
def test_files_of_another_way_to_log_in_are_refused(auth: str) -> None:
    every = {name for needed in LOGINS.values() for name in needed if "file" in name}
    for surplus in sorted(every - set(LOGINS[auth])):
        document = with_login(auth=auth, **LOGINS[auth], **{surplus: "/run/c"})

        with pytest.raises(InvalidArgumentError) as caught:
            load_settings(document, {})
        assert f"vault.{surplus}" in caught.value.message


@pytest.mark.parametrize("auth", ["", "userpass", "JWT"])
def test_a_way_to_log_in_that_is_not_there_is_refused(auth: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        load_settings(with_login(auth=auth, **LOGINS["approle"]), {})

    assert "approle, cert, jwt, kubernetes, token" in caught.value.message


def test_people_sign_in_where_the_settings_say_and_nowhere_by_default() -> None:
    operators = load_settings(signing_in(), {}).operators

    assert operators.issuer == "https://login.internal/v1"
    assert (operators.name_claim, operators.acr_values) == ("sub", ("phr", "phrh"))
    assert load_settings(DOCUMENT, {}).operators.issuer == ""
    assert load_settings(DOCUMENT, {}).access.shipped_rules


def test_protected_refs_of_the_settings_are_a_rule(tmp_path: Path) -> None:
    assignments = tmp_path / "assignments.toml"
    assignments.write_text("")
    document = copy.deepcopy(DOCUMENT)
    document["access"] = {
        "assignments_file": str(assignments),
        "protected_refs": ["prod", "release-*"],
    }
    none = access_files(load_settings(DOCUMENT, {}))

    files = access_files(load_settings(document, {}))

    assert files.protected_refs == ("prod", "release-*")
    assert none.protected_refs == ()
    files.read()
    document["access"]["protected_refs"] = ["PROD"]
    with pytest.raises(InvalidArgumentError) as caught:
        access_files(load_settings(document, {})).read()
    assert caught.value.reason is Reason.SETTING_INVALID


def test_what_people_sign_in_with_is_opened_and_only_then(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = load_settings(signing_in(session_s=60), {})
    missing = load_settings(signing_in(ca_file=str(tmp_path / "gone")), {})

    assert open_tokens(load_settings(DOCUMENT, {}), clock) is None
    tokens = open_tokens(settings, clock)
    assert tokens is not None
    tokens.check_current()
    with pytest.raises(PreconditionError, match=r"operators\.ca_file"):
        open_tokens(missing, clock)


def test_a_check_of_the_settings_looks_at_the_providers_authorities(
    tmp_path: Path,
) -> None:
    operators = {"issuer": "https://login.internal", "audience": "strongroom"}
    show_config(write_settings(tmp_path, operators=operators))

    operators["ca_file"] = str(tmp_path / "gone")
    with pytest.raises(PreconditionError, match=r"operators\.ca_file"):
        show_config(write_settings(tmp_path, operators=operators))
