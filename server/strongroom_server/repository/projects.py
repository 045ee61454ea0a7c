# SPDX-License-Identifier: Apache-2.0
"""Projects: one encrypted record each, named by the keyed hash of the name."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.records import Caller, ProjectRecord
from strongroom_server.core.scope import ID_BYTES, Scope, format_id, parse_id
from strongroom_server.core.sealing import (
    ObjectKind,
    object_error,
    open_object,
    parse_object_header,
    seal_object,
)
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Clock,
    Entropy,
)
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.object_copies import first_whole

FORMAT: Final = 1
_MAX_BYTES: Final = 64 * 1024
_FIELDS: Final = frozenset({"format", "project", "domain", "time", "actor",
                            "request_id", "trace_id", "audit_id"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Project:
    """A project that exists: its name, its own key domain, when it was made."""

    name: ProjectName
    scope: Scope
    create_time: datetime
    request_id: str

    @property
    def record(self) -> ProjectRecord:
        """The project as callers see it."""
        return ProjectRecord(self.name, format_id(self.scope.project), self.create_time)


class Projects:
    """Makes and finds projects, and names what is theirs. Thread-safe."""

    def __init__(
        self, *, blobs: BlobStore, keyring: Keyring, clock: Clock, entropy: Entropy
    ) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        # Records are written once, so what was read once stays true.
        self._known: dict[bytes, Project] = {}

    def create(self, name: ProjectName, caller: Caller, request_id: str) -> Project:
        """Make a project with a key domain of its own.

        Raises:
            AlreadyExistsError: Another request made it (PROJECT_EXISTS).
            PreconditionError: One of this name was shredded (KEY_SHREDDED).
        """
        project = self._project_id(name)
        self._keyring.graves.check_project(project)
        scope = Scope(
            self._keyring.store, project, self._entropy.token_bytes(ID_BYTES), 0
        )
        existing = self._load_if_there(project)
        if existing is None:
            existing = self._write(name, scope, caller, request_id)
        if existing.request_id != request_id:
            raise AlreadyExistsError(
                f"project {name.project} exists",
                reason=Reason.PROJECT_EXISTS,
                project=name.project,
            )
        return existing

    def get(self, name: ProjectName) -> Project:
        """Return a project.

        Raises:
            NotFoundError: It does not exist (PROJECT_NOT_FOUND).
            PreconditionError: It was shredded (KEY_SHREDDED).
        """
        project_id = self._project_id(name)
        self._keyring.graves.check_project(project_id)
        project = self._load_if_there(project_id)
        if project is None:
            raise NotFoundError(
                f"project {name.project} does not exist",
                reason=Reason.PROJECT_NOT_FOUND,
                hint=f"Create it with `strongroom project create {name.project}`.",
                project=name.project,
            )
        return project

    def id_of(self, name: ProjectName) -> bytes:
        """Return the keyed id of a name, whether there is such a project or not."""
        return self._project_id(name)

    def forget(self, project: bytes) -> None:
        """Forget what is known of a project."""
        with self._lock:
            self._known.pop(project, None)

    def take_over(self, key: str, data: bytes) -> Project:
        """Remember a project by its record as somebody else has it.

        Raises:
            IntegrityError: It is not the record of this key, or no key opens it.
            PreconditionError: It was shredded (KEY_SHREDDED).
        """
        project = self._open(key, data)
        with self._lock:
            self._known[project.scope.project] = project
        return project

    def all(self) -> Iterator[Project]:
        """Yield every project that was not shredded, in order of id.

        What lies under a key that no project can have is passed over.
        """
        with self._lock:
            known = {
                layout.project_key(item): self._known[item] for item in self._known
            }
        for item in self._blobs.first_versions(layout.PROJECTS):
            if not _is_id(item.key):
                continue
            project = known.get(item.key)
            try:
                project = self.read(item) if project is None else project
                self._keyring.graves.check(project.scope)
            except PreconditionError as error:
                if error.reason is not Reason.KEY_SHREDDED:
                    raise
                continue
            except IntegrityError:
                if not self._is_dead(item.key):
                    raise
                continue
            yield project

    def readable(self) -> Iterator[Project]:
        """Yield every project whose record and keys are whole, in order of id."""
        for item in self.stored():
            try:
                yield self.load(item)
            except (IntegrityError, PreconditionError):
                continue  # Shredded or damaged; verification tells which.

    def stored(self) -> Iterator[BlobVersion]:
        """Yield every project's record as it is stored, in order of id."""
        return self._blobs.first_versions(layout.PROJECTS)

    def load(self, item: BlobVersion) -> Project:
        """Return the project of a stored record, read from S3 once at most.

        Raises:
            IntegrityError: The record, or the key slot, is damaged.
        """
        with self._lock:
            known = [self._known[project] for project in self._known]
        for project in known:
            if layout.project_key(project.scope.project) == item.key:
                return project
        return self.read(item)

    def read(self, item: BlobVersion) -> Project:
        """Return the project of a stored record, read from S3 now.

        Raises:
            IntegrityError: The record, or the key slot, is damaged.
            PreconditionError: It was shredded (KEY_SHREDDED), or its format is newer
                than this release (FORMAT_UNSUPPORTED).
        """
        try:
            data = self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=_MAX_BYTES
            )
        except BlobNotFoundError as error:
            raise object_error(ObjectKind.PROJECT) from error
        project = first_whole(
            self._blobs,
            item.key,
            data,
            lambda found: self._open(item.key, found),
            max_bytes=_MAX_BYTES,
        )
        with self._lock:
            self._known[project.scope.project] = project
        return project

    def journal_of(self, project: Project, artifact: ArtifactName) -> JournalId:
        """Return which journal an artifact of this name has, or would have."""
        keys = self._keyring.open(project.scope)
        return JournalId(
            project.scope.project, keys.name_id("artifact", artifact.artifact)
        )

    def _is_dead(self, key: str) -> bool:
        """Return whether a record is of a project that was shredded."""
        project = parse_id(key.removeprefix(layout.PROJECTS))
        return self._keyring.graves.of_project(project) is not None

    def _project_id(self, name: ProjectName) -> bytes:
        return self._keyring.open_store_domain().name_id("project", name.project)

    def _write(
        self, name: ProjectName, scope: Scope, caller: Caller, request_id: str
    ) -> Project:
        keys = self._keyring.create(scope)
        body = {
            "format": FORMAT,
            "project": name.project,
            "domain": format_id(scope.domain),
            "time": self._clock.now()
            .astimezone(UTC)
            .isoformat(timespec="microseconds"),
            "actor": caller.principal,
            "request_id": request_id,
            "trace_id": caller.trace_id,
            "audit_id": caller.audit_id,
        }
        key = layout.project_key(scope.project)
        data = seal_object(
            keys, ObjectKind.PROJECT, key, body, salt=self._keyring.salt()
        )
        # Another server was first; its record is read back below.
        with contextlib.suppress(BlobExistsError):
            self._blobs.put_new(key, data)
        project = self._load_if_there(scope.project)
        if project is None:
            raise object_error(ObjectKind.PROJECT)
        return project

    def _load_if_there(self, project: bytes) -> Project | None:
        with self._lock:
            known = self._known.get(project)
        if known is not None:
            return known
        found = self._find(project)
        if found is None and self._has_journals(project):
            # Made since the first look, or artifacts without their project: then
            # it existed, and its record is gone.
            found = self._find(project)
            if found is None:
                raise object_error(ObjectKind.PROJECT)
        return None if found is None else self.read(found)

    def _find(self, project: bytes) -> BlobVersion | None:
        key = layout.project_key(project)
        found = self._blobs.first_versions(key)
        return next((item for item in found if item.key == key), None)

    def _has_journals(self, project: bytes) -> bool:
        journals = self._blobs.first_versions(layout.project_journals_prefix(project))
        return next(journals, None) is not None

    def _open(self, key: str, data: bytes) -> Project:
        header = parse_object_header(data, self._keyring.store, ObjectKind.PROJECT)
        if key != layout.project_key(header.scope.project):
            raise object_error(ObjectKind.PROJECT)
        keys = self._keyring.open(header.scope)
        body = open_object(keys, ObjectKind.PROJECT, key, data, max_bytes=_MAX_BYTES)
        project = _parse(body, header.scope)
        if self._project_id(project.name) != header.scope.project:
            raise object_error(ObjectKind.PROJECT)
        return project


def _is_id(key: str) -> bool:
    """Return whether a project's record may lie under a key."""
    try:
        parse_id(key.removeprefix(layout.PROJECTS))
    except ValueError:
        return False
    return True


def _parse(body: dict[str, Any], scope: Scope) -> Project:
    try:
        if (
            set(body) != _FIELDS
            or body["format"] != FORMAT
            or body["domain"] != format_id(scope.domain)
        ):
            raise object_error(ObjectKind.PROJECT)
        time = datetime.fromisoformat(body["time"]).astimezone(UTC)
        return Project(ProjectName(body["project"]), scope, time, body["request_id"])
    except (ValueError, TypeError) as error:
        raise object_error(ObjectKind.PROJECT) from error
