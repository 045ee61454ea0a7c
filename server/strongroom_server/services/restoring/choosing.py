# SPDX-License-Identifier: Apache-2.0
"""What of a backup is restored: its versions, or the stored objects that they need."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import ProjectName
from strongroom_server.core import layout
from strongroom_server.core.backup_root import head_of
from strongroom_server.core.history import Committed
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.restore_records import Selection
from strongroom_server.core.selectors import resolve
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.domains import Domain, domains_of
from strongroom_server.repository.marking import Marker
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Artifact

_ANOTHER: Final = (
    "Another backup may have it: `strongroom backup ls`; without a server, or to see "
    "what is in one, `strongroom-server restore --list`, and with --backup N."
)
#: Told what could not be read, and why.
Damage = Callable[[str, StrongroomError], None]


@dataclass(frozen=True, slots=True)
class ChosenVersion:
    """A version whose content the backup holds."""

    artifact: Artifact
    version: Committed

    @property
    def told(self) -> str:
        """What people call it."""
        return f"{self.artifact.name.short}@{self.version.version}"


def chosen_versions(
    engine: BackupEngine, selection: Selection, damage: Damage
) -> Iterator[ChosenVersion]:
    """Yield the versions that can be read, by project and artifact, oldest first.

    Args:
        engine: The backup.
        selection: What is wanted of it.
        damage: Told what is left out, where not everything hangs on it.

    Raises:
        NotFoundError: The backup has no such thing.
        IntegrityError: What was asked for by name is damaged.
    """
    for artifact in _artifacts(engine, selection, damage):
        journal = artifact.journal
        heads = engine.saved.root.journals
        head = head_of(heads, journal.project, journal.artifact)
        if selection.version:
            with _in_backup(engine):
                version = resolve(artifact.history, selection.version)
            if head is None or not head.holds(version.version):
                raise _not_in_backup(engine, f"{artifact.name.short}@{version.version}")
            yield ChosenVersion(artifact, version)
            continue
        for version in artifact.history.live_versions():
            if head is not None and head.holds(version.version):
                yield ChosenVersion(artifact, version)


def chosen_rows(
    engine: BackupEngine, selection: Selection, damage: Damage
) -> Callable[[StoredObject], bool]:
    """Return what tells which objects of a backup are restored into a store.

    All of them, or what some project or artifact needs. Then index segments are left
    out, since they lead to packs of others: the index can be built anew.

    Raises:
        NotFoundError: The backup has no such project or artifact.
        IntegrityError: The project's own records are damaged.
    """
    if selection.is_all:
        return lambda _row: True
    repository = engine.repository
    with _in_backup(engine):
        project = repository.projects.get(ProjectName(selection.project))
    domains = domains_of(repository, project)
    prefixes = _shared_prefixes(engine, project)
    if selection.artifact_name is not None:
        with _in_backup(engine):
            artifact = repository.artifact(selection.artifact_name)
        journal = artifact.journal
        prefixes.append(layout.journal_prefix(journal.project, journal.artifact))
        own = artifact.scope.domain
        domains = [item for item in domains if item.scope.domain == own]
    else:
        prefixes.append(layout.project_journals_prefix(project.scope.project))
    marker = Marker(repository)
    for domain in domains:
        prefixes.append(layout.slots_prefix(domain.scope.domain))
        prefixes.append(layout.repair_prefix(domain.scope.domain))
        _mark(engine, marker, domain, selection, damage)
    found = tuple(prefixes)

    def is_chosen(row: StoredObject) -> bool:
        return _is_needed(row.key, found, marker)

    return is_chosen


def _is_needed(key: str, prefixes: tuple[str, ...], marker: Marker) -> bool:
    if key.startswith(layout.REPAIRED_OBJECTS):
        key = layout.copied_key(key)
    if key.startswith(layout.MENDED):
        pack = key.removeprefix(layout.MENDED).partition("/")[0]
        key = layout.pack_key(pack)
    if layout.is_named_by_digest(key):
        return marker.marks.needs(key)
    return key.startswith(prefixes)


def _shared_prefixes(engine: BackupEngine, project: Project) -> list[str]:
    """Return what any part of a store needs to be one."""
    keyring = engine.repository.keyring
    return [
        layout.STORE,
        layout.SWEEP,
        layout.SHREDS,
        layout.slots_prefix(keyring.open_store_domain().scope.domain),
        layout.slots_prefix(project.scope.domain),
        layout.project_key(project.scope.project),
    ]


def _mark(
    engine: BackupEngine,
    marker: Marker,
    domain: Domain,
    selection: Selection,
    damage: Damage,
) -> None:
    try:
        _mark_versions(marker, domain, selection, damage)
        marker.mark_replacements(domain)
    except PreconditionError as error:
        damage(domain.told, error)
    engine.repository.manifests.forget()


def _mark_versions(
    marker: Marker, domain: Domain, selection: Selection, damage: Damage
) -> None:
    for state in marker.histories(domain):
        name = state.history.created.name
        if selection.artifact_name not in {None, name}:
            continue
        for version in state.history.stored_versions():
            try:
                for _ in marker.mark_version(domain, state, version):
                    pass
            except IntegrityError as error:
                damage(f"{name.short}@{version.version}", error)


def _artifacts(
    engine: BackupEngine, selection: Selection, damage: Damage
) -> Iterator[Artifact]:
    repository = engine.repository
    if selection.artifact_name is not None:
        with _in_backup(engine):
            artifact = repository.artifact(selection.artifact_name)
        yield artifact
        return
    if selection.project:
        with _in_backup(engine):
            project = repository.projects.get(ProjectName(selection.project))
        yield from _artifacts_of(engine, project, damage)
        return
    for item in repository.projects.stored():
        try:
            project = repository.projects.load(item)
            repository.keyring.graves.check(project.scope)
        except (IntegrityError, PreconditionError) as error:
            # One project's KEK may be gone, and the others' are not.
            if error.reason is not Reason.KEY_SHREDDED:
                damage(item.key, error)
            continue
        yield from _artifacts_of(engine, project, damage)


def _artifacts_of(
    engine: BackupEngine, project: Project, damage: Damage
) -> Iterator[Artifact]:
    repository = engine.repository
    for journal in repository.journals.artifacts(project.scope.project):
        try:
            artifact = repository.artifact_in(project, journal)
        except (IntegrityError, PreconditionError) as error:
            # As above, of an artifact that has a key domain to itself.
            if error.reason is not Reason.KEY_SHREDDED:
                damage(layout.journal_prefix(journal.project, journal.artifact), error)
            continue
        if artifact is not None:
            yield artifact


@contextmanager
def _in_backup(engine: BackupEngine) -> Iterator[None]:
    """Say of what is not found that it is the backup that does not have it."""
    try:
        yield
    except NotFoundError as error:
        raise NotFoundError(
            f"in backup {engine.saved.number}: {error.message}",
            reason=error.reason,
            hint=_ANOTHER,
            backup=engine.saved.number,
        ) from error


def _not_in_backup(engine: BackupEngine, name: str) -> NotFoundError:
    return NotFoundError(
        f"backup {engine.saved.number} does not hold the content of {name}",
        reason=Reason.VERSION_NOT_FOUND,
        hint=_ANOTHER,
    )
