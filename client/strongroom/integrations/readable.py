# SPDX-License-Identifier: Apache-2.0
"""The half of the file system that reads: what is there, and bytes of it."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.config import apply_config
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from strongroom.client import Client
from strongroom.config import load_settings
from strongroom.errors import InvalidArgumentError, NotFoundError
from strongroom.format.digest import parse_digest
from strongroom.integrations.fetching import Fetching, copy_to, fetch
from strongroom.integrations.listing import Info
from strongroom.integrations.patience import patiently
from strongroom.integrations.places import PROTOCOL, strip_protocol
from strongroom.integrations.ranges import (
    MAX_GAP_BYTES,
    Wanted,
    clip,
    read_joined,
)
from strongroom.integrations.reading import CachedFile, ReadFile
from strongroom.integrations.rooms import room_of
from strongroom.values import Kind

#: What fsspec and those above it hand to every file system.
_IGNORED: Final = frozenset(
    {
        "asynchronous",
        "batch_size",
        "block_size",
        "default_block_size",
        "listings_expiry_time",
        "loop",
        "max_paths",
        "skip_instance_cache",
        "use_listings_cache",
    }
)


class _BySettings(type(AbstractFileSystem)):  # type: ignore[misc]  # fsspec has no types
    """Makes one instance for each configuration, wherever it was found from."""

    def __call__(cls, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as fsspec does
        options = apply_config(cls, options)
        source = load_settings(config_file=options.get("config_file")).source
        if source is not None:
            options["config_file"] = os.fspath(source)
        return super().__call__(*args, **options)


class ReadableFileSystem(AbstractFileSystem, metaclass=_BySettings):
    """Projects, artifacts, versions and their files, as fsspec sees them."""

    protocol = PROTOCOL
    root_marker = ""

    def __init__(
        self,
        *,
        config_file: str | os.PathLike[str] | None = None,
        login: bool = False,
        kind: Kind | str | None = None,
        message: str = "",
        **options: Any,  # noqa: ANN401 - fsspec's own
    ) -> None:
        """Say where the settings are; nothing is sent.

        Instances are pickled, logged and written into plans by those who use them,
        so that no option is a secret: settings name files, and the keys stay there.

        Args:
            config_file: A `client.toml`; the nearest one, unless given.
            login: Whether to call as the person who did `strongroom login`.
            kind: What an artifact holds that a write makes: a data set, unless given.
            message: What to say about the versions that writes make.
            options: What fsspec gives to every file system; ignored.

        Raises:
            InvalidArgumentError: An option or a setting is unknown or malformed
                (ARGUMENT_INVALID, SETTING_INVALID).
        """
        unknown = sorted(set(options) - _IGNORED)
        if unknown:
            problem = f"strongroom:// has no option {unknown[0]!r}"
            raise InvalidArgumentError(
                problem,
                hint="It has config_file, login, kind and message; secrets belong "
                "into the files that the configuration names.",
                option=unknown[0],
            )
        super().__init__(**options)
        settings = load_settings(config_file=config_file)
        self.kind = kind
        self.message = message
        self._endpoint = settings.endpoint
        self._room = room_of(settings, login=login)
        self._fetching = Fetching()

    @property
    def client(self) -> Client:
        """The client that all file systems with these settings share."""
        return self._room.client

    @property
    def fsid(self) -> str:
        """Which strongroom this is."""
        return f"{PROTOCOL}:{self._endpoint}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:  # noqa: ANN401 - one or a list, text or not
        if isinstance(path, list):
            return [cls._strip_protocol(item) for item in path]
        return strip_protocol(stringify_path(path))

    # What is there.

    def info(self, path: str, **_: object) -> Info:
        """Return name, size, type and digest of a file, or the like of a directory.

        Raises:
            NotFoundError: There is nothing.
        """
        return patiently(self._room.listings.info, path)

    def ls(self, path: str, detail: bool = True, **_: object) -> list[Any]:  # noqa: FBT001, FBT002 - as fsspec calls it
        """Return what lies in a directory, by name.

        Raises:
            NotFoundError: There is nothing.
        """
        found = patiently(self._room.listings.ls, path)
        return found if detail else [info["name"] for info in found]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        detail: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        **_: object,
    ) -> Any:  # noqa: ANN401 - of names or of dictionaries
        """Return all files below a path in one listing of one version."""
        if maxdepth is not None and maxdepth < 1:
            message = f"maxdepth is {maxdepth}, not 1 or more"
            raise InvalidArgumentError(message)
        name = self._strip_protocol(path)
        below = patiently(
            self._room.listings.find, name, depth=maxdepth, note=self._fetching.note
        )
        found = {
            item: info
            for item, info in below.items()
            if withdirs or info["type"] == "file"
        }
        if (withdirs and name) or not below:
            info = self._info_or_none(name)
            if info is not None and (withdirs or info["type"] == "file"):
                found[name] = info
        names = sorted(found)
        return {item: found[item] for item in names} if detail else names

    def _info_or_none(self, path: str) -> Info | None:
        try:
            return self.info(path)
        except (NotFoundError, InvalidArgumentError):
            return None

    def exists(self, path: str, **_: object) -> bool:
        """Tell whether something is there; raise if that cannot be told."""
        return self._info_or_none(path) is not None

    def isfile(self, path: str) -> bool:
        """Tell whether a file is there."""
        info = self._info_or_none(path)
        return info is not None and info["type"] == "file"

    def isdir(self, path: str) -> bool:
        """Tell whether a directory is there."""
        info = self._info_or_none(path)
        return info is not None and info["type"] == "directory"

    def du(
        self,
        path: str,
        total: bool = True,  # noqa: FBT001, FBT002 - as fsspec calls it
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        **_: object,
    ) -> Any:  # noqa: ANN401 - a sum, or sizes by name
        """Return the size of all files below, or the size of each."""
        found = self.find(path, maxdepth, withdirs, detail=True)
        sizes = {name: info["size"] for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    def ukey(self, path: str) -> str:
        """Return the digest of a file, or that of a version."""
        info = self.info(path)
        return str(info.get("digest") or info["name"])

    def checksum(self, path: str) -> int:
        """Return the digest of a file, or that of a version, as a number.

        Raises:
            InvalidArgumentError: The path names neither.
        """
        return int(parse_digest(self.ukey(path)), 16)

    def created(self, path: str) -> datetime:
        """Return when the version was made in which this is."""
        info = self.info(path)
        if "created" not in info:
            info = self.info("/".join(info["name"].split("/", 2)[:2]))
        created: datetime = info["created"]
        return created

    def modified(self, path: str) -> datetime:
        """Return the same: versions never change."""
        return self.created(path)

    # Bytes.

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,  # noqa: FBT001, FBT002 - as fsspec calls it
        cache_options: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 - as fsspec passes them
    ) -> Any:  # noqa: ANN401 - some file
        """Open a file of the version that the path leads to now.

        It reads ahead by itself, and checks its digest when it is read as a whole,
        unless the caller wants one of fsspec's caches.

        Raises:
            InvalidArgumentError: The mode is another than `rb`.
            NotFoundError: There is no such file.
        """
        del autocommit
        if mode != "rb":
            message = f"strongroom:// cannot open {path} with the mode {mode!r}"
            raise InvalidArgumentError(
                message, hint="Read it and write it anew.", mode=mode
            )
        found = self._room.find(path)
        cache_type = options.get("cache_type")
        if cache_type is None:
            return ReadFile(self, path, found)
        return CachedFile(
            self,
            path,
            found,
            block_size=block_size or "default",
            cache_type=cache_type,
            cache_options=cache_options,
        )

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: object
    ) -> bytes:
        """Return a range of a file, and read no more than that."""
        found = self._room.find(self._strip_protocol(path))
        with self.client.open_file(*found) as file:
            return patiently(file.read_range, *clip(start, end, file.size))

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Any,  # noqa: ANN401 - one, or one for each path
        ends: Any,  # noqa: ANN401 - one, or one for each path
        max_gap: int | None = None,
        on_error: str = "return",
        **_: object,
    ) -> list[Any]:
        """Return many ranges, near ones read as one, several at once.

        Args:
            paths: A file for each range; those of one version are of the same one.
            starts: Where each begins.
            ends: What is behind each.
            max_gap: Ranges at most so far from each other are read as one, in bytes.
            on_error: `return` gives errors in place of bytes; `raise` raises one.
        """
        count = len(paths)
        starts = starts if isinstance(starts, list) else [starts] * count
        ends = ends if isinstance(ends, list) else [ends] * count
        if not isinstance(paths, list) or not len(starts) == len(ends) == count:
            message = f"{count} paths, but {len(starts)} starts and {len(ends)} ends"
            raise InvalidArgumentError(message)
        names = [self._strip_protocol(path) for path in paths]
        found = self._room.find_all(names)
        wanted: list[Wanted] = []
        answers: dict[int, bytes | Exception] = {}
        for index, name in enumerate(names):
            match found[name]:
                case Exception() as error:
                    answers[index] = error
                case version, file:
                    span = clip(starts[index], ends[index], file.size_bytes)
                    wanted.append(Wanted(index, (version, file), *span))
        gap = MAX_GAP_BYTES if max_gap is None else max_gap
        answers |= read_joined(self.client, wanted, max_gap_bytes=gap)
        return _answered([answers[index] for index in range(count)], on_error)

    def cat(
        self,
        path: Any,  # noqa: ANN401 - one or a list
        recursive: bool = False,  # noqa: FBT001, FBT002 - as fsspec calls it
        on_error: str = "raise",
        **_: object,
    ) -> Any:  # noqa: ANN401 - bytes, or bytes by name
        """Return the content of a file, or of many by name, several at once."""
        names = self.expand_path(path, recursive=recursive)
        if not isinstance(path, list) and names == [self._strip_protocol(path)]:
            return self.cat_file(names[0])
        if recursive:
            tops = self.expand_path(path)
            names = list(dict.fromkeys(name for top in tops for name in self.find(top)))
        contents = self.cat_ranges(
            names, None, None, on_error="raise" if on_error == "raise" else "return"
        )
        return {
            name: content
            for name, content in zip(names, contents, strict=True)
            if on_error != "omit" or isinstance(content, bytes)
        }

    def get(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as fsspec passes them
        """Copy files to this machine, all of one version even if its ref moves."""
        self._fetching.found, self._fetching.pins = {}, {}
        try:
            super().get(*args, **options)
        finally:
            self._fetching.found = self._fetching.pins = None

    def get_file(
        self,
        rpath: str,
        lpath: Any,  # noqa: ANN401 - a path or a file
        callback: Any = DEFAULT_CALLBACK,  # noqa: ANN401 - of fsspec, which has no types
        outfile: Any = None,  # noqa: ANN401 - a file
        **_: object,
    ) -> None:
        """Copy a file to this machine; it appears whole and verified, or not at all."""
        outfile = lpath if outfile is None and isfilelike(lpath) else outfile
        name = self._strip_protocol(rpath)
        found = (self._fetching.found or {}).get(name)
        if found is None and outfile is None and self.isdir(name):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        if found is None:
            found = self._room.find(name, self._fetching.pins)
        with self.client.open_file(*found) as file:
            if outfile is None:
                fetch(file, Path(lpath), callback)
            else:
                copy_to(file, outfile, callback)


def _answered(
    answers: list[bytes | Exception], on_error: str
) -> list[bytes | Exception]:
    for answer in answers:
        if on_error == "raise" and isinstance(answer, Exception):
            raise answer
    return answers
