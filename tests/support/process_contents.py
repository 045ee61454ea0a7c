# SPDX-License-Identifier: Apache-2.0
"""What a process holds: its memory, its environment, and what its descriptors lead to.

Read from outside, by /proc, as somebody would who has taken over its machine.
"""

import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.searching import Place

_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+\s*(.*)", flags=re.ASCII)
#: Code as it was installed: a mapping of it is what its file is.
INSTALLED = (
    sys.prefix,
    sys.base_prefix,
    sysconfig.get_paths()["stdlib"],
    "/usr/",
    "/lib",
    "/etc/ld.so",
)
#: Of the kernel's own, or of devices.
_NOT_MEMORY = ("[v", "/dev/")
_PIECE_BYTES = 16 * 1024 * 1024
_PAGE_BYTES = 4096
_ZEROS = bytes(_PAGE_BYTES)


@dataclass(frozen=True)
class Region:
    """A mapping of a process: where, with which rights, and of what."""

    begin: int
    end: int
    mode: str
    of: str

    @property
    def is_installed(self) -> bool:
        """Whether it is a file of an installation that cannot be changed here."""
        return "w" not in self.mode and self.of.startswith(INSTALLED)


def regions(pid: int) -> Iterator[Region]:
    """Yield all of a process's mappings."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = _LINE.match(line)
        assert found is not None, line
        begin, end, mode, of = found.groups()
        yield Region(int(begin, 16), int(end, 16), mode, of)


def memory_of(pid: int) -> bytes:
    """Return all that a process can read and that is not installed code.

    Shared memory too, and what is only read: keys could be anywhere. Pages that hold
    nothing but zeros are left out.
    """
    found: list[bytes] = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for region in regions(pid):
            of_kernel = region.of.startswith(_NOT_MEMORY) and "shm" not in region.of
            if "r" not in region.mode or of_kernel or region.is_installed:
                continue
            position = region.begin
            while position < region.end:
                size = min(_PIECE_BYTES, region.end - position)
                try:
                    memory.seek(position)
                    data = memory.read(size)
                except (OSError, ValueError, OverflowError):
                    data = b""  # reserved, and nothing is there
                found.extend(_pages(data))
                position += len(data) or size
    return b"".join(found)


def _pages(data: bytes) -> Iterator[bytes]:
    for begin in range(0, len(data), _PAGE_BYTES):
        page = data[begin : begin + _PAGE_BYTES]
        if page != _ZEROS:
            yield page


def descriptors_of(pid: int) -> Iterator[tuple[str, Path]]:
    """Yield what each open descriptor is, and the way to it."""
    for path in sorted(Path(f"/proc/{pid}/fd").iterdir()):
        try:
            yield str(path.readlink()), path
        except FileNotFoundError:
            continue  # closed since


def places_of(pid: int) -> Iterator[Place]:
    """Yield arguments, environment, memory, and the content of open descriptors."""
    for kind in ("cmdline", "environ"):
        yield f"its {kind}", Path(f"/proc/{pid}/{kind}").read_bytes()
    for name, path in descriptors_of(pid):
        if name.startswith(("/", "memfd:")) and path.is_file():
            yield f"its descriptor of {name}", path.read_bytes()
    yield "its memory", memory_of(pid)
