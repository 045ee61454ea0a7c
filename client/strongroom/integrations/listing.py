# SPDX-License-Identifier: Apache-2.0
"""What lies where, as dictionaries that fsspec knows; knows no fsspec.

Versions have files and no directories, so a directory is what files lie below. One
that somebody made, and that holds nothing yet, is remembered by this process alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

from strongroom.client import Client
from strongroom.errors import InvalidArgumentError, NotFoundError, Reason
from strongroom.format.names import LATEST, Uri, VersionName, check_path
from strongroom.integrations.places import Place, parse_place
from strongroom.values import File, Version

Info = dict[str, Any]
#: Is told the path, the version and the file.
Note = Callable[[str, Version, File], None]
#: More directories without files than this, and the oldest are forgotten.
_MAX_MADE: Final = 10_000


class Listings:
    """Looks things up for a file system."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: OrderedDict[str, None] = OrderedDict()

    # Directories that were made.

    def make(self, name: str) -> None:
        """Remember a directory."""
        self._made[name] = None
        if len(self._made) > _MAX_MADE:
            self._made.popitem(last=False)

    def forget(self, name: str) -> bool:
        """Forget a directory and those below; return whether there were any."""
        found = list(self._made_below(name))
        for item in found:
            self._made.pop(item, None)
        return bool(found)

    def is_made(self, name: str) -> bool:
        """Tell whether a directory, or one below it, was made."""
        return next(self._made_below(name), None) is not None

    def _made_below(self, name: str) -> Iterator[str]:
        below = f"{name}/" if name else ""
        # A copy, for other threads make directories, too.
        for made in tuple(self._made):
            if made == name or made.startswith(below):
                yield made

    # What is there.

    def info(self, name: str) -> Info:
        """Return what a path leads to.

        Raises:
            NotFoundError: There is nothing.
        """
        place = parse_place(name)
        try:
            return self._info(place)
        except NotFoundError:
            if self.is_made(place.name):
                return directory_info(place.name)
            raise

    def _info(self, place: Place) -> Info:
        if place.uri is None:
            if place.root:
                next(self._client.list_artifacts(place.root), None)
            return directory_info(place.root)
        if not place.path:
            version = self._version_of(place.uri)
            return directory_info(place.root, version)
        try:
            version, file = self._client.find_file(str(place.uri))
        except NotFoundError as error:
            if error.reason is not Reason.PATH_NOT_FOUND:
                raise
            if not self.has_files(place.name):
                raise
            return directory_info(place.name)
        return file_info(place, version, file)

    def _version_of(self, uri: Uri) -> Version | None:
        """Return the version; None if the artifact has none."""
        try:
            return self._client.show(str(Uri(uri.artifact, uri.selector)))
        except NotFoundError as error:
            if error.reason is not Reason.VERSION_NOT_FOUND or uri.selector != LATEST:
                raise
        self._client.artifact(uri.artifact.short)
        return None

    def has_files(self, name: str) -> bool:
        """Tell whether any file lies below a directory of a version."""
        uri = parse_place(name).uri
        if uri is None:
            return False
        try:
            below = self._client.list_files(f"{uri}/", page_size=1)
            return next(below, None) is not None
        except NotFoundError:
            return False

    def ls(self, name: str) -> list[Info]:
        """Return what lies in a directory, by name; or the file that a path names.

        Raises:
            NotFoundError: There is nothing.
        """
        place = parse_place(name)
        below = self._found_below(place, depth=1)
        if not below:
            info = self.info(name)
            return [info] if info["type"] == "file" else []
        return [below[found] for found in sorted(below)]

    def find(
        self, name: str, *, depth: int | None = None, note: Note | None = None
    ) -> dict[str, Info]:
        """Return files and directories below a path, by name; not the path itself.

        Args:
            name: Where to look.
            depth: How many levels down; all of them, unless given.
            note: Called for each file.
        """
        return self._found_below(parse_place(name), depth, note)

    def _found_below(
        self, place: Place, depth: int | None, note: Note | None = None
    ) -> dict[str, Info]:
        found: dict[str, Info] = {}
        try:
            if place.uri is None:
                found.update(self._above_versions(place, depth))
            else:
                self._in_version(place, place.uri, depth, found, note)
        except NotFoundError:
            pass  # nothing is stored there; but it may have been made
        start = len(place.name) + 1 if place.name else 0
        for made in self._made_below(place.name):
            for directory in _directories(made, start, depth, whole=True):
                found.setdefault(directory, directory_info(directory))
        return found

    def _above_versions(
        self, place: Place, depth: int | None
    ) -> Iterator[tuple[str, Info]]:
        if place.root:
            names = (item.name for item in self._client.list_artifacts(place.root))
        else:
            names = (item.name for item in self._client.list_projects())
        deeper = None if depth is None else depth - 1
        for name in names:
            yield name, directory_info(name)
            if deeper != 0:
                yield from self._found_below(parse_place(name), deeper).items()

    def _in_version(
        self,
        place: Place,
        uri: Uri,
        depth: int | None,
        found: dict[str, Info],
        note: Note | None,
    ) -> None:
        version = self._version_of(uri)
        if version is None:
            return
        prefix = f"{uri.path}/" if uri.path else ""
        pinned = Uri(uri.artifact, str(version.number))
        start = len(place.name) + 1
        for file in self._client.list_files(f"{pinned}/{prefix}"):
            check_path(file.path)
            if not file.path.startswith(prefix):
                continue
            name = place.below(file.path)
            for directory in _directories(name, start, depth, whole=False):
                found.setdefault(directory, directory_info(directory))
            if depth is None or name.count("/", start) < depth:
                found[name] = file_info(place, version, file)
                if note is not None:
                    note(name, version, file)


def file_info(place: Place, version: Version, file: File) -> Info:
    """Return what fsspec and those above it want to know about a file."""
    return {
        "name": place.below(file.path),
        "size": file.size_bytes,
        "type": "file",
        "digest": file.digest,
        # By this Hugging Face's libraries tell whether a file has changed.
        "ETag": file.digest,
        "executable": file.executable,
        "version": version.number,
        "created": version.create_time,
        "mtime": version.create_time.timestamp(),
    }


def directory_info(name: str, version: Version | None = None) -> Info:
    """Return the same about a directory; with its version, about its digest, too."""
    info: Info = {"name": name, "size": 0, "type": "directory"}
    if version is not None:
        info |= {
            "digest": version.digest,
            "version": version.number,
            "created": version.create_time,
            "mtime": version.create_time.timestamp(),
        }
    return info


def pinned_uri(name: str, info: Info) -> str:
    """Return the URI of a file in the very version in which it was found."""
    place = parse_place(name)
    if place.uri is None:
        message = f"{name!r} names no file of an artifact"
        raise InvalidArgumentError(message, name=name)
    version = VersionName(place.uri.artifact, str(info["version"]))
    return f"strongroom://{version.short}/{place.path}"


def _directories(
    name: str, start: int, depth: int | None, *, whole: bool
) -> Iterator[str]:
    """Yield the directories of a path, from `start` on, at most `depth` levels down."""
    if len(name) < start:
        return
    end = name.find("/", start)
    level = 1
    while end >= 0 and (depth is None or level <= depth):
        yield name[:end]
        end = name.find("/", end + 1)
        level += 1
    if whole and len(name) > start and (depth is None or level <= depth):
        yield name
