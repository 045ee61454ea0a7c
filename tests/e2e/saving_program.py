# SPDX-License-Identifier: Apache-2.0
"""One rank of a job that saves; started, and killed, by the tests beside it.

python saving_program.py CONFIG ARTIFACT STEP RANK RANKS DRAFT
python saving_program.py CONFIG ARTIFACT STEP push

Each rank puts its file into the draft. Rank 0 commits once it was told, by a line on
its standard input for each, that the others have theirs in. `push` saves by itself.
"""

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Final

import strongroom

FILE_BYTES: Final = 12 * 1024 * 1024


def content(step: int, rank: int) -> bytes:
    """Return what a rank saves at a step; a third of it never changes."""
    constant = hashlib.shake_256(b"constant %d" % rank).digest(FILE_BYTES // 3)
    changing = f"{step} {rank}".encode()
    return constant + hashlib.shake_256(changing).digest(FILE_BYTES * 2 // 3)


def file_of(rank: int) -> str:
    return f"rank-{rank}.bin"


def save_alone(client: strongroom.Client, artifact: str, step: int) -> None:
    """Save a checkpoint of two files by one push."""
    with tempfile.TemporaryDirectory() as folder:
        for rank in range(2):
            (Path(folder) / file_of(rank)).write_bytes(content(step, rank))
        metadata = {"step": str(step)}
        client.push(folder, artifact, kind="CHECKPOINT", metadata=metadata)


def main() -> None:
    """Save, and say so by ending well."""
    config, artifact, step, *role = sys.argv[1:]
    with strongroom.connect(config_file=config) as client:
        if role == ["push"]:
            save_alone(client, artifact, int(step))
            return
        rank, ranks = int(role[0]), int(role[1])
        metadata = {"step": step}
        draft = client.draft(
            artifact, kind="CHECKPOINT", metadata=metadata, draft_id=role[2]
        )
        draft.put(file_of(rank), content(int(step), rank))
        if rank == 0:
            for _ in range(1, ranks):
                if sys.stdin.readline() != "put\n":
                    sys.exit("a rank is gone")
            draft.commit(expected_file_count=ranks)


if __name__ == "__main__":
    main()
