# SPDX-License-Identifier: Apache-2.0
"""One drill: the canary and a sample of versions are restored, and checked."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.errors import IntegrityError, NotFoundError, Reason
from strongroom.format.names import ProjectName
from strongroom_server.core import layout
from strongroom_server.core.backup_root import BackupRoot, JournalHead
from strongroom_server.core.canary import CANARY, canary_digest
from strongroom_server.core.drill import (
    MAX_VERSIONS,
    CanaryResult,
    CanaryState,
    DrilledVersion,
)
from strongroom_server.core.drill_sample import Drawn, draw, draw_window
from strongroom_server.core.history import Committed
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.services.drills.restoring import DAMAGE, Restored, Restoring

#: Clocks may differ by so much, so that a canary may look younger than it is.
_CLOCKS: Final = timedelta(minutes=10)
#: Whether a project, or one artifact of it, is known to be shredded, by their ids.
IsDead = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class DrillLimits:
    """How much a drill restores.

    Attributes:
        sample_bytes: Of plaintext, of the sample; the canary comes on top.
        sample_versions: Versions of the sample at most.
    """

    sample_bytes: int = 256 * 1024 * 1024
    sample_versions: int = 16


@dataclass(frozen=True, slots=True)
class DrillProgress:
    """How far a drill has come: `stage` in a word, and bytes restored."""

    stage: str
    done_bytes: int
    total_bytes: int


class Drilling:
    """Restores from one backup. Used by one thread.

    Attributes:
        restoring: What it counts, and what went wrong.
        canary: What was found of the canary.
        versions: The sample: the first `MAX_VERSIONS`.
        version_count: All of it.
        passed_over: Versions that were drawn, and have been shredded.
    """

    def __init__(
        self,
        repository: Repository,
        root: BackupRoot,
        restoring: Restoring,
        *,
        seed: bytes,
        limits: DrillLimits,
        is_dead: IsDead,
        canary_time: datetime | None,
    ) -> None:
        """`canary_time`: since when the store has its canary; None: it has none."""
        self._repository = repository
        self._root = root
        self._seed = seed
        self._limits = limits
        self._is_dead = is_dead
        self._canary_time = canary_time
        self._heads = {(item.project, item.artifact): item for item in root.journals}
        #: The canary, which is in no sample.
        self._drilled = (b"", b"")
        self.restoring = restoring
        self.canary = CanaryResult(CanaryState.ABSENT, canary_digest(root.store))
        self.versions: list[DrilledVersion] = []
        self.version_count = 0
        self.passed_over = 0

    def run(self) -> Iterator[DrillProgress]:
        """Restore the canary, then the sample; what is wrong is noted, not raised.

        Raises:
            UnavailableError: The bucket, or Vault, cannot be reached.
        """
        for _ in self._drill_canary():
            yield self._progress("canary")
        yield self._progress("canary")
        for _ in self._drill_sample():
            yield self._progress("sample")

    def _progress(self, stage: str) -> DrillProgress:
        done = self.restoring.restored_bytes
        total = min(self._limits.sample_bytes, self._root.size_bytes)
        return DrillProgress(stage, done, max(total, done))

    def _drill_canary(self) -> Iterator[int]:
        before = self.restoring.finding_count
        restored: Restored | None = None
        version: Committed | None = None
        try:
            artifact = self._find_canary()
            if artifact is not None:
                self._drilled = (artifact.journal.project, artifact.journal.artifact)
                version = self._newest_canary(artifact)
                window = (0, version.size_bytes)
                restored = yield from self.restoring.restore(artifact, version, window)
        except DAMAGE as error:
            self.restoring.note(error, name=CANARY.short)
        found = restored.digest if restored is not None else ""
        expected = self.canary.expected
        if found and found != expected:
            self.restoring.note(_no_canary(found, expected), name=CANARY.short)
        state = CanaryState.GOOD if found == expected else CanaryState.ABSENT
        if self.restoring.finding_count > before:
            state = CanaryState.BAD
        number = version.version if version is not None else 0
        self.canary = CanaryResult(state, expected, found, number)

    def _find_canary(self) -> Artifact | None:
        """Return the canary of the backup; None if it may be without one.

        Raises:
            IntegrityError: It may not (CHUNK_MISSING), or is damaged.
        """
        project = self._repository.projects.id_of(ProjectName(CANARY.project))
        has_project = any(head.project == project for head in self._root.journals)
        try:
            if has_project:
                return self._repository.artifact(CANARY)
        except NotFoundError:
            pass  # The project is there, and has other artifacts.
        since = self._canary_time
        must_be_in = since is not None and self._root.create_time > since + _CLOCKS
        if self._root.is_whole and must_be_in:
            raise IntegrityError(
                f"the backup is of the whole store, and has no {CANARY.short}",
                reason=Reason.MANIFEST_MISSING,
            )
        return None

    def _newest_canary(self, artifact: Artifact) -> Committed:
        """Return the version to restore, once all say that they are the canary."""
        self._check_head(artifact)
        live = artifact.history.live_versions()
        if not live:
            raise IntegrityError(
                f"all versions of {CANARY.short} were deleted",
                reason=Reason.VERSION_DELETED,
            )
        for version in live:
            if version.digest != self.canary.expected:
                raise _no_canary(version.digest, self.canary.expected)
        return live[-1]

    def _drill_sample(self) -> Iterator[int]:
        limits = self._limits
        room = limits.sample_bytes
        ranges = [
            (head.project, head.artifact, head.versions)
            for head in self._root.journals
            if (head.project, head.artifact) != self._drilled
            and not self._is_dead(head.project, head.artifact)
        ]
        for drawn in draw(self._seed, ranges, limits.sample_versions):
            if room <= 0:
                return
            before = self.restoring.restored_bytes
            yield from self._drill_version(drawn, room)
            room -= self.restoring.restored_bytes - before

    def _drill_version(self, drawn: Drawn, room_bytes: int) -> Iterator[int]:
        before = self.restoring.finding_count
        journal = JournalId(drawn.project, drawn.artifact)
        try:
            artifact = self._artifact(journal)
            if artifact.name != CANARY:
                version = self._version(artifact, drawn.version)
                yield from self._restore(artifact, version, drawn, room_bytes)
        except DAMAGE as error:
            key = layout.journal_prefix(drawn.project, drawn.artifact)
            self.restoring.note(error, key=key)
        # Shredded while we were at it: what is gone is gone on purpose.
        has_failed = self.restoring.finding_count > before
        if has_failed and self._is_dead(drawn.project, drawn.artifact):
            self.restoring.drop_findings(before)
            self.passed_over += 1

    def _restore(
        self, artifact: Artifact, version: Committed, drawn: Drawn, room_bytes: int
    ) -> Generator[int, None, None]:
        window = draw_window(self._seed, drawn, version.size_bytes, room_bytes)
        restored = yield from self.restoring.restore(artifact, version, window)
        self.version_count += 1
        if len(self.versions) < MAX_VERSIONS:
            name = f"{artifact.name.short}@{version.version}"
            self.versions.append(
                DrilledVersion(
                    name,
                    version.digest,
                    restored.whole,
                    restored.file_count,
                    restored.size_bytes,
                    restored.ok,
                )
            )

    def _artifact(self, journal: JournalId) -> Artifact:
        key = layout.project_key(journal.project)
        item = next(iter(self._repository.blobs.first_versions(key)), None)
        if item is None or item.key != key:
            raise _gone(key, "the record of a project")
        project = self._repository.projects.load(item)
        artifact = self._repository.artifact_in(project, journal)
        if artifact is None:
            key = layout.journal_prefix(journal.project, journal.artifact)
            raise _gone(key, "a journal")
        self._check_head(artifact)
        return artifact

    def _check_head(self, artifact: Artifact) -> None:
        """Check that a journal is as long as the root says, and ends as it says."""
        journal, entries = artifact.journal, artifact.history.entries
        head: JournalHead | None = self._heads.get((journal.project, journal.artifact))
        if head is None or (len(entries), entries[-1].digest) != (
            head.entries,
            head.digest,
        ):
            raise IntegrityError(
                f"the journal of {artifact.name.short} has {len(entries)} entries and "
                "another head than the backup's root says",
                reason=Reason.JOURNAL_REWOUND,
                key=layout.journal_prefix(journal.project, journal.artifact),
            )

    def _version(self, artifact: Artifact, number: int) -> Committed:
        stored = {item.version: item for item in artifact.history.stored_versions()}
        if number not in stored:
            raise IntegrityError(
                f"the backup says that it holds {artifact.name.short}@{number}, and "
                "the journal has no such version",
                reason=Reason.JOURNAL_REWOUND,
            )
        return stored[number]


def _gone(key: str, what: str) -> IntegrityError:
    return IntegrityError(
        f"{what} is gone from the backup", reason=Reason.JOURNAL_CORRUPT, key=key
    )


def _no_canary(found: str, expected: str) -> IntegrityError:
    return IntegrityError(
        f"a version of {CANARY.short} is {found}, and the canary of this store is "
        f"{expected}: somebody else has written it",
        reason=Reason.DIGEST_MISMATCH,
        hint=f"Find out who: strongroom log {CANARY.short}",
    )
