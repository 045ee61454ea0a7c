# SPDX-License-Identifier: Apache-2.0
"""Every way to log in, at a real OpenBao: works, is taken up anew, is refused."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason
from tests.contract.login_proofs import World, opened, proof_of, running_world, works
from tests.contract.vault_world import ShiftedClock, requests_to, token_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("logins")) as running:
        yield running


METHODS = pytest.mark.parametrize(
    "method", ["approle", "jwt", "kubernetes", "cert", "token"]
)


@METHODS
def test_the_server_logs_in_and_works(
    world: World, tmp_path: Path, method: str
) -> None:
    with opened(world, proof_of(method, world, tmp_path).login) as vault:
        works(vault)


@METHODS
def test_after_a_revoked_token_the_newest_files_count(
    world: World, tmp_path: Path, method: str
) -> None:
    proof = proof_of(method, world, tmp_path)
    with opened(world, proof.login) as vault:
        works(vault)
        before = token_of(vault)
        world.bao.client().write("auth/token/revoke", {"token": before})
        # The old files would not do any more.
        proof.spoil()
        proof.renew()

        works(vault)

        assert token_of(vault) != before


@METHODS
def test_a_refused_login_is_told_and_good_files_are_taken_up(
    world: World, tmp_path: Path, method: str
) -> None:
    proof = proof_of(method, world, tmp_path)
    proof.spoil()
    with opened(world, proof.login) as vault:
        with pytest.raises(PreconditionError) as caught:
            works(vault)
        assert caught.value.reason is Reason.KEK_ACCESS_DENIED
        assert "refused the server's" in caught.value.message

        proof.renew()

        works(vault)


@METHODS
def test_past_half_of_its_life_a_token_is_renewed_or_replaced(
    world: World, tmp_path: Path, method: str
) -> None:
    proof, clock = proof_of(method, world, tmp_path), ShiftedClock()
    with opened(world, proof.login, clock) as vault:
        works(vault)
        before = token_of(vault)
        renewals = requests_to(world.bao, "auth/token/renew-self")

        clock.ahead_s += 460.0
        works(vault)

        renewed = requests_to(world.bao, "auth/token/renew-self") - renewals
        assert renewed == (0 if method == "cert" else 1)
        assert (token_of(vault) == before) == (method != "cert")


@METHODS
def test_a_token_that_works_outlives_files_that_do_not(
    world: World, tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    proof, clock = proof_of(method, world, tmp_path), ShiftedClock()
    login = proof.login
    with opened(world, login, clock) as vault:
        works(vault)
        before = token_of(vault)
        # Not renewable, so that the files are asked for.
        vault._client._token = replace(vault._client._token, renewable=False)
        proof.spoil()

        clock.ahead_s += 460.0
        works(vault)
        assert token_of(vault) == before
        logged = [r for r in caplog.records if "not_renewed" in r.message]
        assert [r.levelno for r in logged] == [logging.WARNING]

        clock.ahead_s += 400.0
        with pytest.raises(PreconditionError) as caught:
            works(vault)
        assert caught.value.reason is Reason.KEK_ACCESS_DENIED

        proof.renew()
        works(vault)
