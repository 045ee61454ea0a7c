# SPDX-License-Identifier: Apache-2.0
"""Ports on 127.0.0.1: chosen once, kept, and chosen anew only if taken."""

import contextlib
import socket
import sys
import weakref
import zlib
from collections.abc import Iterable
from pathlib import Path

from strongroom.errors import Reason, UnavailableError
from strongroom_server.dev.private_files import read_record, write_record

#: The only address that a stack listens on.
HOST = "127.0.0.1"
# Below the range from which Linux picks the local ports of outgoing connections
# (32768 and up by default), so that no client takes a port of ours by chance
# while its process is down.
_FIRST_PORT = 20000
_LAST_PORT = 32767


class AddressBook:
    """The ports of one stack by name, kept in `stack.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports: dict[str, int] = {}
        #: Held until the book goes, and so until the servers listen.
        self._claims: list[socket.socket] = []
        weakref.finalize(self, _let_go, self._claims)
        if path.exists():
            ports = read_record(path).get("ports")
            if isinstance(ports, dict):
                self._ports = {name: int(port) for name, port in ports.items()}

    def port(self, name: str) -> int:
        """Give the port of that name; 0 if none was chosen yet."""
        return self._ports.get(name, 0)

    def choose(self, names: Iterable[str]) -> bool:
        """See that each name has a port that is free now; say if one is new.

        Call it only while the processes that use these ports are down.

        Raises:
            UnavailableError: No port is free.
        """
        changed = False
        for name in names:
            if not is_free(self.port(name)):
                self._ports[name] = self._choose_new()
                changed = True
        if changed:
            write_record(self._path, {"format": 1, "ports": dict(self._ports)})
        return changed

    def _choose_new(self) -> int:
        taken = set(self._ports.values())
        # Where to begin is spread by the folder's name, so that two stacks which
        # start at the same moment do not race for the same ports.
        span = _LAST_PORT - _FIRST_PORT
        begin = zlib.crc32(str(self._path).encode()) % span
        for step in range(span):
            port = _FIRST_PORT + (begin + step) % span
            if port not in taken and is_free(port) and self._claim(port):
                return port
        raise UnavailableError(
            f"no port from {_FIRST_PORT} to {_LAST_PORT} is free on {HOST}",
            reason=Reason.TRANSPORT,
            hint="End programs that listen there, then run it again.",
        )

    def _claim(self, port: int) -> bool:
        """Keep stacks that start at this moment from a port; say if none has it.

        By a name that the kernel forgets with the process; other systems have none.
        """
        if not sys.platform.startswith("linux"):
            return True
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0strongroom-dev-port-{port}")
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True


def _let_go(claims: Iterable[socket.socket]) -> None:
    for claim in claims:
        claim.close()


def is_free(port: int) -> bool:
    """Say whether a server could listen on that port of 127.0.0.1 now."""
    if port == 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As every server does: a connection of the last run that lingers in
        # TIME_WAIT does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Say whether somebody answers on that port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1.0):
        return True
    return False
