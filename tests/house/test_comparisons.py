# SPDX-License-Identifier: Apache-2.0
"""What proves something is compared by the library, in a time that tells nothing.

`==` ends at the first byte that differs, so whoever may try often learns a MAC, a
commitment or a keyed id byte by byte. Digests of stored bytes are public; they may
be compared as they like.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import ROOT, python_files, shown

#: The last word of a name that holds a secret, or what only a secret makes.
SECRET: Final = frozenset(
    {"mac", "hmac", "tag", "commitment", "secret", "password", "passphrase"}
    | {"master", "dedup", "bearer", "credential", "otp", "totp"}
)
#: Functions whose results prove that their caller holds a key.
KEYED: Final = dict.fromkeys(
    ("chunk_id", "name_id", "slot_commitment", "key_id"), ("mac",)
)
COMPARED: Final = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)

#: Files in which a word means something else.
EXCEPTIONS: Final = {
    "client/strongroom/format/frames.py": "the tags of protobuf's fields",
    "client/strongroom/format/zipfiles.py": "the tags of a zip file's extra fields",
}


def sources() -> Iterator[Path]:
    """Yield the files of the product."""
    for path in python_files():
        if path.relative_to(ROOT).parts[0] in {"client", "server"}:
            yield path


def words_of(node: ast.expr) -> Iterator[str]:
    """Yield what the operands of a comparison are called; those in tuples, too."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield _last_word(name)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            # `hmac.digest(...)` is called after the module that has it.
            if isinstance(node.func, ast.Attribute) and name == "digest":
                yield from words_of(node.func.value)
            yield from KEYED.get(name, ())
        case ast.Tuple(elts=items) | ast.List(elts=items):
            for item in items:
                yield from words_of(item)
        case ast.Subscript(value=value, slice=ast.Slice()):
            yield from words_of(value)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            yield _last_word(name)
        case _:
            return


def _last_word(name: str) -> str:
    return name.lower().rpartition("_")[2]


def findings(source: str) -> list[int]:
    """Return the lines that compare a secret by themselves."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(item, COMPARED) for item in node.ops)
        and any(
            word in SECRET
            for operand in (node.left, *node.comparators)
            for word in words_of(operand)
        )
    ]


def test_no_secret_is_compared_but_by_the_library() -> None:
    found = {
        shown(path): lines
        for path in sources()
        if (lines := findings(path.read_text()))
    }

    assert {path: found[path] for path in found.keys() - EXCEPTIONS.keys()} == {}
    assert EXCEPTIONS.keys() <= found.keys()


@pytest.mark.parametrize(
    "line",
    [
        "mac == found",
        "self._tag != tag",
        "x.commitment == y",
        "body['mac'] == mac",
        "(a, secret) == (b, c)",
        "keys.chunk_id(d, 1, a) != ref",
        "hmac.digest(key, data, 'sha256') == found",
        "found[16:] == tag[:16]",
        "password in known",
    ],
)
def test_a_comparison_that_tells_its_time_is_found(line: str) -> None:
    assert findings(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "hmac.compare_digest(mac, found)",
        "digest == found",
        "len(mac) == 32",
        "stage == 'mac'",
        "key in cache",
        "secret is None",
    ],
)
def test_a_comparison_of_what_is_public_is_let_be(line: str) -> None:
    assert findings(line) == []
