# SPDX-License-Identifier: Apache-2.0
"""Where a pull writes: a hidden sibling first, the target's name last.

The target appears whole, after every check, by one rename. Whatever goes wrong
before that, nothing of the pull is left, unless it was asked to be kept.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from strongroom._files.failures import reading, shown, writing
from strongroom._files.folder import Folder
from strongroom._files.small_files import SmallFiles
from strongroom._files.staging import Staging, open_staging
from strongroom.errors import (
    AlreadyExistsError,
    ExhaustedError,
    IntegrityError,
    Reason,
)
from strongroom.format.names import check_path

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_APPEND: Final = os.O_WRONLY | os.O_APPEND
#: A pipe must not block us before we see that it is one.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK
_BLOCK_BYTES: Final = 1 << 20
#: Where the one file of a single pull waits for its name.
_SINGLE: Final = "content"
#: What a file system answers that has no hard links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})
#: What a rename answers if somebody made the target meanwhile.
_OCCUPIED: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
#: What opening a new file answers if an earlier path of the version is in its way.
_COLLISION: Final = frozenset({errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.EISDIR})


class StagedFile:
    """One file being written; nobody else sees it yet."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`.

        Raises:
            ExhaustedError: The disk is full (DISK_FULL).
            InvalidArgumentError: It cannot be written (ARGUMENT_INVALID).
        """
        with writing(self._path), memoryview(data) as view:
            written = 0
            while written < len(view):
                written += os.write(self._descriptor, view[written:])


class Placement:
    """Files that become visible together, when `finish` is called."""

    def __init__(self, target: Path, staging: Staging, *, single: bool) -> None:
        self._target = target
        #: The hidden sibling.
        self.staging = staging
        self._single = single
        self._folder = Folder(staging.path)
        self._small = SmallFiles(lambda: Folder(staging.path), self._write_small)

    def close(self) -> None:
        """Let go of the hidden sibling."""
        self._small.close(keep=self.staging.kept)
        self._folder.close()

    def put(self, path: str, *, executable: bool, content: bytes) -> None:
        """Make a small file, at once or later; `flush` waits for it.

        Args:
            path: As of `file`.
            executable: As of `file`.
            content: All of it; at most SMALL_BYTES.

        Raises:
            StrongroomError: As `file`, of this file or of one before it.
        """
        check_path(path)
        self._small.put(path, executable=executable, content=content)

    def flush(self) -> None:
        """Wait until all small files are written; errors as `put`."""
        self._small.flush()

    def left(self, path: str, *, executable: bool) -> Iterator[bytes] | None:
        """Return what an earlier pull left of a file, block by block; None if nothing.

        Raises:
            InvalidArgumentError: The path would escape (PATH_MALFORMED), or the file
                cannot be read (ARGUMENT_INVALID).
        """
        check_path(path)
        if not self.staging.resumed:
            return None
        try:
            descriptor = self._folder.open(self._name(path), _READ)
        except OSError:
            return None
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or bool(mode & stat.S_IXUSR) != executable:
            os.close(descriptor)
            return None
        return _blocks(descriptor, path)

    def discard(self, path: str) -> None:
        """Remove what an earlier pull left of a file, if anything.

        Raises:
            IntegrityError: What lies there is no file (MANIFEST_CORRUPT).
        """
        check_path(path)
        if not self.staging.resumed:
            return
        try:
            self._folder.remove(self._name(path))
        except OSError as error:
            message = f"something else than the file lies at {shown(path)}"
            raise IntegrityError(
                message, reason=Reason.MANIFEST_CORRUPT, path=shown(path)
            ) from error

    @contextmanager
    def file(
        self, path: str, *, executable: bool, append: bool = False
    ) -> Iterator[StagedFile]:
        """Make one file, to be written inside the block; or go on with one.

        Args:
            path: Relative, as the server names it; checked again here. A single
                target is written whatever its path was.
            executable: Whether who may read it may execute it, too.
            append: Whether to write behind what an earlier pull left.

        Raises:
            InvalidArgumentError: The path would escape (PATH_MALFORMED).
            IntegrityError: An earlier file is in its way (MANIFEST_CORRUPT).
            ExhaustedError: The disk is full (DISK_FULL).
        """
        check_path(path)
        with self._open(self._folder, path, executable, append=append) as file:
            yield file

    def finish(self) -> None:
        """Give the target its name.

        Raises:
            AlreadyExistsError: Somebody made it meanwhile (TARGET_EXISTS).
        """
        with writing(self._target):
            try:
                if self._single:
                    _link_new(self.staging.path / _SINGLE, self._target)
                    self.staging.kept = False
                else:
                    # The sibling was private; the target is what mkdir makes.
                    self.staging.path.chmod(0o777 & ~_umask())
                    # Only onto nothing or an empty directory: rename(2) sees to it.
                    self.staging.path.rename(self._target)
            except OSError as error:
                if error.errno in _OCCUPIED:
                    raise _exists(self._target) from error
                raise

    def _write_small(
        self,
        folder: Folder,
        path: str,
        executable: bool,  # noqa: FBT001 - as `SmallFiles` has them
        content: bytes,
    ) -> None:
        with self._open(folder, path, executable, append=False) as file:
            file.write(content)

    @contextmanager
    def _open(
        self,
        folder: Folder,
        path: str,
        executable: bool,  # noqa: FBT001 - of one file
        *,
        append: bool,
    ) -> Iterator[StagedFile]:
        with writing(path):
            try:
                descriptor = folder.open(
                    self._name(path),
                    _APPEND if append else _CREATE,
                    0o777 if executable else 0o666,
                )
            except OSError as error:
                if error.errno not in _COLLISION:
                    raise
                message = f"{shown(path)} and another path of the version meet"
                raise IntegrityError(
                    message, reason=Reason.MANIFEST_CORRUPT, path=shown(path)
                ) from error
        try:
            yield StagedFile(descriptor, path)
        finally:
            os.close(descriptor)

    def _name(self, path: str) -> str:
        return _SINGLE if self._single else path


@contextmanager
def place(
    target: str | os.PathLike[str],
    *,
    single: bool,
    size_bytes: int = 0,
    content: str = "",
) -> Iterator[Placement]:
    """Prepare a place; leaving it before `finish` removes everything.

    What is to outlive a failure is said by `Placement.staging.kept`.

    Args:
        target: What appears at the end: it must not exist, or be an empty directory
            unless `single`. Missing parents are made.
        single: Whether the target is one file, not a directory.
        size_bytes: How much will be written, as far as known.
        content: What will be written: what an earlier call with the same text left
            is there again.

    Raises:
        AlreadyExistsError: The target exists (TARGET_EXISTS).
        ExhaustedError: The disk has not `size_bytes` free (DISK_FULL).
        InvalidArgumentError: Nothing can be written there (ARGUMENT_INVALID).
    """
    path = Path(target)
    if path.name in {"", ".."}:
        path = path.resolve()
    full = path.parent.resolve() / path.name
    check_target(full, single=single)
    with ExitStack() as stack:
        with writing(full.parent):
            stack.enter_context(_made_parents(full.parent))
            staging = open_staging(full, content, stack)
            stack.callback(staging.remove)
            _check_room(full.parent, size_bytes - staging.left_bytes)
            placement = Placement(full, staging, single=single)
            stack.callback(placement.close)
        yield placement


def check_target(target: Path, *, single: bool) -> None:
    """Check that a pull may put something at `target`.

    Raises:
        AlreadyExistsError: Something is there, other than an empty directory that
            is not the working directory (TARGET_EXISTS).
    """
    with writing(target):
        if not os.path.lexists(target):
            return
        empty = (
            not single
            and target.is_dir()
            and not target.is_symlink()
            # Renamed over, it would no longer be where the shell stands.
            and not target.samefile(Path.cwd())
            and next(target.iterdir(), None) is None
        )
    if not empty:
        raise _exists(target)


def _exists(target: Path) -> AlreadyExistsError:
    message = f"{shown(target)} exists, and nothing is overwritten"
    return AlreadyExistsError(
        message,
        reason=Reason.TARGET_EXISTS,
        hint="Name a target that does not exist, or remove it first.",
        path=shown(target),
    )


@contextmanager
def _made_parents(folder: Path) -> Iterator[None]:
    """Make missing parents, and remove those that were not needed in the end."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir()
            made.append(path)
        yield
    finally:
        for path in reversed(made):
            try:
                path.rmdir()
            except OSError:
                break  # it holds the target now, or what others put there


def _check_room(folder: Path, size_bytes: int) -> None:
    status = os.statvfs(folder)
    free_bytes = status.f_bavail * status.f_frsize
    if size_bytes > free_bytes:
        message = (
            f"{shown(folder)} has {free_bytes} bytes free; {size_bytes} are needed"
        )
        raise ExhaustedError(
            message,
            reason=Reason.DISK_FULL,
            hint="Free space, or choose another disk.",
            free_bytes=free_bytes,
            size_bytes=size_bytes,
        )


def _blocks(descriptor: int, path: str) -> Iterator[bytes]:
    try:
        while True:
            with reading(path):
                block = os.read(descriptor, _BLOCK_BYTES)
            if not block:
                return
            yield block
    finally:
        os.close(descriptor)


def _link_new(staged: Path, target: Path) -> None:
    """Give a file its name without ever replacing another."""
    try:
        os.link(staged, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here: claim the name first, then fill it.
        os.close(os.open(target, _CREATE))
        staged.rename(target)


def _umask() -> int:
    # The mask can only be read by setting it; /proc tells without a race.
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
