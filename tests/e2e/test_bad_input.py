# SPDX-License-Identifier: Apache-2.0
"""Input that makes no sense gets a typed error with cause and next step.

Names, sources and targets, through the command line, on a stack that is well. The
neighbours `test_bad_certificates.py`, `test_broken_parts.py`, `test_damage.py` and
`test_breaking_off.py` are about everything else that goes wrong.
"""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cli import LiveStack
from tests.support.disks import tiny_disk
from tests.support.refusals import Refusal, check_refused

pytestmark = pytest.mark.e2e

KNOWN = "bad-input/known"
BIG_BYTES = 12 * 1024 * 1024
#: Two of them fit on no disk of the tests.
DISK_BYTES = 8 * 1024 * 1024


@pytest.fixture(scope="module")
def known(stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> LiveStack:
    """The stack, with one artifact of one version."""
    tree = tmp_path_factory.mktemp("known")
    (tree / "a.txt").write_bytes(b"a\n")
    (tree / "deep").mkdir()
    (tree / "deep/big.bin").write_bytes(os.urandom(BIG_BYTES))
    stack.check("push", str(tree), KNOWN)
    return stack


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder that each refused command must leave as it is."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/ok").write_bytes(b"ok")
    yield tmp_path
    assert not list(tmp_path.glob(".*"))
    assert not (tmp_path / "out").exists()


UNKNOWN = [
    ("ARTIFACT_NOT_FOUND", "bad-input/none", "pull bad-input/none out"),
    ("ARTIFACT_NOT_FOUND", "bad-input/none", "verify bad-input/none"),
    ("ARTIFACT_NOT_FOUND", "bad-input/none", "ref move bad-input/none prod 1"),
    ("PROJECT_NOT_FOUND", "no-such", "pull no-such/art out"),
    ("VERSION_NOT_FOUND", "version 9", f"pull {KNOWN}@9 out"),
    ("VERSION_NOT_FOUND", "version 9", f"diff {KNOWN}@1 {KNOWN}@9"),
    ("VERSION_NOT_FOUND", "sha256:ffffff", f"show {KNOWN}@sha256:ffffff"),
    ("VERSION_NOT_FOUND", "2001", f"show {KNOWN}@{{2001-01-01T00:00Z}}"),
    ("REF_NOT_FOUND", "'prod'", f"pull {KNOWN}@prod out"),
    ("PATH_NOT_FOUND", "'none.txt'", f"pull {KNOWN}/none.txt out"),
    ("PATH_NOT_FOUND", "'none/'", f"pull {KNOWN}/none/ out"),
]


@pytest.mark.parametrize(("reason", "says", "command"), UNKNOWN)
def test_what_is_not_there_is_said_to_be_missing(
    known: LiveStack, here: Path, reason: str, says: str, command: str
) -> None:
    args = [at(here, word) for word in command.split()]

    check_refused(known, Refusal(10, reason, [says]), *args)


@pytest.mark.parametrize(
    ("reason", "says", "args"),
    [
        ("REF_NOT_FOUND", "'prod'", ["rollback", KNOWN, "prod"]),
        ("PATH_NOT_FOUND", "'none'", ["cat", f"{KNOWN}/none"]),
        ("PATH_NOT_FOUND", "no-tree", ["push", "no-tree", KNOWN]),
        ("PATH_NOT_FOUND", "0" * 32, ["trace", "0" * 32]),
    ],
)
def test_what_the_client_does_not_find_is_missing_too(
    known: LiveStack, reason: str, says: str, args: list[str]
) -> None:
    check_refused(known, Refusal(10, reason, [says], traced=False), *args)


MALFORMED = [
    ("NAME_MALFORMED", ["pull", "Demo/one", "out"]),
    ("NAME_MALFORMED", ["pull", "demo", "out"]),
    ("NAME_MALFORMED", ["pull", "https://demo/one", "out"]),
    ("NAME_MALFORMED", ["pull", f"{KNOWN}@", "out"]),
    ("NAME_MALFORMED", ["pull", f"{KNOWN}@a b", "out"]),
    ("NAME_MALFORMED", ["pull", f"{KNOWN}@prod~x", "out"]),
    ("NAME_MALFORMED", ["show", f"{KNOWN}@\x1b[31m"]),
    ("PATH_MALFORMED", ["pull", f"{KNOWN}/../etc/passwd", "out"]),
    ("NAME_MALFORMED", ["push", "tree", "DEMO/one"]),
    ("NAME_MALFORMED", ["push", "tree", f"{KNOWN}@3"]),
    ("NAME_MALFORMED", ["ref", "move", KNOWN, "Bad Ref", "1"]),
    ("NAME_MALFORMED", ["project", "create", "not_a_name"]),
    ("ARGUMENT_INVALID", ["push", "tree", KNOWN, "--kind", "nothing"]),
    ("ARGUMENT_INVALID", ["push", "tree", KNOWN, "--meta", "no-equals-sign"]),
    ("ARGUMENT_INVALID", ["pull", KNOWN]),
    ("ARGUMENT_INVALID", ["no-such-command"]),
    ("SETTING_INVALID", ["--endpoint", "nowhere", "ls"]),
]


@pytest.mark.parametrize(("reason", "command"), MALFORMED)
def test_what_is_malformed_is_refused_as_usage(
    known: LiveStack, here: Path, reason: str, command: list[str]
) -> None:
    args = [at(here, word) for word in command]

    check_refused(known, Refusal(2, reason, traced=False), *args)


def test_the_ref_that_moves_by_itself_is_not_moved(known: LiveStack) -> None:
    check_refused(
        known, Refusal(16, "REF_RESERVED", ["latest"]),
        "ref", "move", KNOWN, "latest", "1",
    )  # fmt: skip


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path) -> None:
    path.symlink_to("ok")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        # The path of a socket may have 107 bytes; that of a descriptor is short.
        folder = os.open(path.parent, os.O_PATH)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def make_file(path: Path) -> None:
    path.write_bytes(b"content")


SOURCES: list[tuple[str, bytes, Callable[[Path], None], str]] = [
    ("FILE_UNSUPPORTED", b"link", make_link, "symbolic link"),
    ("FILE_UNSUPPORTED", b"pipe", make_pipe, "pipe"),
    ("FILE_UNSUPPORTED", b"sock", make_socket, "socket"),
    ("PATH_MALFORMED", b"new\nline", make_file, "control characters"),
    ("PATH_MALFORMED", b"esc\x1b[2J", make_file, "control characters"),
    ("PATH_MALFORMED", b"back\\slash", make_file, "backslash"),
    ("PATH_MALFORMED", b"latin\xff", make_file, "UTF-8"),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: repr(source[1]))
def test_a_source_that_a_version_cannot_hold_is_refused_before_anything_is_sent(
    known: LiveStack,
    here: Path,
    source: tuple[str, bytes, Callable[[Path], None], str],
) -> None:
    reason, name, make, says = source
    make(here / "tree" / os.fsdecode(name))
    refusal = Refusal(2, reason, [says], traced=False)

    check_refused(known, refusal, "push", at(here, "tree"), "bad-input/source")

    assert "bad-input/source" not in known.check("ls", "bad-input").out


def test_a_device_is_no_source(known: LiveStack) -> None:
    refusal = Refusal(2, "FILE_UNSUPPORTED", ["device"], traced=False)

    check_refused(known, refusal, "push", "/dev/zero", "bad-input/source")


@pytest.mark.parametrize("uri", [KNOWN, f"{KNOWN}/a.txt"])
def test_a_target_that_exists_is_left_as_it_is(
    known: LiveStack, here: Path, uri: str
) -> None:
    refusal = Refusal(11, "TARGET_EXISTS", ["nothing is overwritten"], traced=False)

    for target in ("tree", "tree/ok"):
        check_refused(known, refusal, "pull", uri, str(here / target))

    assert (here / "tree/ok").read_bytes() == b"ok"


@pytest.mark.parametrize("target", ["tree/ok/below-a-file", "/proc/no/such", "x" * 300])
def test_a_target_that_cannot_be_is_refused(
    known: LiveStack, here: Path, target: str
) -> None:
    refusal = Refusal(2, "ARGUMENT_INVALID", ["cannot be written"], traced=False)

    check_refused(known, refusal, "pull", KNOWN, str(here / target))


@pytest.mark.parametrize("what", ["", "/deep/"])
def test_a_full_disk_keeps_nothing(known: LiveStack, tmp_path: Path, what: str) -> None:
    # Whole versions are measured before; of parts, the disk itself says it.
    with tiny_disk(tmp_path / "disk", DISK_BYTES) as disk:
        refusal = Refusal(17, "DISK_FULL", traced=False)

        check_refused(known, refusal, "pull", f"{KNOWN}{what}", str(disk / "out"))

        assert list(disk.iterdir()) == []
        known.check("pull", f"{KNOWN}/a.txt", str(disk / "out"))
        assert (disk / "out").read_bytes() == b"a\n"


def at(folder: Path, word: str) -> str:
    """Return a word of a command, with paths below the folder spelt out."""
    return str(folder / word) if word in {"out", "tree"} else word
