# SPDX-License-Identifier: Apache-2.0
"""Uploads that lie about what they send; none of them leaves anything."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from strongroom.errors import Reason
from strongroom_server.core.filetable import MAX_FILE_BYTES
from strongroom_server.repository.file_receiver import MAX_BLOCK_BYTES
from strongroom_server.services.uploads import Upload
from tests.security.attacks import Attack, Family, reasons
from tests.services.test_uploads import NOTHING, digest_of, send, sha256
from tests.support.world import World, memory_world

Act = Callable[[Upload], object]

_DESCRIPTIONS: Final[tuple[dict[str, Any], ...]] = (
    {"message": "m" * 1001},
    {"metadata": {"k" * 129: ""}},
    {"metadata": {"": "v"}},
    {"metadata": {"k": "v" * 1025}},
    {"metadata": {str(number): "" for number in range(65)}},
    {"metadata": {str(number): "\0" * 1024 for number in range(64)}},
    {"request_id": "r" * 129},
)


def _in_file(*blocks: tuple[bytes, int], size: int = 2) -> Act:
    """Return the upload of a file of these blocks, each at an offset."""

    def act(begun: Upload) -> None:
        begun.start_file("a", size_bytes=size, executable=False)
        for data, offset in blocks:
            begun.write(data, offset_bytes=offset)
        begun.end_file(sha256(b"12"))

    return act


def _in_version(path: str, digest: str, count: int = 1) -> Act:
    """Return the upload of one file, and a commit that says this."""

    def act(begun: Upload) -> None:
        send(begun, path, b"12")
        begun.commit(file_count=count, digest=digest)

    return act


def _while_open(begun: Upload) -> None:
    begun.start_file("a", size_bytes=2, executable=False)
    begun.commit(file_count=0, digest=NOTHING)


def _same(path: str, size: int, data: bytes, *, executable: bool = False) -> Act:
    """Return the upload of a file that is said to be stored already."""
    return lambda begun: begun.same_file(
        path, size_bytes=size, executable=executable, digest=sha256(data)
    )


#: What they do, what refuses it, and how they do it.
_LIES: Final[tuple[tuple[str, Reason, tuple[Act, ...]], ...]] = (
    (
        "a block at an offset of its own choice",
        Reason.OFFSET_MISMATCH,
        tuple(
            _in_file((b"1", 0), (b"2", at)) for at in (-(2**63), -1, 0, 2, 2**40, 2**63)
        ),
    ),
    (
        "a block larger than any may be",
        Reason.BLOCK_TOO_LARGE,
        (
            _in_file((bytes(MAX_BLOCK_BYTES + 1), 0), size=2**40),
            _in_file((bytes(4 * MAX_BLOCK_BYTES), 0), size=2**40),
        ),
    ),
    (
        "a file of another length than it said",
        Reason.ARGUMENT_INVALID,
        (
            _in_file((b"123", 0)),
            _in_file((b"1", 0)),
            _in_file(),
            _in_file((b"1", 0), (b"23", 1)),
            *(
                _in_file((b"12", 0), size=size)
                for size in (-1, -(2**63), MAX_FILE_BYTES + 1, 2**63)
            ),
        ),
    ),
    (
        "a file of another digest than it said",
        Reason.DIGEST_MISMATCH,
        (_in_file((b"21", 0)), _in_file((b"\0\0", 0))),
    ),
    (
        "a commit of another content than was sent",
        Reason.DIGEST_MISMATCH,
        (_in_version("a", NOTHING), _in_version("b", digest_of(a=b"12"))),
    ),
    (
        "a commit of another number of files, or while a file is open",
        Reason.ARGUMENT_INVALID,
        (
            *(_in_version("a", digest_of(a=b"12"), count) for count in (-1, 0, 2)),
            _in_version("a", digest_of(a=b"12"), 2**62),
            _while_open,
        ),
    ),
    (
        "a file said to be stored already that is not",
        Reason.BASE_MISMATCH,
        (
            _same("a", 2, b"12"),
            _same("a", 3, b"12"),
            _same("a", 2, b"12", executable=True),
            _same("a", 2, b"21"),
            _same("b", 2, b"12"),
        ),
    ),
)


def _attacks(world: World) -> Iterator[Attack]:
    def upload(act: Act) -> None:
        before = world.keys("journals/")
        try:
            with world.begin() as begun:
                act(begun)
        finally:
            assert world.keys("journals/") == before, "something was committed"

    def honest() -> None:
        world.push({"a": b"12"})

    for name, by, acts in _LIES:
        yield Attack(name, reasons(by), honest, [partial(upload, act) for act in acts])
    yield Attack(
        "a description that is too long",
        reasons(Reason.ARGUMENT_INVALID),
        honest,
        [partial(world.begin, **given) for given in _DESCRIPTIONS],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with memory_world() as world:
        yield list(_attacks(world))


FAMILY: Final = Family("lying uploads", _opened)
