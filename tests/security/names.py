# SPDX-License-Identifier: Apache-2.0
"""Names and paths that would lead elsewhere, from callers and from servers."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from strongroom.errors import Reason
from strongroom.format.names import (
    check_id,
    check_path,
    parse_artifact_name,
    parse_project_name,
    parse_ref_name,
    parse_uri,
    parse_version_name,
)
from tests.client.test_placement import put
from tests.security.attacks import Attack, Family, Try, reasons
from tests.support.world import World, memory_world

#: What no id of a project, artifact or ref may be.
IDS: Final = (
    *("", ".", "..", "/", "a/b", "../a", "a/..", "a\0", "a\n", "a ", " a", "%2e%2e"),
    *("A", "1a", "-a", "a-", "a_b", "a.b", "a" * 64, "a\u0301", "\u0430", "*", "a*"),
    *(
        "a%2fb",
        "a\\b",
        "a\u2215b",
        "\uff0e\uff0e",
        "a\u202eb",
        "a\u200bb",
        "a?b",
        "a#b",
    ),
)
#: What no path of a file in a version may be.
PATHS: Final = (
    *("", ".", "..", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "./a", "a/./b"),
    *("a//b", "a/", "a\0b", "a\nb", "a\rb", "a\tb", "a\x1b[31mb", "a\x7f", "a\\b"),
    *("..\\x", "C:\\x", "a" * 256, "/".join(["a" * 200] * 21), "a\ud800"),
)
_RESOURCES: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (parse_project_name, "projects/{}"),
    (parse_artifact_name, "projects/demo/artifacts/{}"),
    (parse_artifact_name, "projects/{}/artifacts/minilm"),
    (parse_ref_name, "projects/demo/artifacts/minilm/refs/{}"),
    (parse_version_name, "projects/demo/artifacts/{}/versions/1"),
)
_MALFORMED: Final = reasons(Reason.NAME_MALFORMED, Reason.PATH_MALFORMED)


def _ids() -> Iterator[Attack]:
    by = reasons(Reason.NAME_MALFORMED)
    yield Attack("an id that is none", by, partial(check_id, "minilm"), [
        partial(check_id, text) for text in IDS
    ])  # fmt: skip
    for parse, template in _RESOURCES:
        yield Attack(
            f"a resource named {template.format('ID')} with an id that is none",
            by,
            partial(parse, template.format("good")),
            [partial(parse, template.format(text)) for text in IDS],
        )
        yield Attack(
            f"a resource named {template.format('ID')} with more around it",
            by,
            partial(parse, template.format("good")),
            [partial(parse, text) for text in _around(template.format("good"))],
        )
    yield Attack(
        "a URI that leads out of its artifact",
        _MALFORMED,
        partial(parse_uri, "strongroom://demo/minilm@1/a/b"),
        [
            *(partial(parse_uri, f"demo/minilm@1/{path}") for path in _uri_paths()),
            *(
                partial(parse_uri, f"demo/{text}@1/a")
                for text in IDS
                if "/" not in text
            ),
            *(partial(parse_uri, f"strongroom://{text}/minilm") for text in ("..", "")),
            partial(parse_uri, "file:///etc/passwd"),
            partial(parse_uri, "https://demo/minilm"),
        ],
    )


def _around(name: str) -> Iterator[str]:
    yield from (f"/{name}", f"{name}/", f"{name}/x", f"x/{name}", name.upper())
    yield from (f"{name}\n", f"{name}\0", f" {name}", name.replace("/", "//"))
    yield name.replace("projects", "project")


def _uri_paths() -> list[str]:
    # An empty path is the whole version; one slash behind is a folder.
    return [path for path in PATHS if path not in {"", "a/"}]


def _paths(world: World) -> Iterator[Attack]:
    by = reasons(Reason.PATH_MALFORMED)
    yield Attack("a path that is none", by, partial(check_path, "a/b.txt"), [
        partial(check_path, path) for path in PATHS
    ])  # fmt: skip
    yield Attack(
        "a pushed file whose path leads elsewhere",
        by,
        lambda: world.push({"a/b": b"1"}),
        [partial(world.push, {path: b"1"}) for path in PATHS if path != "a\ud800"],
    )
    yield Attack(
        "a pushed file inside of another one",
        by,
        lambda: world.push({"a/b": b"1", "c": b"1"}),
        [partial(world.push, {"a": b"1", "a/b": b"2"})],
    )


def _pulls(folder: Path) -> Iterator[Attack]:
    """Yield what a lying server sends, and what somebody plants where it goes."""
    by = reasons(Reason.PATH_MALFORMED)
    count = iter(range(10**6))

    def pull(files: dict[str, bytes], first: Callable[[Path], object] | None) -> None:
        """Write what a lying server sends; nothing may be outside of `inside`."""
        root = folder / str(next(count))
        inside = root / "inside"
        (root / "outside").mkdir(parents=True)
        inside.mkdir()
        before = first

        def plant() -> None:
            if before is not None:
                (hidden,) = inside.glob(".out.strongroom-*")
                before(hidden)

        try:
            put(inside / "out", files, first=plant)
        finally:
            assert list((root / "outside").iterdir()) == []
            assert {path.name for path in root.iterdir()} == {"inside", "outside"}

    def link_to(target: str) -> Callable[[Path], object]:
        return lambda hidden: (hidden / "a").symlink_to(target)

    yield Attack(
        "a pulled file whose path leads out of the target",
        by,
        partial(pull, {"a/b": b"1"}, None),
        [partial(pull, {path: b"1"}, None) for path in PATHS],
    )
    yield Attack(
        "two pulled files of which one is the other one's folder",
        reasons(Reason.MANIFEST_CORRUPT),
        partial(pull, {"a/b": b"1", "c": b"1"}, None),
        [
            partial(pull, dict.fromkeys(names, b"1"), None)
            for names in (("a", "a/b"), ("a/b", "a"))
        ],
    )
    yield Attack(
        "a link planted where a pull writes",
        reasons(Reason.MANIFEST_CORRUPT, Reason.ARGUMENT_INVALID),
        partial(pull, {"a/b": b"1"}, None),
        [
            partial(pull, {path: b"1"}, link_to(target))
            for path in ("a/b", "a")
            for target in ("../../outside", "/", "/proc/self", "../../outside/new", "a")
        ],
    )


def _targets(folder: Path) -> Attack:
    """Return the attack on what stands where a pull is to write already."""
    count = iter(range(10**6))

    def pull(make: Callable[[Path], object], *, single: bool) -> None:
        root = folder / f"target-{next(count)}"
        (root / "precious").mkdir(parents=True)
        (root / "precious/file").write_bytes(b"kept")
        make(root / "out")
        try:
            put(root / "out", {"a": b"1"}, single=single)
        finally:
            assert (root / "precious/file").read_bytes() == b"kept"
            assert len(list((root / "precious").iterdir())) == 1

    occupied: list[Callable[[Path], object]] = [
        lambda out: out.symlink_to("precious"),
        lambda out: out.symlink_to("precious/file"),
        lambda out: out.symlink_to("precious/new"),
        lambda out: out.write_bytes(b"kept"),
        lambda out: (out / "x").mkdir(parents=True),
    ]
    tries: list[Try] = [
        partial(pull, make, single=single)
        for make in occupied
        for single in (False, True)
    ]
    return Attack(
        "a link or file where a pull is to appear",
        reasons(Reason.TARGET_EXISTS),
        partial(pull, lambda _: None, single=False),
        tries,
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with tempfile.TemporaryDirectory() as name, memory_world() as world:
        folder = Path(name)
        yield [*_ids(), *_paths(world), *_pulls(folder), _targets(folder)]


FAMILY: Final = Family("names and paths", _opened)
