# SPDX-License-Identifier: Apache-2.0
"""Vectors for what client and server both compute: names, digests, cuts, JSON."""

import base64
import hashlib
from typing import Any, Final

from strongroom.format.chunking import tensor_ends
from strongroom.format.digest import VersionDigester, path_order
from strongroom.format.safetensors import parse_header_size, parse_tensors
from strongroom_server.core import canonical
from tests.support.weights import safetensors_header

Case = dict[str, Any]
LONG_ID: Final = "a" * 63
LONG_PATH: Final = "/".join(["p" * 255] * 16)


def names() -> list[Case]:
    """Return cases of names, selectors, URIs and paths."""
    return [
        *[_good(*case) for case in _GOOD],
        *[_bad(kind, text, reason) for kind, text, reason in _BAD],
        *[_bad("path", text, reason, "PATH_MALFORMED") for text, reason in _BAD_PATHS],
        _bad("uri", "demo/minilm/../x", "the path escapes", "PATH_MALFORMED"),
        _bad("uri", "demo/minilm//x", "the path is absolute", "PATH_MALFORMED"),
    ]


_GOOD: Final[list[tuple[str, str, Case]]] = [
    ("project_name", "projects/demo", {"project": "demo"}),
    ("project_name", f"projects/{LONG_ID}", {"project": LONG_ID}),
    (
        "artifact_name",
        "projects/demo/artifacts/minilm-l6",
        {"project": "demo", "artifact": "minilm-l6"},
    ),
    (
        "version_name",
        "projects/demo/artifacts/m/versions/prod~1",
        {"project": "demo", "artifact": "m", "selector": "prod~1"},
    ),
    (
        "ref_name",
        "projects/demo/artifacts/m/refs/prod",
        {"project": "demo", "artifact": "m", "ref": "prod"},
    ),
    ("selector", "1", {"number": 1}),
    ("selector", "9" * 18, {"number": int("9" * 18)}),
    ("selector", "latest", {"ref": "latest", "back": 0}),
    ("selector", "prod~12", {"ref": "prod", "back": 12}),
    ("selector", "sha256:ab12cd", {"prefix": "ab12cd"}),
    ("selector", "sha256:" + "0" * 64, {"prefix": "0" * 64}),
    ("selector", "{2026-11-01}", {"time": "2026-11-01T00:00:00+00:00"}),
    ("selector", "{2026-11-01T01:00+02:00}", {"time": "2026-10-31T23:00:00+00:00"}),
    ("uri", "strongroom://p/a", {"uri": "strongroom://p/a@latest"}),
    ("uri", "strongroom:/p/a@12", {"uri": "strongroom://p/a@12"}),
    ("uri", "p/a@prod/x/y.bin", {"uri": "strongroom://p/a@prod/x/y.bin"}),
    ("uri", "p/a/x/", {"uri": "strongroom://p/a@latest/x/"}),
    ("uri", "p/a/x@y", {"uri": "strongroom://p/a@latest/x@y"}),
    (
        "uri",
        "p/a@{2026-11-01T00:00Z}/x",
        {"uri": "strongroom://p/a@{2026-11-01T00:00Z}/x"},
    ),
    ("path", "a", {"path": "a"}),
    ("path", "ü/日本 語.bin", {"path": "ü/日本 語.bin"}),
    ("path", ".hidden/..x/...", {"path": ".hidden/..x/..."}),
    ("path", LONG_PATH, {"path": LONG_PATH}),
]
_BAD: Final = [
    ("project_name", "projects/", "the id is empty"),
    ("project_name", "projects/Demo", "upper case"),
    ("project_name", "projects/1demo", "a digit comes first"),
    ("project_name", "projects/-demo", "a hyphen comes first"),
    ("project_name", "projects/demo-", "a hyphen comes last"),
    ("project_name", f"projects/{LONG_ID}a", "64 characters"),
    ("project_name", "projects/demo\n", "a line feed comes last"),
    ("project_name", "projects/démo", "not ASCII"),
    ("project_name", "projects/demo/artifacts/m", "an artifact is no project"),
    ("artifact_name", "projects/demo", "a project is no artifact"),
    ("artifact_name", "demo/minilm", "the short form is no resource name"),
    ("version_name", "projects/demo/artifacts/m/versions/", "no selector"),
    ("ref_name", "projects/demo/artifacts/m/refs/prod~1", "a selector is no ref"),
    ("selector", "", "empty"),
    ("selector", "0", "versions count from 1"),
    ("selector", "01", "a leading zero"),
    ("selector", "1" * 19, "19 digits"),
    ("selector", "-1", "a sign"),
    ("selector", "prod~", "no number of moves"),
    ("selector", "prod~1~2", "two moves"),
    ("selector", "prod~1000000", "seven digits of moves"),
    ("selector", "~1", "no ref"),
    ("selector", "sha256:ab12c", "five digits of a digest"),
    ("selector", "sha256:AB12CD", "upper case"),
    ("selector", "sha256:" + "0" * 65, "65 digits of a digest"),
    ("selector", "{}", "no time"),
    ("selector", "{noon}", "not RFC 3339"),
    ("selector", "{2026-11-01/00:00}", "a slash, which would end it in a URI"),
    ("selector", "{2026-13-01}", "no such month"),
    ("uri", "", "empty"),
    ("uri", "demo", "no artifact"),
    ("uri", "demo/", "an empty artifact"),
    ("uri", "demo/minilm@", "nothing behind the @"),
    ("uri", "s3://demo/minilm", "another scheme"),
    ("uri", "demo/minilm@0", "the selector is malformed"),
]
_BAD_PATHS: Final = [
    ("", "empty"),
    ("/a", "absolute"),
    ("a/", "a directory is no file"),
    ("a//b", "an empty segment"),
    ("./a", "a segment is ."),
    ("a/..", "a segment is .."),
    ("a\\b", "a backslash"),
    ("a\nb", "a line feed"),
    ("a\x00b", "a NUL"),
    ("a\x7fb", "a delete character"),
    ("\ud800", "a surrogate is no text"),
    ("p" * 256, "a segment of 256 bytes"),
    ("ü" * 128, "a segment of 256 bytes in 128 characters"),
    (LONG_PATH + "/p", "4097 bytes"),
]


def _good(kind: str, text: str, result: Case) -> Case:
    return {
        "name": f"{kind}: {text[:40]}",
        "expect": "valid",
        "reason": "well-formed",
        "kind": kind,
        "text": text,
        "result": result,
    }


def _bad(kind: str, text: str, reason: str, error: str = "NAME_MALFORMED") -> Case:
    return {
        "name": f"{kind}: {reason}",
        "expect": "invalid",
        "reason": reason,
        "kind": kind,
        "text": text,
        "error": error,
    }


def digests() -> list[Case]:
    """Return cases of version digests; each file is given as path and text."""
    trees = {
        "no file": {},
        "one empty file": {"a": ""},
        "byte order, not that of characters": {"a0": "1", "A": "2", "\uffff": "3"}
        | {"\U00010000": "4", "ü": "5", "a/b": "6", "a-b": "7"},
    }
    cases: list[Case] = [_digest_case(name, tree) for name, tree in trees.items()]
    empty = "sha256:" + hashlib.sha256().hexdigest()
    for reason, files, error in [
        ("a path comes twice", [["a", 0, empty], ["a", 0, empty]], "PATH_MALFORMED"),
        ("out of order", [["b", 0, empty], ["a", 0, empty]], "PATH_MALFORMED"),
        (
            "a file below a file",
            [["a", 0, empty], ["a-b", 0, empty], ["a/b", 0, empty]],
            "PATH_MALFORMED",
        ),
        ("no prefix", [["a", 0, empty[7:]]], "ARGUMENT_INVALID"),
        ("upper case", [["a", 0, "sha256:" + empty[7:].upper()]], "ARGUMENT_INVALID"),
        ("another algorithm", [["a", 0, "sha512:" + empty[7:]]], "ARGUMENT_INVALID"),
    ]:
        cases.append(
            {"name": reason, "expect": "invalid", "reason": reason, "files": files,
             "error": error}
        )  # fmt: skip
    return cases


def _digest_case(name: str, tree: dict[str, str]) -> Case:
    digester = VersionDigester()
    files: list[tuple[str, int, str]] = []
    for path in sorted(tree, key=path_order):
        data = tree[path].encode()
        files.append((path, len(data), "sha256:" + hashlib.sha256(data).hexdigest()))
        digester.add(*files[-1])
    return {
        "name": name,
        "expect": "valid",
        "reason": "well-formed",
        "files": files,
        "result": digester.digest(),
    }


def canonical_json() -> list[Case]:
    """Return cases of canonical JSON; bytes are in base64."""
    values: list[Any] = [
        None, True, 0, -(2**53) + 1, 2**53 - 1, "", 'ü\n"\\\x00\U0001f512/', [], {},
        {"b": 1, "a": [1, {"": None}], "ä": "é", "Z": False},
    ]  # fmt: skip
    good = [
        {
            "name": f"value {number}",
            "expect": "valid",
            "reason": "what an encoder writes",
            "data": base64.b64encode(canonical.encode(value)).decode(),
            "result": value,
        }
        for number, value in enumerate(values)
    ]
    return good + [
        {
            "name": reason,
            "expect": "invalid",
            "reason": reason,
            "data": base64.b64encode(data).decode(),
            "error": "MalformedError",
        }
        for reason, data in _BAD_JSON.items()
    ]


_BAD_JSON: Final = {
    "empty": b"",
    "white space": b"[1, 2]",
    "a line feed behind it": b"{}\n",
    "keys out of order": b'{"b":1,"a":2}',
    "a key comes twice": b'{"a":1,"a":1}',
    "a fraction": b"1.0",
    "an exponent": b"1e2",
    "not a number": b"NaN",
    "infinite": b"-Infinity",
    "minus zero": b"-0",
    "a leading zero": b"01",
    "2**53": b"9007199254740992",
    "-2**53": b"-9007199254740992",
    "a needless escape": b'"\\u0061"',
    "an escaped slash": b'"\\/"',
    "a surrogate": b'"\\ud800"',
    "not UTF-8": b'"\xff"',
    "UTF-16": '"a"'.encode("utf-16-le"),
    "a byte order mark": b"\xef\xbb\xbf1",
    "a bare control character": b'"\n"',
    "17 levels": b"[" * 17 + b"]" * 17,
    "two values": b"1 2",
}


def cuts() -> list[Case]:
    """Return cases of chunk cuts of safetensors files, by sizes of tensors."""
    mib = 1024 * 1024
    cases: list[Case] = []
    for sizes in (
        [1], [mib - 1, 1, 5], [mib], [mib, 5], [5, mib, 7], [16 * mib, 16 * mib + 1],
        [400_000] * 7, [0, 3, 0], [40 * mib, 0, 1],
    ):  # fmt: skip
        header = safetensors_header({str(n): size for n, size in enumerate(sizes)})
        total = len(header) + sum(sizes)
        tensors = parse_tensors(header[: parse_header_size(header, total)], total)
        cases.append(
            {
                "name": f"tensors of {sizes} bytes",
                "expect": "valid",
                "reason": "well-formed",
                "header": base64.b64encode(header).decode(),
                "size_bytes": total,
                "result": list(tensor_ends(len(header), tensors)),
            }
        )
    header = safetensors_header({"a": 5})
    for reason, broken in [
        ("bytes that no tensor has", (header, len(header) + 6)),
        ("a tensor that is cut short", (header, len(header) + 4)),
        ("another dtype", (header.replace(b"U8", b"U9"), len(header) + 5)),
        ("another size", (header.replace(b'"U8"', b'"F16"'), len(header) + 5)),
    ]:
        cases.append(
            {
                "name": reason,
                "expect": "invalid",
                "reason": f"{reason}: stored like any other file",
                "header": base64.b64encode(broken[0]).decode(),
                "size_bytes": broken[1],
                "error": "ValueError",
            }
        )
    return cases
