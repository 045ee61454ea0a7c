# SPDX-License-Identifier: Apache-2.0
"""A log that is rewound, begun anew or split, and keys used behind its back.

Who attacks may hold the bucket, all of Strongroom's keys and Vault's signatures; what
they don't hold is a witness's memory and its key, and the ids that Vault chose.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from strongroom.errors import Reason
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.core import layout
from strongroom_server.core.audit import Phase
from strongroom_server.core.audit_export import check_export, check_proof
from strongroom_server.core.merkle import Frontier, growth_proof, leaf_hash
from strongroom_server.core.signed_note import Checkpoint, read_unverified
from strongroom_server.core.tlog_tiles import CHECKPOINT
from strongroom_server.core.witness import Submission, WitnessStatus
from strongroom_server.services.auditing import (
    Span,
    check_explained,
    read_vault_log,
    reconcile,
)
from tests.contract.audit_sink_suite import audit_event
from tests.security.attacks import Attack, Family, RefusedError, Try, reasons
from tests.security.changes import copied, stored_below
from tests.support.audit_worlds import AuditWorld
from tests.support.damage import some_bits_flipped
from tests.support.vault_audit import vault_lines
from tests.support.witnesses import DirectWitness

_BY: Final = reasons(Reason.AUDIT_CORRUPT)
_TIME_S: Final = 1_800_000_000
_TRACE: Final = "a" * 32
_LATER: Final = "2026-11-02T00:00:00.000000Z"


class _Witnessed:
    """A log of a dozen entries, every third of which was signed and cosigned."""

    def __init__(self, root: Path, *, rounds: int) -> None:
        self.root = root
        self.names = count()
        self.world = AuditWorld(root / "honest")
        self.signer = self.world.signer
        self.origin = self.world.log().origin
        self.keys = self.signer.keys(self.origin)
        self.witness = DirectWitness({self.origin: self.keys})
        self.world.witnesses = [self.witness]
        with self.world.server("a") as server:
            for number in range(rounds):
                server.requests.note(f"ours-{number}", trace_id=_TRACE)
                event = replace(audit_event(), trace_id=_TRACE, phase=Phase.OUTCOME)
                self.audit_id = server.append(replace(event, time=_LATER))
                if number % 3 == 2:
                    server.sign()
            server.sign()
        reader = self.world.reader()
        self.files = dict(reader.export(cosigned=True))
        self.older = dict(reader.export(3, cosigned=True))
        self.proof = reader.prove(self.audit_id, cosigned=True)
        self.leaves = [
            leaf_hash(entry)
            for batch in self.world.log().batches()
            for entry in batch.entries
        ]

    def start(self, bucket: MemoryBlobStore) -> None:
        """Start a server that remembers nothing over a bucket, and make a change."""
        name = f"new-{next(self.names)}"
        with self.world.server(name, blobs=bucket) as server:
            server.record("a change")

    def rewound(self, size: int) -> MemoryBlobStore:
        """Return the bucket as it was after `size` entries."""
        bucket = copied(self.world.world.bucket)
        for key, version_id, _ in stored_below(bucket, layout.AUDIT):
            number = layout.upload_key_number(key)
            if number >= size if "/batches/" in key else number > size:
                bucket.delete_version(key, version_id)
        return bucket

    def forged(self, start: int, more: int) -> MemoryBlobStore:
        """Return a bucket whose log goes on otherwise, with signatures of all of it."""
        bucket = self.rewound(start)
        forger = AuditWorld(
            self.root / f"forger-{next(self.names)}",
            world=self.world.world,
            signer=self.signer,
        )
        with forger.server("f", blobs=bucket) as server:
            for number in range(more):
                server.record(f"forged {number}")
            server.checkpointer.sign()
        return bucket

    def ask(self, submission: Submission) -> None:
        """Ask a witness that knows half of the log to cosign; refusals are errors."""
        witness = DirectWitness({self.origin: self.keys})
        half = len(self.leaves) // 2
        assert witness.add_checkpoint(self.submission(0, half)).lines
        answer = witness.add_checkpoint(submission)
        if answer.status is not WitnessStatus.COSIGNED:
            raise RefusedError(answer.status.name)

    def submission(
        self,
        old_size: int,
        size: int,
        *,
        leaves: Sequence[bytes] = (),
        signer: MemoryCheckpointSigner | None = None,
        origin: str = "",
    ) -> Submission:
        """Return what a server would send of this, or of another, history."""
        leaves = leaves or self.leaves
        before = Frontier().extended(leaves[:old_size])
        root = before.extended(leaves[old_size:size]).root
        checkpoint = Checkpoint(origin or self.origin, size, root)
        note = (signer or self.signer).sign(checkpoint, time_s=_TIME_S)
        proof = growth_proof(before, leaves[old_size:size]) if old_size < size else ()
        return Submission(old_size, tuple(proof), note)


def _server_attacks(log: _Witnessed) -> Iterator[Attack]:
    """Yield what somebody does to the bucket that a server starts with."""
    bucket, last = log.world.world.bucket, len(log.leaves)

    def start(make: Callable[[], MemoryBlobStore]) -> None:
        log.start(make())

    def attack(name: str, made: Sequence[Callable[[], MemoryBlobStore]]) -> Attack:
        # A new server has its own lines put behind: each try has a copy.
        return Attack(
            name,
            _BY,
            lambda: log.start(copied(bucket)),
            [partial(start, make) for make in made],
        )

    yield attack(
        "the log rewound, with its checkpoints and cosignatures, to a new server",
        [partial(log.rewound, size) for size in range(0, last, 2)],
    )
    yield attack(
        "a log begun anew and signed by its own keys: shorter, equal, longer",
        [partial(log.forged, 0, more) for more in (last - 3, last, last + 5)],
    )
    yield attack(
        "a log that was rewound and goes on otherwise",
        [partial(log.forged, size, last) for size in (1, last // 2, last - 1)],
    )


def _split_attack(log: _Witnessed) -> Attack:
    """Return the attack of showing two servers two buckets."""

    def split(*, one_bucket: bool) -> None:
        witness = DirectWitness({log.origin: log.keys})
        other = copied(log.world.world.bucket)
        ours = other if one_bucket else copied(log.world.world.bucket)
        worlds = [
            AuditWorld(
                log.root / f"split-{next(log.names)}",
                world=log.world.world,
                signer=log.signer,
                witnesses=[witness],
            )
            for _ in range(2)
        ]
        with ExitStack() as stack:
            first = stack.enter_context(worlds[0].server("a", blobs=other))
            second = stack.enter_context(worlds[1].server("b", blobs=ours))
            first.record("theirs")
            first.sign()
            second.record("ours")
            second.record("ours")
            second.sign()
            second.record("after the split")

    return Attack(
        "a split view: two servers, each with a bucket and a history of its own",
        _BY,
        partial(split, one_bucket=True),
        [partial(split, one_bucket=False)],
    )


def _witness_attacks(log: _Witnessed) -> Iterator[Attack]:
    """Yield what somebody sends to a witness who holds the log's keys, or not."""
    half, last = len(log.leaves) // 2, len(log.leaves)
    other = [leaf_hash(b"forged"), *log.leaves[1:]]
    good = log.submission(half, last)
    strangers = MemoryCheckpointSigner(entropy=SystemEntropy())

    def attack(name: str, by: WitnessStatus, sent: Sequence[Submission]) -> Attack:
        return Attack(
            name,
            reasons(by.name),
            partial(log.ask, good),
            [partial(log.ask, one) for one in sent],
        )

    yield attack(
        "a checkpoint that is older than the one that was cosigned",
        WitnessStatus.CONFLICT,
        [log.submission(old, half - 1) for old in (0, 1, half - 1)],
    )
    yield attack(
        "another root of the size that was cosigned",
        WitnessStatus.CONFLICT,
        [log.submission(half, half, leaves=other)],
    )
    yield attack(
        "a log with another history behind the one that was cosigned",
        WitnessStatus.INCONSISTENT,
        [log.submission(half, size, leaves=other) for size in range(half + 1, last)],
    )
    yield attack(
        "a proof altered, cut, doubled or empty",
        WitnessStatus.INCONSISTENT,
        [replace(good, proof=proof) for proof in _spoilt(good.proof)],
    )
    body, each = good.note.partition(b"\n\n")[0], _each(good.note)
    yield attack(
        "a checkpoint that strangers signed, or only one of the log's keys",
        WitnessStatus.NOT_SIGNED,
        [
            log.submission(half, last, signer=strangers),
            *(replace(good, note=body + b"\n\n" + line) for line in each),
        ],
    )
    yield attack(
        "a checkpoint of another log, signed by this one's keys",
        WitnessStatus.UNKNOWN_LOG,
        [log.submission(half, last, origin="strongroom/elsewhere/main")],
    )


def _auditor_attacks(log: _Witnessed) -> Iterator[Attack]:
    """Yield what somebody gives to an auditor who trusts a witness."""
    stranger = DirectWitness(log.witness.logs, log.witness.name)
    both = [*log.keys, *log.witness.keys]
    note, older = log.files[CHECKPOINT], log.older[CHECKPOINT]
    newest = read_unverified(note)
    head, _, lines = note.partition(b"\n\n")
    own = lines.splitlines(keepends=True)[:2]
    theirs = older.partition(b"\n\n")[2].splitlines(keepends=True)[2:]
    forged = stranger.private.cosign(newest, time_s=_TIME_S)

    def check(text: bytes) -> None:
        files = log.files | {CHECKPOINT: text}
        check_export(files.get, log.keys, witness_keys=log.witness.keys)

    def prove(text: bytes) -> None:
        entry = log.proof.partition("\n\n")[0]
        shown = text.decode("utf-8", "replace")
        check_proof(f"{entry}\n\n{shown}", both)

    notes = [
        head + b"\n\n" + b"".join(own),
        head + b"\n\n" + b"".join([*own, *theirs]),
        head + b"\n\n" + b"".join(own) + forged,
        *(head + b"\n\n" + b"".join(own) + line for line in _each(note)[2:]),
        *some_bits_flipped(note, 60),
    ]
    for what, look in (("an export", check), ("a proof", prove)):
        tries: list[Try] = [partial(look, text) for text in notes]
        yield Attack(
            f"{what} without a cosignature, with one of another size or by a stranger",
            _BY,
            partial(look, note),
            tries,
        )


def _theft_attack(log: _Witnessed) -> Attack:
    """Return the attack of asking Vault with a stolen token."""

    def compare(*more: bytes) -> None:
        lines = [*vault_lines(*(f"ours-{at}" for at in range(4))), *more]
        requests = read_vault_log(lines, mount="transit", name="audit.log")
        now = datetime(2026, 11, 2, 1, tzinfo=UTC)
        found = reconcile(log.world.reader(), requests, span=Span(), now=now)
        check_explained(found)

    paths = ("decrypt/x", "datakey/plaintext/x", "rewrap/x", "sign/sr.log", "export/x")
    return Attack(
        "a key used with a stolen token, under whatever id and name",
        reasons(Reason.AUDIT_UNEXPLAINED),
        compare,
        [
            *(
                partial(compare, *vault_lines(name, path=f"transit/{path}"))
                for path in paths
                for name in ("theirs", _TRACE, "ours-99", "")
            ),
            # Once all servers were stopped.
            partial(compare, *vault_lines("theirs", time="2026-11-02T00:30:00Z")),
        ],
    )


def _spoilt(proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    other = [(*proof[:at], bytes(32), *proof[at + 1 :]) for at, _ in enumerate(proof)]
    return [(), proof[:-1], proof[1:], proof * 2, proof[::-1], *other]


def _each(note: bytes) -> list[bytes]:
    return note.partition(b"\n\n")[2].splitlines(keepends=True)


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    with tempfile.TemporaryDirectory() as folder:
        log = _Witnessed(Path(folder), rounds=60 if thorough else 12)
        yield [
            *_server_attacks(log),
            _split_attack(log),
            *_witness_attacks(log),
            *_auditor_attacks(log),
            _theft_attack(log),
        ]


FAMILY: Final = Family("audit witness", _opened)
