# SPDX-License-Identifier: Apache-2.0
"""What every `KeyDestroyer` must do; run against memory and OpenBao alike."""

import secrets

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.core.scope import Scope
from strongroom_server.ports import KeyDestroyer, KeyService
from tests.contract.key_service_suite import CONTEXT


def fresh_project_kek() -> str:
    """Return the name of a project's KEK that no other test uses."""
    return Scope(bytes(16), secrets.token_bytes(18), secrets.token_bytes(18), 0).kek


class KeyDestroyerSuite:
    """Subclasses give fixtures `keys` and `destroyer`, of the same KEKs."""

    def test_what_was_destroyed_opens_nothing_any_more(
        self, keys: KeyService, destroyer: KeyDestroyer
    ) -> None:
        kek, other = fresh_project_kek(), fresh_project_kek()
        keys.create_kek(kek)
        keys.create_kek(other)
        made = keys.generate(kek, CONTEXT)
        kept = keys.generate(other, CONTEXT)

        destroyer.allow(kek)
        assert keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext
        assert destroyer.destroy(kek) is True

        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(kek, CONTEXT, made.wrapped)
        assert caught.value.reason is Reason.KEK_MISSING
        with pytest.raises(PreconditionError) as of_state:
            keys.kek_state(kek)
        assert of_state.value.reason is Reason.KEK_MISSING
        assert keys.unwrap(other, CONTEXT, kept.wrapped) == kept.plaintext

    def test_each_step_may_be_repeated(
        self, keys: KeyService, destroyer: KeyDestroyer
    ) -> None:
        kek = fresh_project_kek()
        keys.create_kek(kek)

        destroyer.allow(kek)
        destroyer.allow(kek)
        assert destroyer.destroy(kek) is True
        assert destroyer.destroy(kek) is False

    def test_nothing_is_destroyed_that_was_not_allowed(
        self, keys: KeyService, destroyer: KeyDestroyer
    ) -> None:
        kek = fresh_project_kek()
        keys.create_kek(kek)

        with pytest.raises(PreconditionError) as caught:
            destroyer.destroy(kek)

        assert caught.value.reason is Reason.KEK_ACCESS_DENIED
        assert keys.kek_state(kek).newest == 1

    def test_a_kek_that_is_not_there_is_missing(self, destroyer: KeyDestroyer) -> None:
        with pytest.raises(PreconditionError) as caught:
            destroyer.allow(fresh_project_kek())

        assert caught.value.reason is Reason.KEK_MISSING

    @pytest.mark.parametrize(
        "name",
        ["sr.store", "sr.sign.version", "sr.log", "", "../x", "sr.a.b", "sr.store/x"],
    )
    def test_no_key_of_the_store_s_own_is_destroyed(
        self, destroyer: KeyDestroyer, name: str
    ) -> None:
        for call in (destroyer.allow, destroyer.destroy):
            with pytest.raises(PreconditionError) as caught:
                call(name)
            assert caught.value.reason is Reason.KEK_ACCESS_DENIED
