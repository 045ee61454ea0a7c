# SPDX-License-Identifier: Apache-2.0
"""Wrapped keys that Vault must not open, and objects that only look like key slots."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from strongroom.errors import Reason
from strongroom.format.names import ProjectName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemoryKeyService
from strongroom_server.core import layout
from tests.security.attacks import Attack, Family, RefusedError, reasons
from tests.support.damage import some_bits_flipped
from tests.support.samples import SCOPE
from tests.support.world import ARTIFACT, memory_world

#: What became of an object that is no slot: all was read and written as before.
PASSED_OVER: Final = "PASSED_OVER"
#: Names below a domain's folder that no server writes.
_NAMES: Final = (
    *("0.01", "0.-1", "0.x", "0.", "00.1", "x.0", ".0", "0", "0.1.0", "0.1/0"),
    *(f"0.{layout.MAX_SLOT_NUMBER + 1}", f"{2**24}.0", "1e1.0", "0.\u0661"),
)


def _plant(name: str) -> None:
    """Put an object beside a domain's slot; read and write on fresh servers."""
    with memory_world() as world:
        world.push({"a": b"1"})
        domain = world.repository.projects.get(ProjectName(ARTIFACT.project)).scope
        if name:
            world.bucket.put_new(f"{layout.slots_prefix(domain.domain)}{name}", b"junk")
        assert world.reopened().pull() == {"a": b"1"}
        world.reopened().push({"a": b"2"})
        assert world.reopened().pull() == {"a": b"2"}
    if name:
        raise RefusedError(PASSED_OVER)


def _attacks() -> Iterator[Attack]:
    context = SCOPE.kek_context
    vault = MemoryKeyService(entropy=SystemEntropy())
    for kek in ("sr.mine", "sr.theirs", "sr.retired"):
        vault.create_kek(kek)
    wrapped = vault.generate("sr.mine", context).wrapped
    honest = partial(vault.unwrap, "sr.mine", context, wrapped)
    prefix, _, body = wrapped.rpartition(":")
    yield Attack(
        "a wrapped key for another project, domain or epoch",
        reasons(Reason.KEY_SLOT_CORRUPT),
        honest,
        [
            partial(vault.unwrap, "sr.mine", other, wrapped)
            for other in (
                SCOPE.at_epoch(1).kek_context,
                *some_bits_flipped(context, 40),
            )
        ],
    )
    yield Attack(
        "a wrapped key under another KEK, or altered",
        reasons(Reason.KEY_SLOT_CORRUPT),
        honest,
        [
            partial(vault.unwrap, "sr.theirs", context, wrapped),
            partial(vault.unwrap, "sr.mine", context, f"{prefix}:{body[:-8]}"),
            partial(vault.unwrap, "sr.mine", context, f"{prefix}:{body[::-1]}"),
            partial(vault.unwrap, "sr.mine", context, body),
        ],
    )
    kept = vault.generate("sr.retired", context).wrapped
    newest = vault.rotate_kek("sr.retired")
    current = vault.generate("sr.retired", context).wrapped
    vault.retire_kek("sr.retired", oldest=newest)
    yield Attack(
        "a wrapped key of a retired version, kept from before",
        reasons(Reason.KEK_ACCESS_DENIED),
        partial(vault.unwrap, "sr.retired", context, current),
        [partial(vault.unwrap, "sr.retired", context, kept)],
    )
    yield Attack(
        "an object among key slots that has no slot's name",
        reasons(PASSED_OVER),
        partial(_plant, ""),
        [partial(_plant, name) for name in _NAMES],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    yield list(_attacks())


FAMILY: Final = Family("wrapped keys", _opened)
