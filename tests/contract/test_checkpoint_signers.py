# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are signed alike by memory's keys and by those of a real OpenBao."""

from collections.abc import Callable, Iterator

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.adapters.vault import open_vault
from strongroom_server.core.signed_note import NoteAlgorithm, open_note
from strongroom_server.core.vault_policy import LOG_KEYS
from strongroom_server.ports import CheckpointSigner
from tests.contract.checkpoint_signer_suite import (
    ORIGIN,
    TIME_S,
    CheckpointSignerSuite,
    checkpoint,
)
from tests.contract.vault_world import vault_settings
from tests.support.stack import BaoForTests, running_bao


class TestMemoryCheckpointSigner(CheckpointSignerSuite):
    @pytest.fixture
    def signer(self) -> MemoryCheckpointSigner:
        return MemoryCheckpointSigner(entropy=SystemEntropy())

    @pytest.fixture
    def rotate(self, signer: MemoryCheckpointSigner) -> Callable[[], None]:
        return signer.rotate


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.mark.e2e
class TestVaultCheckpointSigner(CheckpointSignerSuite):
    @pytest.fixture
    def signer(self, bao: BaoForTests) -> Iterator[CheckpointSigner]:
        clock, entropy = SystemClock(), SystemEntropy()
        with open_vault(vault_settings(bao), clock=clock, entropy=entropy) as vault:
            yield vault.checkpoints

    @pytest.fixture
    def rotate(self, bao: BaoForTests) -> Callable[[], None]:
        def rotated() -> None:
            for key in LOG_KEYS:
                bao.client().write(f"transit/keys/{key}/rotate", {})

        return rotated

    def test_without_a_post_quantum_key_it_signs_with_the_other(
        self, bao: BaoForTests, signer: CheckpointSigner
    ) -> None:
        _delete(bao, LOG_KEYS[1])
        try:
            note = signer.sign(checkpoint(), time_s=TIME_S)
            keys = signer.keys(ORIGIN)
        finally:
            bao.client().write(f"transit/keys/{LOG_KEYS[1]}", {"type": "mldsa-44"})

        assert {key.algorithm for key in keys} == {NoteAlgorithm.ED25519}
        assert open_note(note, keys) == checkpoint()

    def test_without_its_key_it_does_not_sign(
        self, bao: BaoForTests, signer: CheckpointSigner
    ) -> None:
        _delete(bao, LOG_KEYS[0])
        try:
            with pytest.raises(PreconditionError) as error:
                signer.sign(checkpoint(), time_s=TIME_S)
        finally:
            bao.client().write(f"transit/keys/{LOG_KEYS[0]}", {"type": "ed25519"})

        assert error.value.reason is Reason.KEK_MISSING


def _delete(bao: BaoForTests, key: str) -> None:
    client = bao.client()
    client.write(f"transit/keys/{key}/config", {"deletion_allowed": True})
    client.exchange("DELETE", f"transit/keys/{key}")
