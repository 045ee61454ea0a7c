# SPDX-License-Identifier: Apache-2.0
"""Tampering with the audit log: in the bucket, in what was exported, and in proofs.

Who tampers may hold the bucket, or be root on a server and write what it logged
anew; what is signed through Vault, and checkpoints that others keep, tell on them.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from strongroom.errors import Reason
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.core import canonical, layout
from strongroom_server.core.audit import GENESIS, line_digest
from strongroom_server.core.audit_export import Exporter, check_export, check_proof
from strongroom_server.core.merkle import Tree, leaf_hash
from strongroom_server.core.signed_note import Checkpoint
from strongroom_server.core.tlog_tiles import CHECKPOINT
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.services.auditing import AuditReader
from tests.security.attacks import Attack, Family, Try, reasons
from tests.security.changes import (
    Change,
    Stored,
    append_again,
    copied,
    cut,
    exchange,
    put,
    remove,
    stored_below,
)
from tests.support.audit_worlds import AuditWorld
from tests.support.damage import some_bits_flipped

_BY: Final = reasons(Reason.AUDIT_CORRUPT)
_WRITER_BYTES: Final = 9
_TIME_S: Final = 1_800_000_000

Files = Mapping[str, bytes]


class _Log:
    """A log of two servers, signed in its middle and at its end."""

    def __init__(self, root: Path, *, rounds: int) -> None:
        self.world = AuditWorld(root)
        with self.world.server("a") as first, self.world.server("b") as second:
            for number in range(rounds):
                first.record(f"a{number}", shared=number % 5 == 0)
                second.record(f"b{number}", shared=number % 7 == 0)
                if number == rounds // 2:
                    first.checkpointer.sign()
            self.audit_id = first.record("last")
            second.record("last of the other")
            # What is not signed yet can be cut off unseen: here all is signed.
            second.checkpointer.sign()
        reader = self.world.reader()
        self.keys = reader.keys
        self.report = reader.check()
        self.files = dict(reader.export())
        self.note = self.files[CHECKPOINT]
        middle, _ = sorted(reader.checkpoint_sizes())
        self.older = dict(reader.export(middle))
        self.proof = reader.prove(self.audit_id)
        self.entries = [
            entry for batch in self.world.log().batches() for entry in batch.entries
        ]
        self.signer = self.world.signer
        self.origin = self.report.origin

    def check(self, files: Files, *others: bytes) -> None:
        """Check exported files offline, as an auditor does."""
        check_export(files.get, self.keys, others=others)

    def attack(self, name: str, altered: Sequence[Files], *others: bytes) -> Attack:
        """Return the attack on an auditor who is given altered files."""
        honest = partial(self.check, self.files, *others)
        tries: list[Try] = [partial(self.check, files, *others) for files in altered]
        return Attack(name, _BY, honest, tries)

    def export(self, entries: Sequence[bytes], note: bytes = b"") -> dict[str, bytes]:
        """Return the files of other entries, all of them consistent."""
        exporter, tree = Exporter(len(entries), note or self.note), Tree()
        files: dict[str, bytes] = {}
        for entry in entries:
            files |= dict(exporter.add(entry))
            tree.append(leaf_hash(entry))
        return files | dict(exporter.rest(tree))

    def sign(self, entries: Sequence[bytes], *, origin: str = "") -> bytes:
        """Return a checkpoint that the log's own keys sign of other entries."""
        tree = Tree()
        for entry in entries:
            tree.append(leaf_hash(entry))
        checkpoint = Checkpoint(origin or self.origin, len(entries), tree.root())
        return self.signer.sign(checkpoint, time_s=_TIME_S)

    def bucket(self) -> tuple[MemoryBlobStore, list[Stored], list[Stored]]:
        """Return a copy of the bucket, and its batches and checkpoints."""
        copy = copied(self.world.world.bucket)
        batches = stored_below(copy, layout.audit_batches_prefix("main"))
        notes = stored_below(copy, layout.audit_checkpoints_prefix("main"))
        return copy, batches, notes

    def check_bucket(self, bucket: MemoryBlobStore, *others: bytes) -> None:
        """Check the log in a bucket, as `audit verify` does."""
        keyring = self.world.world.repository.keyring
        log = SharedAuditLog("main", blobs=bucket, keyring=keyring)
        AuditReader(log, keyring=keyring, keys=self.keys).check(others)


def rewritten(entries: Sequence[bytes], at: int, **said: str) -> list[bytes]:
    """Return a log in which one entry says something else, and all fits again."""
    made, ends = [], dict[bytes, str]()
    for place, entry in enumerate(entries):
        writer = entry[:_WRITER_BYTES]
        body = canonical.decode_object(entry[_WRITER_BYTES:], 2**20)
        if place == at:
            body.update(said)
        body["prev"] = ends.get(writer, GENESIS)
        line = canonical.encode(body)
        ends[writer] = line_digest(line + b"\n")
        made.append(writer + line)
    return made


def _bucket_attacks(log: _Log) -> Iterator[Attack]:
    """Yield what somebody does who holds the bucket, but no key."""

    def attack(
        name: str, changes: Sequence[Change], *others: bytes, notes: bool = False
    ) -> Attack:
        def attempt(change: Change) -> None:
            bucket, batches, checkpoints = log.bucket()
            change(bucket, checkpoints if notes else batches)
            log.check_bucket(bucket, *others)

        def honest() -> None:
            log.check_bucket(log.bucket()[0], *others)

        return Attack(name, _BY, honest, [partial(attempt, one) for one in changes])

    def cut_unsigned(bucket: MemoryBlobStore, stored: list[Stored]) -> None:
        cut(2)(bucket, stored)
        for key, version_id, _ in log.bucket()[2][1:]:
            bucket.delete_version(key, version_id)

    _, batches, notes = log.bucket()
    last = len(batches) - 1
    yield attack("a batch taken out", [remove(at) for at in range(last)])
    yield attack("the newest batches cut off", [cut(1), cut(2)])
    yield attack(
        "the newest batches cut off with their checkpoints, which others keep",
        [cut_unsigned],
        log.note,
    )
    yield attack("two batches exchanged", [exchange(0, 1), exchange(1, last)])
    yield attack("a batch emptied or cut", [put(1, b""), put(1, batches[1][2][:-1])])
    yield attack("a batch added, which is an older one", [append_again(last)])
    yield attack(
        "a bit of a batch flipped",
        [
            put(at, data)
            for at in (0, last)
            for data in some_bits_flipped(batches[at][2], 40)
        ],
    )
    yield attack(
        "a checkpoint altered, exchanged or emptied",
        [
            put(0, b""),
            exchange(0, -1),
            *(put(-1, data) for data in some_bits_flipped(notes[-1][2], 60)),
        ],
        notes=True,
    )


def _export_attacks(log: _Log) -> Iterator[Attack]:
    """Yield what somebody does to the files that an auditor was given."""

    entries, count = log.entries, len(log.entries)
    yield log.attack(
        "one bit of an exported file",
        [
            log.files | {path: flipped}
            for path, data in log.files.items()
            for flipped in some_bits_flipped(data, 25)
        ],
    )
    yield log.attack(
        "an exported file that is gone, or another one",
        [
            *({k: v for k, v in log.files.items() if k != path} for path in log.files),
            *(log.files | {path: log.note} for path in log.files if path != CHECKPOINT),
        ],
    )
    yield log.attack(
        "one entry left out",
        [log.export(entries[:at] + entries[at + 1 :]) for at in range(0, count, 7)],
    )
    yield log.attack(
        "one entry twice",
        [log.export(entries[:at] + entries[at - 1 :]) for at in range(1, count, 7)],
    )
    yield log.attack(
        "a reordered pair",
        [
            log.export(
                [*entries[:at], entries[at + 1], entries[at], *entries[at + 2 :]]
            )
            for at in range(0, count - 1, 7)
        ],
    )
    yield log.attack(
        "an entry rewritten by the server that wrote it, and all behind it",
        [
            log.export(rewritten(entries, at, **field))
            for at in (0, count // 2, count - 1)
            for field in (
                {"principal": "spiffe://test/ns/a/sa/b/job/d"},
                {"outcome": "OK"},
                {"time": "2020-01-01T00:00:00.000000+00:00"},
                {"decision": "allow", "policy": "forged"},
            )
        ],
    )


def _checkpoint_attacks(log: _Log) -> Iterator[Attack]:
    """Yield what somebody does to the signed checkpoint of an export."""
    entries, count = log.entries, len(log.entries)
    yield log.attack(
        "a truncated tail, against a newer checkpoint", [log.older], log.note
    )
    split = rewritten(entries, count // 3, principal="somebody else")
    yield log.attack(
        "a split view: two histories, both signed by the log's own keys",
        [log.export(split, log.sign(split))],
        log.note,
    )
    strangers = MemoryCheckpointSigner(entropy=SystemEntropy())
    checkpoint = Checkpoint(log.origin, count, bytes.fromhex(log.report.root))
    by_strangers = strangers.sign(checkpoint, time_s=_TIME_S)
    body, _, lines = log.note.partition(b"\n\n")
    signatures = lines.splitlines(keepends=True)
    yield log.attack(
        "a checkpoint without one of its signatures, or signed by strangers",
        [
            log.files | {CHECKPOINT: note}
            for note in (
                by_strangers,
                *(body + b"\n\n" + line for line in signatures),
                body + b"\n\n" + signatures[0] * 2,
                body + b"\n\n",
                body + b"\n\n" + by_strangers.partition(b"\n\n")[2],
            )
        ],
    )
    elsewhere = log.sign(entries, origin="strongroom/elsewhere/main")
    yield log.attack(
        "a checkpoint of another log", [log.files | {CHECKPOINT: elsewhere}]
    )


def _proof_attacks(log: _Log) -> Iterator[Attack]:
    """Yield what somebody does to a proof that an entry is in the log."""
    lines = log.proof.split("\n")
    index = next(at for at, line in enumerate(lines) if line.startswith("index "))
    number = int(lines[index].removeprefix("index "))

    def altered(at: int, text: str) -> str:
        return "\n".join([*lines[:at], text, *lines[at + 1 :]])

    yield Attack(
        "a proof altered: entry, place, path or checkpoint",
        _BY,
        partial(check_proof, log.proof, log.keys),
        [
            *(
                partial(check_proof, altered(index, f"index {other}"), log.keys)
                for other in (-1, 0, number - 1, number + 1, 2**63)
            ),
            *(
                partial(check_proof, altered(at, text), log.keys)
                for at, line in enumerate(lines)
                if len(line) > 8
                for text in ("", line[:-6], line[:8] + "A" * (len(line) - 8))
            ),
            partial(check_proof, "\n".join(lines[:index]), log.keys),
            partial(check_proof, "", log.keys),
        ],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with tempfile.TemporaryDirectory() as folder:
        log = _Log(Path(folder), rounds=300 if thorough else 40)
        yield [
            *_bucket_attacks(log),
            *_export_attacks(log),
            *_checkpoint_attacks(log),
            *_proof_attacks(log),
        ]


FAMILY: Final = Family("audit tampering", _opened)
