# SPDX-License-Identifier: Apache-2.0
"""Verifying a store, a project or an artifact: what is damaged, and what that hits.

Without keys, objects are held against their own names, digests and signatures. With
keys, every version is read back. Damage is a finding, never the end of the run; a
run that is cut off goes on from its token.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.policy import MAX_DAYS
from strongroom_server.core.scope import format_id
from strongroom_server.core.stored_objects import MANIFESTS, PACKS
from strongroom_server.core.verify_records import (
    StoreFinding,
    StoreProgress,
    StoreReport,
)
from strongroom_server.core.verify_token import VerifyToken, format_token, parse_token
from strongroom_server.ports import BlobCopy
from strongroom_server.repository.copies import Copies
from strongroom_server.repository.domains import known_scopes
from strongroom_server.repository.repository import Repository
from strongroom_server.services.store_verification.chains import Chains
from strongroom_server.services.store_verification.object_checks import ObjectChecks
from strongroom_server.services.store_verification.object_stages import (
    ObjectStages,
    Stage,
)
from strongroom_server.services.store_verification.pace import Pace
from strongroom_server.services.store_verification.version_stage import VersionStage

Scope = ProjectName | ArtifactName | None
Item = StoreFinding | StoreProgress | StoreReport

_RECORDS: Final = ("keys/", "projects/", "strongroom.json")
_OTHERS: Final = (
    *("drills/", "index/", "relocations/", "repairs/"),
    *(layout.SHREDS, layout.SWEEP, layout.UPLOADS),
)


class StoreVerification:
    """Reads back what is stored, says what is damaged, and mends it from copies."""

    def __init__(self, repository: Repository, copies: Sequence[BlobCopy] = ()) -> None:
        self._repository = repository
        self._copies = Copies(copies, store=repository.keyring.store)

    def verify(
        self,
        scope: Scope,
        *,
        without_keys: bool = False,
        resume_token: str = "",
        max_bytes_per_second: int = 0,
        repair: bool = False,
        committed_within_days: int = 0,
    ) -> Iterator[Item]:
        """Verify; findings and progress come as they are made, last the report.

        Args:
            scope: A project or artifact; None is the whole store.
            without_keys: Whether to open no domain key; of the whole store only,
                since names are keyed.
            resume_token: Where an earlier run stopped; see `StoreProgress`.
            max_bytes_per_second: How fast to read; 0 means as fast as possible.
            repair: Whether to mend what is damaged from the server's copies.
            committed_within_days: Leave out versions that are older; 0 means none.

        Raises:
            NotFoundError: The project or artifact does not exist.
            InvalidArgumentError: The arguments do not fit together, or the token
                belongs to something else.
            PreconditionError: There is no copy, or one of another store
                (COPY_UNSUITABLE).
            UnavailableError: S3, Vault or a copy cannot be reached.
        """
        _check(
            scope,
            without_keys=without_keys,
            rate=max_bytes_per_second,
            days=committed_within_days,
        )
        if repair:
            self._copies.require()
        store, name = self._repository.keyring.store.hex(), _name_of(scope)
        token = parse_token(resume_token, VerifyToken(store, name, without_keys))
        pace = Pace(self._repository.clock, max_bytes_per_second=max_bytes_per_second)
        pace.token = format_token(token)
        copies = self._copies if repair else None
        checks = ObjectChecks(self._repository, copies, with_keys=not without_keys)
        chains = Chains(self._repository, checks, copies)
        objects = ObjectStages(self._repository, checks, chains, pace, token)
        if without_keys:
            return _keyless(objects)
        versions = VersionStage(
            self._repository,
            checks,
            pace,
            token,
            scope=scope,
            since=self._days_ago(committed_within_days),
            told=objects.damaged_journals,
        )
        return self._keyed(self._stages(scope), objects, versions)

    def _days_ago(self, days: int) -> datetime | None:
        now = self._repository.clock.now()
        return now - timedelta(days=days) if days else None

    def _keyed(
        self,
        stages: tuple[Stage, Stage, Stage],
        objects: ObjectStages,
        versions: VersionStage,
    ) -> Iterator[Item]:
        records, journals, others = stages
        yield from objects.run(records)
        yield from objects.run(journals)
        try:
            yield from versions.run(2)
        finally:
            versions.close()
        objects.fence = versions.fence
        yield from objects.run(others)
        yield from versions.count_unreferenced()
        yield StoreReport(
            versions.artifact_count,
            versions.version_count,
            objects.pace.object_count,
            objects.pace.verified_bytes,
            objects.damaged_count + versions.damaged_count,
            objects.repaired_count + versions.repaired_count,
            versions.unreferenced_count,
            versions.unreferenced_bytes,
        )

    def _stages(self, scope: Scope) -> tuple[Stage, Stage, Stage]:
        """Return what is checked object by object: before, and behind, versions."""
        records: tuple[str, ...] = _RECORDS
        journals: tuple[str, ...] = (layout.JOURNALS,)
        others: tuple[str, ...] = _OTHERS
        if scope is not None:
            name = ProjectName(scope.project)
            project = self._repository.projects.get(name)
            domains = sorted(
                item.domain for item in known_scopes(self._repository, project)
            )
            slots = [f"{layout.KEYS}{format_id(domain)}/" for domain in domains]
            records = (*slots, layout.project_key(project.scope.project))
            journals = (layout.project_journals_prefix(project.scope.project),)
            prefixes = (
                layout.index_prefix,
                layout.repair_prefix,
                layout.uploads_prefix,
            )
            others = tuple(lies(domain) for lies in prefixes for domain in domains)
            if isinstance(scope, ArtifactName):
                # It must exist; if its journal is damaged, that is a finding.
                own = project.scope.domain
                with contextlib.suppress(IntegrityError):
                    own = self._repository.artifact(scope).scope.domain
                slots = [layout.slots_prefix(item) for item in domains if item == own]
                records = (*slots, layout.project_key(project.scope.project))
                journal = self._repository.projects.journal_of(project, scope)
                journals = (layout.journal_prefix(journal.project, journal.artifact),)
                others = ()
        return (
            Stage(0, "records and key slots", records),
            Stage(1, "journals", journals),
            Stage(3, "index segments, uploads and repairs", others),
        )


def _keyless(objects: ObjectStages) -> Iterator[Item]:
    stages = (
        Stage(0, "records and key slots", _RECORDS),
        Stage(1, "journals", (layout.JOURNALS,)),
        Stage(2, "manifests", (MANIFESTS,)),
        Stage(3, "packs", (PACKS,)),
        Stage(4, "index segments, uploads and repairs", _OTHERS),
    )
    yield from objects.measure(stages)
    for stage in stages:
        yield from objects.run(stage)
    yield StoreReport(
        objects.journal_count,
        objects.manifest_count,
        objects.pace.object_count,
        objects.pace.verified_bytes,
        objects.damaged_count,
        objects.repaired_count,
        mended_count=objects.mended_count,
    )


def _name_of(scope: Scope) -> str:
    match scope:
        case None:
            return ""
        case ProjectName(project=project):
            return project
        case ArtifactName():
            return scope.short


def _check(scope: Scope, *, without_keys: bool, rate: int, days: int) -> None:
    problem = ""
    if without_keys and scope is not None:
        problem = (
            "without keys only the whole store can be verified: names in it are keyed"
        )
    elif without_keys and days:
        problem = "without keys nobody can tell when a version was committed"
    elif rate < 0:
        problem = "max_bytes_per_second is not negative"
    elif not 0 <= days <= MAX_DAYS:
        problem = f"committed_within_days is between 0 and {MAX_DAYS}"
    if problem:
        raise InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
