# SPDX-License-Identifier: Apache-2.0
"""The stages of a verification that look at objects one by one, in order of key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.journal import GENESIS
from strongroom_server.core.stored_objects import MANIFESTS, ChainLink
from strongroom_server.core.verify_records import StoreFinding, StoreProgress
from strongroom_server.core.verify_token import VerifyToken, format_token
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.repository import Repository
from strongroom_server.services.store_verification.object_checks import (
    Checked,
    ObjectChecks,
)
from strongroom_server.services.store_verification.pace import Pace

#: Entries of one journal that may be missing before the rest is left alone.
_MAX_GAP: Final = 1000


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its number, what it does in words, and prefixes in order of key."""

    number: int
    label: str
    prefixes: tuple[str, ...]


@dataclass(slots=True)
class _Chain:
    """Where the check of the journals stands: behind which entry of which one."""

    prefix: str = ""
    link: ChainLink | None = None
    next_number: int = 0


class ObjectStages:
    """Runs stages. Used by one thread.

    Attributes:
        pace: How much was read.
        damaged_count: Objects that are damaged and were not mended.
        repaired_count: Objects that were mended.
        journal_count: Journals that were looked at.
        manifest_count: Manifests that were looked at.
        damaged_journals: What lies before the entries of damaged journals.
    """

    def __init__(
        self,
        repository: Repository,
        checks: ObjectChecks,
        pace: Pace,
        token: VerifyToken,
    ) -> None:
        self._repository = repository
        self._checks = checks
        self._token = token
        self._chain = _Chain()
        self.pace = pace
        self.damaged_count = 0
        self.repaired_count = 0
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
        if checked.key.startswith(layout.JOURNALS):
            yield from self._judge_entry(checked)
            return
        self.manifest_count += checked.key.startswith(MANIFESTS)
        yield from self._findings(checked)

    def _judge_entry(self, checked: Checked) -> Iterator[StoreFinding]:
        """Judge an entry, and what lies between the one before and it."""
        prefix = checked.key[: checked.key.rfind("/") + 1]
        try:
            place = stored_objects.entry_place(
                checked.key, self._repository.keyring.store
            )
        except IntegrityError:
            yield from self._findings(checked)
            return
        if prefix != self._chain.prefix:
            # Behind a token, it is not known what came before.
            resumed = not self._chain.prefix and self._token.after.startswith(prefix)
            first = _number(self._token.after) + 1 if resumed else 0
            self._chain = _Chain(prefix, None, first)
            self.journal_count += 1
        yield from self._fill_gap(place.project, place.artifact, place.number)
        yield from self._findings(self._chained(checked))
        self._chain.link = checked.link
        self._chain.next_number = place.number + 1

    def _fill_gap(
        self, project: bytes, artifact: bytes, until: int
    ) -> Iterator[StoreFinding]:
        first = self._chain.next_number
        for number in range(first, min(until, first + _MAX_GAP)):
            key = layout.journal_key(project, artifact, number)
            gone = IntegrityError(
                f"journal entry {number} is gone, and later ones are not",
                reason=Reason.JOURNAL_CORRUPT,
            )
            found = self._checks.restore(key, gone)
            yield from self._findings(found)
            self._chain.link = found.link

    def _chained(self, checked: Checked) -> Checked:
        """Return what an entry is, once its chain to the one before is judged too."""
        before, link = self._chain.link, checked.link
        if link is None or checked.error is not None:
            return checked
        wanted = GENESIS if link.number == 0 else before.digest if before else link.prev
        if link.prev == wanted:
            return checked
        error = IntegrityError(
            f"journal entry {link.number} does not follow from the one before",
            reason=Reason.JOURNAL_CORRUPT,
        )
        return replace(checked, error=error)

    def _findings(self, checked: Checked) -> Iterator[StoreFinding]:
        if checked.error is None:
            return
        self.repaired_count += checked.repaired
        self.damaged_count += not checked.repaired
        if checked.key.startswith(layout.JOURNALS):
            self.damaged_journals.add(checked.key[: checked.key.rfind("/") + 1])
        yield StoreFinding(
            checked.key,
            checked.error.reason.value,
            checked.error.message,
            (),
            checked.repaired,
        )


def _number(key: str) -> int:
    """Return the number in a journal entry's key; -1 if there is none."""
    digits = key.rpartition("/")[2]
    return int(digits) if digits.isdecimal() and digits.isascii() else -1
