# SPDX-License-Identifier: Apache-2.0
"""What every `CheckpointSigner` must do; run against memory and OpenBao alike."""

from collections.abc import Callable

from strongroom_server.core.signed_note import (
    LOG_ALGORITHMS,
    Checkpoint,
    open_note,
    parse_note_key,
)
from strongroom_server.ports import CheckpointSigner

ORIGIN = "strongroom/00000000/main"
TIME_S = 1_790_000_000


def checkpoint(size: int = 17) -> Checkpoint:
    return Checkpoint(ORIGIN, size, bytes([size]) * 32)


class CheckpointSignerSuite:
    """Subclasses give fixtures: `signer`, and `rotate`, which rotates its keys."""

    def test_what_it_signs_opens_with_its_keys(self, signer: CheckpointSigner) -> None:
        note = signer.sign(checkpoint(), time_s=TIME_S)

        keys = signer.keys(ORIGIN)
        assert open_note(note, keys) == checkpoint()
        assert {key.algorithm for key in keys} == set(LOG_ALGORITHMS)
        assert [parse_note_key(key.text) for key in keys] == list(keys)

    def test_after_a_rotation_old_and_new_checkpoints_open(
        self, signer: CheckpointSigner, rotate: Callable[[], None]
    ) -> None:
        old = signer.sign(checkpoint(1), time_s=TIME_S)
        count = len(signer.keys(ORIGIN))
        rotate()
        new = signer.sign(checkpoint(2), time_s=TIME_S)

        keys = signer.keys(ORIGIN)
        assert len(keys) == count + 2
        assert open_note(old, keys) == checkpoint(1)
        assert open_note(new, keys) == checkpoint(2)
