# SPDX-License-Identifier: Apache-2.0
"""What is particular to one way to log in, at a real OpenBao."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.vault import CertLogin, JwtLogin, TokenFileLogin
from tests.contract.login_proofs import (
    SPIFFE_ID,
    World,
    new_token,
    opened,
    proof_of,
    running_world,
    works,
)
from tests.contract.login_world import AUDIENCE, ROLE
from tests.contract.vault_world import ShiftedClock, requests_to, token_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("logins")) as running:
        yield running


def test_what_a_policy_denies_costs_one_login_and_not_one_each(
    world: World, tmp_path: Path
) -> None:
    proof = proof_of("jwt", world, tmp_path)
    denied = "sr.sign.version"
    with opened(world, proof.login) as vault:
        works(vault)
        logins = requests_to(world.bao, proof.path)

        for _ in range(5):
            with pytest.raises(PreconditionError) as caught:
                vault._client.request("POST", "transit", "export", name=denied)
            assert caught.value.reason is Reason.KEK_ACCESS_DENIED
            works(vault)

    assert requests_to(world.bao, proof.path) == logins + 1


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_700_000_000, "iat": 1_699_999_000, "nbf": 1_699_999_000},
        {"nbf": 4_000_000_000, "exp": 4_000_000_600},
        {"aud": ["somebody-else"]},
        {"sub": "system:serviceaccount:ml:trainer"},
        {"iss": "https://elsewhere.example"},
    ],
)
def test_a_jwt_that_says_something_else_is_refused(
    world: World, tmp_path: Path, claims: dict[str, object]
) -> None:
    file = tmp_path / "jwt"
    file.write_text(world.issuer.sign(**claims))

    with (
        opened(world, JwtLogin(ROLE, file)) as vault,
        pytest.raises(PreconditionError) as caught,
    ):
        works(vault)

    assert caught.value.reason is Reason.KEK_ACCESS_DENIED
    assert str(file) in caught.value.hint
    assert "clock" in caught.value.hint


def test_vault_asks_the_cluster_about_the_audience_of_the_role(
    world: World, tmp_path: Path
) -> None:
    proof = proof_of("kubernetes", world, tmp_path)

    with opened(world, proof.login) as vault:
        works(vault)

    path, caller, spec = world.cluster.reviews[-1]
    assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert caller == "Bearer the-reviewer"
    assert spec["token"] == (tmp_path / "token").read_text()
    assert spec["audiences"] == [AUDIENCE]


@pytest.mark.parametrize(
    "uri", ["spiffe://example.org/ns/ml/sa/trainer/job/1", "https://example.org/"]
)
def test_a_certificate_of_another_uri_is_refused(
    world: World, tmp_path: Path, uri: str
) -> None:
    proof = proof_of("cert", world, tmp_path)
    world.authority.issue(tmp_path / "tls.crt", tmp_path / "tls.key", uri)

    with opened(world, proof.login) as vault, pytest.raises(PreconditionError) as error:
        works(vault)

    assert error.value.reason is Reason.KEK_ACCESS_DENIED


def test_a_certificate_that_has_ended_is_refused(world: World, tmp_path: Path) -> None:
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    world.authority.issue(*files, SPIFFE_ID, life=timedelta(seconds=-1))

    with (
        opened(world, CertLogin(*files, role=ROLE)) as vault,
        pytest.raises(PreconditionError) as error,
    ):
        works(vault)

    assert error.value.reason is Reason.KEK_ACCESS_DENIED


def test_each_login_shows_the_certificate_of_that_moment(
    world: World, tmp_path: Path
) -> None:
    proof, clock = proof_of("cert", world, tmp_path), ShiftedClock()
    with opened(world, proof.login, clock) as vault:
        works(vault)
        files = tmp_path / "tls.crt", tmp_path / "tls.key"
        serial = world.authority.issue(*files, SPIFFE_ID)

        clock.ahead_s += 460.0
        works(vault)

        body = {"token": token_of(vault)}
        data = world.bao.client().write_for_data("auth/token/lookup", body)
    meta = data["meta"]
    assert isinstance(meta, dict)
    assert meta["serial_number"] == serial


@pytest.mark.parametrize("broken", ["missing", "mismatch", "encrypted", "garbage"])
def test_a_certificate_that_does_not_go_with_its_key_is_told(
    world: World, tmp_path: Path, broken: str
) -> None:
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    password = b"secret" if broken == "encrypted" else b""
    world.authority.issue(*files, SPIFFE_ID, password=password)
    if broken == "missing":
        files[1].unlink()
    if broken == "garbage":
        files[0].write_text("no certificate")
    if broken == "mismatch":
        world.authority.issue(files[0], tmp_path / "other.key", SPIFFE_ID)

    with (
        opened(world, CertLogin(*files)) as vault,
        pytest.raises(PreconditionError) as caught,
    ):
        works(vault)

    assert caught.value.reason is Reason.SETTING_INVALID
    assert "tls.crt" in caught.value.message


def test_a_root_token_is_no_login_for_a_server(world: World, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(world.bao.root_token)

    with (
        opened(world, TokenFileLogin(file)) as vault,
        pytest.raises(PreconditionError) as caught,
    ):
        works(vault)

    assert caught.value.reason is Reason.SETTING_INVALID
    assert "root token" in caught.value.message
    assert world.bao.root_token not in str(caught.value)


def test_a_token_file_that_an_agent_replaces_is_read_when_the_old_token_ends(
    world: World, tmp_path: Path
) -> None:
    file, clock = tmp_path / "token", ShiftedClock()
    body = {"policies": ["strongroom-server"], "no_default_policy": True}
    file.write_text(new_token(world, **body, ttl="60s", explicit_max_ttl="60s"))
    with opened(world, TokenFileLogin(file), clock) as vault:
        works(vault)
        replacement = new_token(world, **body, ttl="15m")
        file.write_text(replacement)

        clock.ahead_s += 58.0
        works(vault)

        assert token_of(vault) == replacement
