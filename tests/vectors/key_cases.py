# SPDX-License-Identifier: Apache-2.0
"""Vectors for keys and what they seal: derivation, key slots, control objects."""

import base64
from typing import Any, Final

from strongroom_server.core import canonical, cobblestone, derivation
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.sealing import ObjectKind, seal_object
from strongroom_server.core.slots import make_slot
from strongroom_server.core.suites import DigestAlgorithm
from tests.support.damage import one_bit_flipped
from tests.support.samples import (
    CHUNK_ID,
    DEDUP,
    MASTER,
    SALT,
    SCOPE,
    filled,
    keys_of,
    other_scopes,
)

Case = dict[str, Any]
WRAPPED: Final = "vault:v1:not-really-wrapped"


def scope_fields(scope: Scope) -> Case:
    """Return a scope and its keys as a case shows them."""
    return {
        "store": scope.store.hex(),
        "project": scope.project.hex(),
        "domain": scope.domain.hex(),
        "epoch": scope.epoch,
        "master": MASTER.hex(),
        "dedup": DEDUP.hex(),
    }


def text_of(data: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(data).decode()


def derivations() -> list[Case]:
    """Return cases of everything that is derived from a domain's keys."""
    scopes = {"base": SCOPE, **other_scopes()}
    good = [
        {
            "name": f"scope {name}",
            "expect": "valid",
            "reason": "well-formed",
            "kind": "keys",
            "scope": scope_fields(scope),
            "result": _derived(scope),
        }
        for name, scope in scopes.items()
    ]
    ids = [
        {
            "name": f"id: {reason}",
            "expect": "invalid",
            "reason": reason,
            "kind": "id",
            "text": text,
            "error": "ValueError",
        }
        for reason, text in {
            "28 characters": "a" * 28,
            "30 characters": "a" * 30,
            "upper case": "A" * 29,
            "no base32": "a" * 28 + "1",
            "unused bits are set": "a" * 28 + "b",
            "padding": "a" * 29 + "===",
        }.items()
    ]
    return [*good, _id_case(bytes(18)), _id_case(filled("id", 18)), *ids]


def _id_case(value: bytes) -> Case:
    return {
        "name": f"id {value.hex()[:8]}",
        "expect": "valid",
        "reason": "well-formed",
        "kind": "id",
        "text": format_id(value),
        "result": value.hex(),
    }


def _derived(scope: Scope) -> Case:
    keys = keys_of(scope)
    return {
        "kek": scope.kek,
        "kek_context": scope.kek_context.hex(),
        "kid": keys.kid,
        "chunk_ids": {
            algorithm.value: keys.chunk_id(bytes(32), 5, algorithm).hex()
            for algorithm in DigestAlgorithm
        },
        "chunk_key": keys.chunk_key(CHUNK_ID).hex(),
        "chunk_salt": keys.chunk_salt(bytes(32), CHUNK_ID, bytes(33)).hex(),
        "object_keys": {
            kind: keys.object_key(kind).hex()
            for kind in [*(item.name.lower() for item in ObjectKind), "pack"]
        },
        "name_ids": {
            kind: keys.name_id(kind, "demo").hex()
            for kind in ("project", "artifact", "domain", "resource")
        },
        "dedup_wrapping_key": derivation.dedup_wrapping_key(scope, MASTER).hex(),
        "slot_commitment": derivation.slot_commitment(MASTER, b"{}").hex(),
    }


def slots() -> list[Case]:
    """Return cases of key slots, with the master key as Vault would unwrap it."""
    good = make_slot(keys_of(), WRAPPED, salt=SALT)
    body = canonical.decode_object(good, 10_000)
    other = other_scopes()
    changed: dict[str, tuple[bytes, bytes]] = {
        "of another domain": (
            make_slot(keys_of(other["domain"]), "", salt=SALT),
            MASTER,
        ),
        "of another epoch": (make_slot(keys_of(other["epoch"]), "", salt=SALT), MASTER),
        "of another store": (make_slot(keys_of(other["store"]), "", salt=SALT), MASTER),
        "another master key": (good, filled("another", 32)),
        "white space": (good.replace(b",", b", ", 1), MASTER),
        "cut short": (good[:-1], MASTER),
        "empty": (b"", MASTER),
        "a truth value for a number": (
            good.replace(b'"format":1', b'"format":true'),
            MASTER,
        ),
    }
    for field, value in [
        ("format", 2), ("type", "slot"), ("kek", "sr.store"),
        ("kid", "sr1:" + "a" * 26),
        ("commitment", text_of(bytes(64))), ("sealed_ddk", text_of(bytes(104))),
        ("more", 1),
    ]:  # fmt: skip
        changed[f"another {field}"] = (canonical.encode(body | {field: value}), MASTER)
    return [
        _slot_case("as written", "valid", (good, MASTER), {"result": DEDUP.hex()}),
        _slot_case(
            "wrapped again: the wrapped key alone may change",
            "valid",
            (canonical.encode(body | {"wrapped_dmk": "vault:v2:x"}), MASTER),
            {"result": DEDUP.hex()},
        ),
        *[
            _slot_case(name, "invalid", item, {"error": "KEY_SLOT_CORRUPT"})
            for name, item in changed.items()
        ],
    ]


def _slot_case(name: str, expect: str, slot: tuple[bytes, bytes], end: Case) -> Case:
    return {
        "name": name,
        "expect": expect,
        "reason": name,
        "scope": scope_fields(SCOPE),
        "slot": slot[0].decode(),
        "unwrapped": slot[1].hex(),
        **end,
    }


def objects() -> list[Case]:
    """Return cases of control objects."""
    body = {"name": "ü", "number": 7}
    place = "a/place"
    good = {
        kind: seal_object(keys_of(), kind, place, body, salt=SALT)
        for kind in ObjectKind
    }
    name = good[ObjectKind.NAME]
    cases = [
        _object_case(f"kind {kind.name.lower()}", kind, data, {"result": body})
        for kind, data in good.items()
    ]
    bad = {
        "of another kind": good[ObjectKind.INDEX],
        "another magic": b"SRO2" + name[4:],
        "another suite": name[:7] + b"\3" + name[8:],
        "an unknown suite": name[:7] + b"\x63" + name[8:],
        "another epoch": name[:46] + b"\1" + name[47:],
        "a last byte of the header that is not zero": name[:47] + b"\1" + name[48:],
        "another salt": one_bit_flipped(name, 8 * 48),
        "another commitment": one_bit_flipped(name, 8 * 80),
        "another tag": one_bit_flipped(name, 8 * (len(name) - 1)),
        "cut short": name[:-1],
        "a byte too many": name + b"\0",
        "the header alone": name[:48],
        "empty": b"",
        "not canonical inside": _sealed(b'{"number": 7}'),
        "no object inside": _sealed(b"7"),
        "at another place": seal_object(
            keys_of(), ObjectKind.NAME, "another", body, salt=SALT
        ),
    }
    cases += [
        _object_case(why, ObjectKind.NAME, data, {"error": "RECORD_CORRUPT"})
        for why, data in bad.items()
    ]
    newer = name[:5] + b"\2" + name[6:]
    end = {"error": "FORMAT_UNSUPPORTED"}
    return [*cases, _object_case("a newer format", ObjectKind.NAME, newer, end)]


def _sealed(plaintext: bytes) -> bytes:
    """An object whose plaintext is no object of ours, encrypted as one."""
    header = seal_object(keys_of(), ObjectKind.NAME, "a/place", {}, salt=SALT)[:48]
    message = cobblestone.encrypt(
        keys_of().object_key("name"),
        plaintext,
        context=header + SCOPE.store + b"a/place",
        salt=SALT,
    )
    return header + message


def _object_case(name: str, kind: ObjectKind, data: bytes, end: Case) -> Case:
    return {
        "name": name,
        "expect": "valid" if "result" in end else "invalid",
        "reason": name,
        "scope": scope_fields(SCOPE),
        "kind": kind.name,
        "location": "a/place",
        "data": text_of(data),
        **end,
    }
