# SPDX-License-Identifier: Apache-2.0
"""A trainer that reads and writes through a sidecar; looked into by the test beside it.

python trainer_program.py CONFIG ARTIFACT FOLDER

It reads ARTIFACT in every way there is, writes beside it, and stops in the middle of
reading one file and writing another. Then it tells which files it opened, and waits.
"""

import json
import mmap
import os
import sys
from pathlib import Path
from typing import Any

OPENED: set[str] = set()


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Note which files are opened, by whatever code of Python's."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        OPENED.add(os.fsdecode(arguments[0]))


sys.addaudithook(note)

import strongroom  # noqa: E402 - its own files are to be noted, too


def plant(folder: Path) -> list[Any]:
    """Put what came on standard input where a search is to find it; keep it there."""
    secret = sys.stdin.readline().strip().encode()
    file = (folder / "removed").open("w+b", buffering=0)
    file.write(b"in a file " + secret)
    (folder / "removed").unlink()
    memory = os.memfd_create("planted")
    os.write(memory, b"in a memfd " + secret)
    mapped = mmap.mmap(memory, 0, prot=mmap.PROT_READ)
    return [file, mapped, bytearray(b"in memory " + secret)]


def main() -> None:
    """Read, write, and wait in the middle of both."""
    config, artifact, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    kept = plant(folder)
    with strongroom.connect(config_file=config) as client:
        version = client.show(artifact)
        for file in client.list_files(version.uri):
            kept.append(client.read_bytes(f"{version.uri}/{file.path}"))
        kept.append(client.map(f"{version.uri}/big.bin"))
        client.pull(version.uri, folder / "pulled")
        client.push(folder / "pulled", f"{artifact}-pushed")
        draft = client.draft(f"{artifact}-drafted")
        draft.put("rank-0.bin", kept[-1][: 5 * 1024 * 1024].tobytes())
        draft.put("rank-1.bin", folder / "pulled/big.bin")
        draft.commit()
        # In the middle of both: half a file read, and half a file written.
        reading = client.open(f"{version.uri}/big.bin")
        reading.read(3 * 1024 * 1024)
        unfinished = client.draft(f"{artifact}-unfinished")
        with unfinished.writer("half.bin") as writing:
            writing.write(os.urandom(6 * 1024 * 1024))
            sys.stdout.write(json.dumps({"opened": sorted(OPENED)}) + "\n")
            sys.stdout.flush()
            sys.stdin.readline()
        reading.close()


if __name__ == "__main__":
    main()
