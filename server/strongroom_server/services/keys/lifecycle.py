# SPDX-License-Identifier: Apache-2.0
"""What is done with keys: list, rotate, wrap again, retire old versions, new epochs."""

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Final, TypeVar

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.scope import MAX_EPOCH
from strongroom_server.ports import KeyAdmin, KeyService
from strongroom_server.repository.key_slots import StoredSlot
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository
from strongroom_server.services.keys.inventory import (
    Inventory,
    KeyEntry,
    SlotState,
    epochs_of,
    prove,
    told_domain,
)
from strongroom_server.services.keys.reports import (
    MAX_NOTES,
    KeyProgress,
    RetireReport,
    RewrapReport,
    RotateReport,
)
from strongroom_server.services.keys.rewrapping import DomainRewrap, Outcome

#: Domains worked on at once, of a server's worker threads.
AHEAD: Final = 8

Result = TypeVar("Result")


class KeyLife:
    """Looks after the keys of a store. Safe to use from many threads.

    Without `admin` a server lists and wraps again, and changes no KEK.
    """

    def __init__(
        self,
        repository: Repository,
        key_service: KeyService,
        admin: KeyAdmin | None = None,
    ) -> None:
        self._repository = repository
        self._key_service = key_service
        self._admin = admin
        self._inventory = Inventory(repository, key_service)

    def entries(self, project: ProjectName | None) -> Iterator[KeyEntry]:
        """Yield every domain and epoch: of the store, or of one project.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
            UnavailableError: S3 or Vault cannot be reached.
        """
        for _, found in self._each(project, self._inventory.look):
            yield from found

    def projects(self) -> dict[bytes, Project]:
        """Return the projects by id, as far as their records can be read."""
        projects = self._repository.projects
        return {item.scope.project: item for item in projects.readable()}

    def owners(self, project: Project) -> dict[bytes, ArtifactName]:
        """Return which artifacts have a key domain to themselves, by its id.

        Of those whose journal can be read.
        """
        repository, found = self._repository, dict[bytes, ArtifactName]()
        for journal in repository.journals.artifacts(project.scope.project):
            with contextlib.suppress(IntegrityError, PreconditionError):
                if repository.journals.domain_of(journal) == project.scope.domain:
                    continue
                artifact = repository.artifact_in(project, journal)
                if artifact is not None and artifact.exclusive:
                    found[artifact.scope.domain] = artifact.name
        return found

    def rewrap(
        self, project: ProjectName | None
    ) -> Iterator[KeyProgress | RewrapReport]:
        """Wrap every slot again that an old version of its KEK wraps, then prove it.

        Run again after a crash, it goes on where it was.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
            UnavailableError: S3 or Vault failed; what is done stays done.
        """
        clock = self._repository.clock
        total = self._count(project)
        started_s, done = clock.monotonic(), 0
        outcomes: Counter[Outcome] = Counter()
        for _, became in self._each(project, self._rewrap_domain):
            outcomes.update(became.values())
            done += len(became)
            yield KeyProgress("wrapping keys again", min(done, total), total)
        elapsed_s = clock.monotonic() - started_s
        entries: list[KeyEntry] = []
        for _, found in self._each(project, self._inventory.look):
            entries += found
            done = min(len(entries), total)
            yield KeyProgress("proving it", done, total)
        yield RewrapReport(
            rewrapped_count=outcomes[Outcome.REWRAPPED],
            current_count=outcomes[Outcome.CURRENT],
            contested_count=outcomes[Outcome.CONTESTED],
            elapsed_s=elapsed_s,
            proof=prove(entries),
        )

    def rotate(
        self, project: ProjectName | None, *, older_than_s: float
    ) -> Iterator[KeyProgress | RotateReport]:
        """Give KEKs a new version, which wraps from now on.

        Args:
            project: Whose KEK; None means all, the store's own as well.
            older_than_s: Leave out KEKs whose newest version is younger, so that a
                run that was killed goes on.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
            PreconditionError: This server may not change KEKs, or Vault refuses
                (KEK_ACCESS_DENIED).
            UnavailableError: S3 or Vault failed; what is done stays done.
        """
        admin = self._require_admin()
        before = self._repository.clock.now() - timedelta(seconds=older_than_s)
        counts: Counter[str] = Counter()

        def rotate(found: Sequence[StoredSlot]) -> str:
            usable = [item for item in self._inventory.look(found) if item.version]
            if not usable:
                return "lost"
            versions = usable[-1].versions
            made = versions and versions.create_times.get(versions.newest)
            if older_than_s and made and made > before:
                return "young"
            admin.rotate(usable[-1].kek)
            return "rotated"

        total = self._count(project)
        done = 0
        for found, became in self._each(project, rotate):
            counts[became] += 1
            done += len(epochs_of(found))
            yield KeyProgress("rotating KEKs", min(done, total), total)
        yield RotateReport(counts["rotated"], counts["young"], counts["lost"])

    def retire(
        self, project: ProjectName | None
    ) -> Iterator[KeyProgress | RetireReport]:
        """Let old versions of KEKs unwrap nothing any more, where no slot needs them.

        A KEK is left alone if a slot of it is on an old version or does not open.

        Raises:
            NotFoundError: There is no such project (PROJECT_NOT_FOUND).
            PreconditionError: This server may not change KEKs, or Vault refuses
                (KEK_ACCESS_DENIED).
            UnavailableError: S3 or Vault failed; what is done stays done.
        """
        admin = self._require_admin()
        counts: Counter[str] = Counter()
        notes: list[str] = []

        def retire(found: Sequence[StoredSlot]) -> tuple[str, str]:
            entries = self._inventory.look(found)
            kept = [item for item in entries if item.state is not SlotState.LOST]
            if not kept:
                return "lost", ""
            behind = [item for item in kept if item.state is not SlotState.CURRENT]
            if behind:
                problem = f"{told_domain(behind[0])}: the slot is {behind[0].state}"
                return "held", problem
            oldest = min(item.version for item in kept)
            changed = admin.retire(kept[0].kek, oldest=oldest)
            return ("retired" if changed else "done"), ""

        total = self._count(project)
        done = 0
        for found, (became, note) in self._each(project, retire):
            counts[became] += 1
            notes += [note] if note and len(notes) < MAX_NOTES else []
            done += len(epochs_of(found))
            yield KeyProgress("retiring old versions", min(done, total), total)
        yield RetireReport(
            counts["retired"], counts["done"], counts["held"], counts["lost"],
            tuple(notes),
        )  # fmt: skip

    def start_epoch(self, name: ProjectName | ArtifactName, *, after: int) -> int:
        """Give a key domain a new master key; return the newest epoch.

        What is stored from now on is encrypted under it: here at once, by other
        servers once their keyring's cache has forgotten what it knew.

        Args:
            name: Whose domain: a project's, or that of an artifact that has one to
                itself.
            after: The epoch that is the newest now; if there is a newer one,
                nothing is changed, so that the call may be repeated.

        Raises:
            InvalidArgumentError: `after` is no epoch.
            NotFoundError: There is no such project or artifact (PROJECT_NOT_FOUND,
                ARTIFACT_NOT_FOUND).
            PreconditionError: The artifact shares its project's domain
                (DOMAIN_SHARED).
        """
        if not 0 <= after <= MAX_EPOCH:
            message = f"{after} is no epoch"
            raise InvalidArgumentError(message, field="after_epoch")
        keyring = self._repository.keyring
        if isinstance(name, ProjectName):
            scope = self._repository.projects.get(name).scope
        else:
            artifact = self._repository.artifact(name)
            scope = artifact.scope
            if not artifact.exclusive:
                raise PreconditionError(
                    f"{name.short} shares the key domain of its project",
                    reason=Reason.DOMAIN_SHARED,
                    hint=f"strongroom keys epoch {name.project}, for all of it",
                    artifact=name.short,
                )
        return keyring.start_epoch(scope, after=after).scope.epoch

    def _rewrap_domain(self, found: Sequence[StoredSlot]) -> dict[int, Outcome]:
        return DomainRewrap(self._inventory, self._key_service, found).run()

    def _count(self, project: ProjectName | None) -> int:
        return sum(len(epochs_of(found)) for found in self._inventory.domains(project))

    def _each(
        self,
        project: ProjectName | None,
        work: Callable[[Sequence[StoredSlot]], Result],
    ) -> Iterator[tuple[Sequence[StoredSlot], Result]]:
        """Do something with each domain, some at once; yield what came of it."""
        executor = self._repository.executor
        ahead: deque[tuple[Sequence[StoredSlot], Future[Result]]] = deque()
        try:
            for found in self._inventory.domains(project):
                if len(ahead) == AHEAD:
                    yield ahead[0][0], ahead[0][1].result()
                    ahead.popleft()
                ahead.append((found, executor.submit(work, found)))
            while ahead:
                yield ahead[0][0], ahead[0][1].result()
                ahead.popleft()
        finally:
            for _, future in ahead:
                future.cancel()

    def _require_admin(self) -> KeyAdmin:
        if self._admin is None:
            raise PreconditionError(
                "this server holds no credential that may change KEKs",
                reason=Reason.KEK_ACCESS_DENIED,
                hint="Set vault.key_admin_role_id_file and key_admin_secret_id_file "
                "in the settings of one server.",
            )
        return self._admin
