# SPDX-License-Identifier: Apache-2.0
"""Records of projects that the store has lost, taken over from earlier backups.

Without its record nobody knows a project's name, nor what its journals belong to: a
server that does not remember it would end its backup there, or leave it out.
"""

from dataclasses import dataclass

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import layout
from strongroom_server.core.scope import parse_id
from strongroom_server.core.sealing import ObjectKind, object_error
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository
from strongroom_server.services.backups.bases import Bases


@dataclass(frozen=True, slots=True)
class LostProjects:
    """What was taken over.

    Attributes:
        keys: Of the records that the store has no more, or not whole.
        unlisted: The projects of those that are not there at all.
        notes: Which are left out, and why.
    """

    keys: frozenset[str] = frozenset()
    unlisted: tuple[Project, ...] = ()
    notes: tuple[str, ...] = ()


def take_over_projects(repository: Repository, bases: Bases) -> LostProjects:
    """Remember the projects whose records only an earlier backup has.

    Those of the dead are left alone, and so is what no project can have as its key.
    What nothing is left of, no journal and no key, is left out: with its record, and
    without its keys, no store that is restored could list its projects.

    Raises:
        IntegrityError: A record is damaged, and no earlier backup has it whole.
        PreconditionError: One is of a newer release (FORMAT_UNSUPPORTED).
        UnavailableError: The store or the backup bucket cannot be reached.
    """
    lost, listed = set[str](), set[str]()
    for item in repository.projects.stored():
        listed.add(item.key)
        if _id(item.key) and not _is_whole(repository, bases, item):
            lost.add(item.key)
    unlisted, notes = list[Project](), list[str]()
    for key in sorted(bases.rows.keys() - listed):
        if not key.startswith(layout.PROJECTS) or not _is_living(repository, key):
            continue
        project = _take_over_unlisted(repository, bases, key)
        if project is not None:
            lost.add(key)
            unlisted.append(project)
        elif _is_living(repository, key):
            notes.append(
                f"{key} is left out: only earlier backups have it, the store has no "
                "journal of that project, and it cannot be opened"
            )
    return LostProjects(frozenset(lost), tuple(unlisted), tuple(notes))


def _is_whole(repository: Repository, bases: Bases, item: BlobVersion) -> bool:
    """Return whether a record is whole; one that is not is taken over.

    It is read each time: what is remembered of it says nothing of what lies there.
    """
    if is_dead_project(repository, item.key):
        return True  # Whatever it says, nobody needs it.
    try:
        repository.projects.read(item)
    except (IntegrityError, PreconditionError) as error:
        if error.reason is Reason.KEY_SHREDDED:
            return True
        if _take_over(repository, bases, item.key) is None:
            raise _naming(item.key, error) from error
        return False
    return True


def _naming(
    key: str, error: IntegrityError | PreconditionError
) -> IntegrityError | PreconditionError:
    """Return the same error, which says of which object it is."""
    return type(error)(
        f"{key}: {error.message}",
        reason=error.reason,
        hint=error.hint,
        **{**error.metadata, "key": key},
    )


def _take_over_unlisted(
    repository: Repository, bases: Bases, key: str
) -> Project | None:
    """Return a project that has no record; None if nothing is left of it."""
    try:
        project = _take_over(repository, bases, key)
        if project is None and _has_journals(repository, key):
            raise object_error(ObjectKind.PROJECT)
    except (IntegrityError, PreconditionError) as error:
        if error.reason is Reason.KEY_SHREDDED:
            return None
        may_open = error.reason in {Reason.FORMAT_UNSUPPORTED, Reason.KEK_ACCESS_DENIED}
        if not may_open and not _has_journals(repository, key):
            return None
        raise _naming(key, error) from error
    return project


def _has_journals(repository: Repository, key: str) -> bool:
    """Return whether anything is left of a project that has no record."""
    return bool(repository.journals.artifacts(_id(key)))


def _is_living(repository: Repository, key: str) -> bool:
    """Return whether a key is one of a project's record that was not shredded."""
    return bool(_id(key)) and not is_dead_project(repository, key)


def _take_over(repository: Repository, bases: Bases, key: str) -> Project | None:
    data = bases.find(key)
    return None if data is None else repository.projects.take_over(key, data)


def is_dead_project(repository: Repository, key: str) -> bool:
    """Return whether a record is that of a project that was shredded."""
    project = _id(key) if key.startswith(layout.PROJECTS) else b""
    return bool(project) and repository.keyring.graves.of_project(project) is not None


def _id(key: str) -> bytes:
    """Return the id of a project by the key of its record; b"" if it is none."""
    try:
        return parse_id(key.removeprefix(layout.PROJECTS))
    except ValueError:
        return b""
