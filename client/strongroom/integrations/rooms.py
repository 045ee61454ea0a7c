# SPDX-License-Identifier: Apache-2.0
"""What all file systems with the same settings share in a process: one connection."""

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.format.names import NumberSelector, Uri, parse_selector
from strongroom.integrations.listing import Listings
from strongroom.integrations.patience import patiently
from strongroom.integrations.places import is_directory_error, parse_place
from strongroom.integrations.ranges import Found, run_at_once

#: Files of versions named by number never change: so many are remembered.
_MAX_FOUND: Final = 10_000
#: Which number a version has, by its text: `demo/minilm@prod`.
Pins = dict[str, int]


class Room:
    """One connection, what was looked up in it, and directories that were made."""

    def __init__(self, settings: ClientSettings, *, login: bool) -> None:
        self.client = Client(settings, login=login)
        self.listings = Listings(self.client)
        self._find_pinned: Callable[[Uri], Found] = lru_cache(_MAX_FOUND)(self._ask)

    def _ask(self, uri: Uri) -> Found:
        return patiently(self.client.find_file, str(uri))

    def find(self, name: str, pins: Pins | None = None) -> Found:
        """Return the file that a path names, and the version that it is in.

        Args:
            name: The path.
            pins: What versions were before, and are to stay; noted if new.

        Raises:
            InvalidArgumentError: It names no file (PATH_MALFORMED).
            NotFoundError: There is none.
        """
        place = parse_place(name)
        uri = place.uri
        if uri is None or not uri.path:
            raise is_directory_error(name)
        if pins and place.root in pins:
            uri = Uri(uri.artifact, str(pins[place.root]), uri.path)
        numbered = isinstance(parse_selector(uri.selector), NumberSelector)
        found = self._find_pinned(uri) if numbered else self._ask(uri)
        if pins is not None:
            pins.setdefault(place.root, found[0].number)
        return found

    def find_all(self, names: list[str]) -> Mapping[str, Found | Exception]:
        """Return the files of several paths, or why there is none.

        Those of one version are of the same one, even if its ref moves meanwhile.
        """
        answers: dict[str, Found | Exception] = {}
        pins: Pins = {}

        def look(name: str) -> None:
            answers[name] = self.find(name, pins)

        rest: list[str] = []
        for name in dict.fromkeys(names):
            # The first of each version says which number it has.
            if "/".join(name.split("/", 2)[:2]) in pins:
                rest.append(name)
            else:
                answers.update(run_at_once(look, [name]))
        answers.update(run_at_once(look, rest))
        return answers


_ROOMS: Final[dict[tuple[ClientSettings, bool], Room]] = {}
# A child of a fork makes its own: locks may be held by threads that it has not.
os.register_at_fork(after_in_child=_ROOMS.clear)


def room_of(settings: ClientSettings, *, login: bool) -> Room:
    """Return the room that these settings lead to, as this process knows it."""
    found = _ROOMS.get((settings, login))
    if found is None:
        room = Room(settings, login=login)
        found = _ROOMS.setdefault((settings, login), room)
    return found
