# SPDX-License-Identifier: Apache-2.0
"""Verifying versions: every chunk authenticated, every digest recomputed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom.format.digest import VersionDigester, format_digest
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed
from strongroom_server.core.records import VerifyFinding, VerifyProgress, VerifyReport
from strongroom_server.core.scope import Scope
from strongroom_server.repository.repository import Artifact, Repository

#: Progress is told after so many bytes, in the middle of a file too.
_PROGRESS_BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class _Totals:
    total_bytes: int
    version_count: int = 0
    file_count: int = 0
    verified_bytes: int = 0
    damaged_count: int = 0
    told_bytes: int = 0

    def progress(self) -> Iterator[VerifyProgress]:
        """Yield how far it has come, if it is time to tell."""
        if self.verified_bytes - self.told_bytes >= _PROGRESS_BYTES:
            self.told_bytes = self.verified_bytes
            yield VerifyProgress(self.verified_bytes, self.total_bytes)


class Verification:
    """Reads back what is stored and says what is damaged."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def verify(
        self, name: ArtifactName | VersionName
    ) -> Iterator[VerifyFinding | VerifyProgress | VerifyReport]:
        """Verify a version, or all versions of an artifact that are stored.

        Damage is reported, not raised; a journal that cannot be trusted is
        raised, since then there is no list of versions to verify.

        Raises:
            NotFoundError: The artifact or version does not exist.
            UnavailableError: S3 or Vault cannot be reached.
            IntegrityError: The journal is damaged.
        """
        if isinstance(name, VersionName):
            artifact, version = self._repository.version(name)
            versions: Sequence[Committed] = [version]
        else:
            artifact = self._repository.artifact(name)
            versions = artifact.history.stored_versions()
        totals = _Totals(sum(version.size_bytes for version in versions))
        for version in versions:
            yield from self._verify_version(artifact, version, totals)
        yield VerifyReport(
            totals.version_count,
            totals.file_count,
            totals.verified_bytes,
            totals.damaged_count,
        )

    def _verify_version(
        self, artifact: Artifact, version: Committed, totals: _Totals
    ) -> Iterator[VerifyFinding | VerifyProgress]:
        totals.version_count += 1
        digester = VersionDigester()
        manifests, scope = self._repository.manifests, artifact.scope
        damaged_before = totals.damaged_count
        try:
            manifest = manifests.load_stored(scope, artifact.journal.artifact, version)
            for page in manifests.pages(scope, manifest, stored=True):
                for entry in manifests.page_stored(scope, page):
                    digester.add(entry.path, entry.size_bytes, entry.digest)
                    yield from self._verify_file(artifact, version, entry, totals)
        except IntegrityError as error:
            totals.damaged_count += 1
            yield _finding(artifact, version, "", error)
            return
        whole = totals.damaged_count == damaged_before
        if whole and digester.digest() != version.digest:
            totals.damaged_count += 1
            mismatch = IntegrityError(
                "the files do not add up to the version's digest",
                reason=Reason.DIGEST_MISMATCH,
            )
            yield _finding(artifact, version, "", mismatch)

    def _verify_file(
        self, artifact: Artifact, version: Committed, entry: FileEntry, totals: _Totals
    ) -> Iterator[VerifyFinding | VerifyProgress]:
        totals.file_count += 1
        try:
            yield from self._read_back(artifact.scope, entry, totals)
        except IntegrityError as error:
            totals.damaged_count += 1
            yield _finding(artifact, version, entry.path, error)
            return
        refs = artifact.history.refs_at(version.version)
        yield VerifyFinding(version.version, entry.path, ok=True, reason="",
                            message="", refs=refs)  # fmt: skip

    def _read_back(
        self, scope: Scope, entry: FileEntry, totals: _Totals
    ) -> Iterator[VerifyProgress]:
        hasher = hashlib.sha256()
        for ref in entry.chunks:
            hasher.update(self._repository.chunks.read(scope, ref, deep=True))
            totals.verified_bytes += ref.plain_bytes
            yield from totals.progress()
        if format_digest(hasher.digest()) != entry.digest:
            raise IntegrityError(
                "the file's bytes do not have its digest",
                reason=Reason.DIGEST_MISMATCH,
            )


def _finding(
    artifact: Artifact, version: Committed, path: str, error: IntegrityError
) -> VerifyFinding:
    return VerifyFinding(
        version.version,
        path,
        ok=False,
        reason=error.reason.value,
        message=error.message,
        refs=artifact.history.refs_at(version.version),
    )
