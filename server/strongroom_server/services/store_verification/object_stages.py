# SPDX-License-Identifier: Apache-2.0
"""The stages of a verification that look at objects one by one, in order of key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.journal import GENESIS
from strongroom_server.core.stored_objects import MANIFESTS, ChainLink
from strongroom_server.core.verify_records import StoreFinding, StoreProgress
from strongroom_server.core.verify_token import VerifyToken, format_token
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.repository import Repository
from strongroom_server.services.store_verification.chains import MAX_RUN, Chains
from strongroom_server.services.store_verification.object_checks import (
    Checked,
    ObjectChecks,
)
from strongroom_server.services.store_verification.pace import Pace


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its number, what it does in words, and prefixes in order of key."""

    number: int
    label: str
    prefixes: tuple[str, ...]


@dataclass(slots=True)
class _Chain:
    """Where the check of chains stands: behind which link of which one."""

    prefix: str = ""
    link: ChainLink | None = None
    next_number: int = 0


class ObjectStages:
    """Runs stages. Used by one thread.

    Attributes:
        fence: How many sweep records there must be, as journals tell; 0 if unknown.
        pace: How much was read.
        damaged_count: Objects that are damaged and were not mended.
        repaired_count: Objects that were mended now.
        mended_count: Objects that were mended before, chunk by chunk.
        journal_count: Journals that were looked at.
        manifest_count: Manifests that were looked at.
        damaged_journals: What lies before the entries of damaged journals.
    """

    def __init__(
        self,
        repository: Repository,
        checks: ObjectChecks,
        chains: Chains,
        pace: Pace,
        token: VerifyToken,
    ) -> None:
        self._repository = repository
        self._checks = checks
        self._chains = chains
        self._token = token
        self._chain = _Chain()
        self.fence = 0
        self.pace = pace
        self.damaged_count = 0
        self.repaired_count = 0
        self.mended_count = 0
        self.journal_count = 0
        self.manifest_count = 0
        self.damaged_journals: set[str] = set()

    def measure(self, stages: Sequence[Stage]) -> Iterator[StoreProgress]:
        """Find out how many bytes these stages are going to read."""
        self.pace.stage = "looking what there is"
        for stage in stages:
            for item in self._items(stage):
                self.pace.total_bytes += item.size_bytes
                yield from self.pace.tell()

    def run(self, stage: Stage) -> Iterator[StoreFinding | StoreProgress]:
        """Check the objects of a stage, unless an earlier run has."""
        if stage.number < self._token.stage:
            return
        self.pace.stage = stage.label
        self.pace.token = self._token_at(stage, self._after(stage))
        for checked in self._checks.check_all(self._items(stage)):
            yield from self.pace.spend(checked.size_bytes, 1)
            yield from self._judge(checked)
            self.pace.token = self._token_at(stage, checked.key)
        if layout.SWEEP in stage.prefixes:
            self._begin_chain(layout.SWEEP)
            yield from self._fill_gap(self.fence)
        self.pace.token = self._token_at(replace(stage, number=stage.number + 1), "")
        yield self.pace.progress()

    def _items(self, stage: Stage) -> Iterator[BlobVersion]:
        if stage.number < self._token.stage:
            return
        after = self._after(stage)
        for prefix in stage.prefixes:
            if after.startswith(prefix):
                yield from self._repository.blobs.first_versions(
                    prefix, start_after=after
                )
            elif after < prefix:
                yield from self._repository.blobs.first_versions(prefix)

    def _after(self, stage: Stage) -> str:
        return self._token.after if stage.number == self._token.stage else ""

    def _token_at(self, stage: Stage, after: str) -> str:
        return format_token(replace(self._token, stage=stage.number, after=after))

    def _judge(self, checked: Checked) -> Iterator[StoreFinding]:
        if checked.key.startswith(stored_objects.CHAINED):
            yield from self._judge_link(checked)
            return
        self.manifest_count += checked.key.startswith(MANIFESTS)
        yield from self._findings(checked)

    def _judge_link(self, checked: Checked) -> Iterator[StoreFinding]:
        """Judge a link of a chain, and what lies between the one before and it."""
        key = checked.key
        prefix = key[: key.rfind("/") + 1]
        number = stored_objects.link_number(key)
        if self._is_stray(key, number):
            yield from self._findings(checked)
            return
        self._begin_chain(prefix)
        yield from self._fill_gap(number)
        if checked.error is not None:
            checked = self._chains.mend(checked, prev=self._prev(number))
        yield from self._findings(self._chained(checked))
        self._chain.link = checked.link
        self._chain.next_number = number + 1

    def _begin_chain(self, prefix: str) -> None:
        if prefix == self._chain.prefix:
            return
        # Behind a token, it is not known what came before.
        resumed = not self._chain.prefix and self._token.after.startswith(prefix)
        after = stored_objects.link_number(self._token.after)
        self._chain = _Chain(prefix, None, after + 1 if resumed else 0)
        self.journal_count += prefix.startswith(layout.JOURNALS)

    def _is_stray(self, key: str, number: int) -> bool:
        if key.startswith(layout.SWEEP):
            return number < 0 or key != layout.sweep_key(number)
        try:
            stored_objects.entry_place(key, self._repository.keyring.store)
        except IntegrityError:
            return True
        return False

    def _fill_gap(self, until: int) -> Iterator[StoreFinding]:
        prefix, first = self._chain.prefix, self._chain.next_number
        is_journal = prefix.startswith(layout.JOURNALS)
        for number in range(first, min(until, first + MAX_RUN)):
            gone = IntegrityError(
                f"{'journal entry' if is_journal else 'sweep record'} {number} is "
                "gone, and later ones, or fences, are not",
                reason=Reason.JOURNAL_CORRUPT if is_journal else Reason.RECORD_CORRUPT,
            )
            key = f"{prefix}{number:0{layout.NUMBER_DIGITS}d}"
            found = self._chains.restore(
                key, gone, prev=self._prev(number), may_agree=not is_journal
            )
            yield from self._findings(found)
            self._chain.link = found.link

    def _prev(self, number: int) -> bytes | None:
        """Return what a link must name as the one before it; None if nothing tells."""
        if number == 0:
            return GENESIS
        before = self._chain.link
        return before.digest if before is not None else None

    def _chained(self, checked: Checked) -> Checked:
        """Return what a link is, once its chain to the one before is judged too."""
        link = checked.link
        if link is None or checked.error is not None:
            return checked
        if self._prev(link.number) in {None, link.prev}:
            return checked
        is_journal = checked.key.startswith(layout.JOURNALS)
        error = IntegrityError(
            f"{'journal entry' if is_journal else 'sweep record'} {link.number} does "
            "not follow from the one before",
            reason=Reason.JOURNAL_CORRUPT if is_journal else Reason.RECORD_CORRUPT,
        )
        return replace(checked, error=error)

    def _findings(self, checked: Checked) -> Iterator[StoreFinding]:
        if checked.error is None:
            return
        self.repaired_count += checked.repaired
        self.mended_count += checked.mended
        self.damaged_count += not (checked.repaired or checked.mended)
        if checked.key.startswith(layout.JOURNALS):
            self.damaged_journals.add(checked.key[: checked.key.rfind("/") + 1])
        yield StoreFinding(
            checked.key,
            checked.error.reason.value,
            checked.error.message,
            (),
            checked.repaired,
            checked.mended,
        )
