# SPDX-License-Identifier: Apache-2.0
"""Explaining one stored object: what needs it, or what a sweep does with it.

It looks at what a sweep would look at, and no further: at the object's own key
domain, or at all of them if it cannot be told whose it is. What needs the object is
told as it is found; of file tables only marks are kept, and not too many.
"""

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import VersionName
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.history import Committed, History
from strongroom_server.core.records import Action
from strongroom_server.core.scope import format_id
from strongroom_server.core.sweep import DomainId, pack_of
from strongroom_server.core.sweep_plan import SweepProgress
from strongroom_server.ports import BlobNotFoundError, BlobVersion
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.marking import JournalState, page_mark
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.swept_objects import owner_of, packs_of_segment
from strongroom_server.repository.upload_records import StoredUpload
from strongroom_server.services.sweeping.explanations import (
    ObjectExplanation,
    ObjectState,
    ObjectUse,
)
from strongroom_server.services.sweeping.planning import (
    SweepPlanner,
    SweepTime,
    refused_note,
)

#: What S3 allows.
MAX_KEY_BYTES: Final = 1024
#: Pages of file tables whose answer is remembered, 150 bytes each; those beyond
#: are read for each version that has them.
_MAX_PAGES: Final = 200_000
_UPLOADS: Final = "uploads/"
_DOMAIN_PART: Final = 1
_UPLOAD_PART: Final = 2
_INDEX_PARTS: Final = 3
_UPLOAD_PARTS: Final = 4
_KEPT: Final = {
    layout.STORE: "it says which store this is",
    layout.JOURNALS: "journal entries stay for ever",
    layout.KEYS: "key slots stay for ever",
    layout.PROJECTS: "records of projects stay for ever",
    layout.SWEEP: "records of sweeps stay for ever",
    layout.REPAIRS: "repairs stay for ever",
}


ExplainedPart = SweepProgress | ObjectUse | ObjectExplanation


@dataclass(slots=True)
class _Search:
    """What is looked for, and what was found out so far."""

    key: str
    item: BlobVersion | None
    time: SweepTime
    packs: frozenset[bytes] = frozenset()
    manifest: str = ""
    causes: list[str] = field(default_factory=list)
    is_certain: bool = True
    use_count: int = 0
    keeper_count: int = 0
    pages: dict[bytes, bool] = field(default_factory=dict)
    #: Which versions of the object are read, by their ids in the store.
    read: set[str] = field(default_factory=set)

    def hit(self, refs: Iterable[ChunkRef]) -> bool:
        """Return whether a chunk is read from what is looked for; note how."""
        parts = (part for ref in refs for part in (ref, ref.base) if part is not None)
        found = {
            part.pack_version
            for part in parts
            if bytes.fromhex(part.pack) in self.packs
        }
        self.read |= found
        return bool(found)

    def doubt(self, cause: str) -> None:
        """Note why it cannot be told what needs the object."""
        self.is_certain = False
        self.causes.append(cause)


class ObjectExplainer:
    """Explains objects. Safe to use from many threads."""

    def __init__(self, repository: Repository, planner: SweepPlanner) -> None:
        self._repository = repository
        self._planner = planner
        self._settings = planner.settings

    def explain(self, key: str) -> Iterator[ExplainedPart]:
        """Yield how far it has come, what needs the object, and last all in all.

        Args:
            key: The object's key below the bucket's prefix; it need not be there.

        Raises:
            InvalidArgumentError: It is no key (ARGUMENT_INVALID).
            IntegrityError: A project's record or a sweep record is damaged.
            UnavailableError: S3 or Vault failed.
        """
        _check_key(key)
        item = first_version(self._repository.blobs, key)
        if not _is_swept(key):
            yield _permanent(key, exists=item is not None)
            return
        search = _Search(key, item, SweepTime.read(self._repository))
        for project in self._projects(search):
            try:
                for part in self._look(search, project):
                    if isinstance(part, ObjectUse):
                        search.use_count += 1
                        search.keeper_count += part.keeps
                    yield part
            except (IntegrityError, PreconditionError) as error:
                search.doubt(refused_note(project, error))
        yield self._concluded(search)

    def _projects(self, search: _Search) -> list[Project]:
        """Return the projects whose versions may need the object."""
        projects = list(self._repository.projects.all())
        own, key = None, search.key
        if layout.is_named_by_digest(key):
            try:
                own = owner_of(self._repository, search.item) if search.item else None
            except (IntegrityError, PreconditionError):
                search.doubt("its header is damaged, so no sweep condemns it")
                return projects
            if own is None:
                search.causes.append("it is not there, so every project was asked")
                return projects
        else:
            name = key.split("/")[_DOMAIN_PART]
            domains = {format_id(item.scope.domain): item for item in projects}
            return [domains[name]] if name in domains else self._nobody(search, name)
        found = [item for item in projects if _domain_of(item) == own]
        return found or self._nobody(search, format_id(own.domain))

    def _nobody(self, search: _Search, domain: str) -> list[Project]:
        if self._repository.shreds.is_dead(domain):
            search.causes.append("its project was shredded")
            return []
        search.doubt("no project of this store has it, so no sweep condemns it")
        return []

    def _look(self, search: _Search, project: Project) -> Iterator[ExplainedPart]:
        """Yield what of a project needs the object."""
        if not self._aim(search, project):
            return
        stage = f"reading project {project.name.project}"
        journals, done = self._repository.journals, 0
        for journal in journals.artifacts(project.scope.project):
            past = journals.load(journal)
            for version in past.stored_versions():
                done += 1
                yield SweepProgress(stage, done, 0)
                needs = yield from self._needs(
                    search, project, JournalState(journal, past), version
                )
                if needs:
                    yield self._version_use(search, journal, past, version)
        yield from self._repairs(search, project)
        yield from self._uploads(search, project)

    def _version_use(
        self, search: _Search, journal: JournalId, past: History, version: Committed
    ) -> ObjectUse:
        number = version.version
        name = VersionName(past.created.name, str(number))
        if self._planner.was_purgeable(journal, past, number, search.time):
            over = "a version whose time in the trash is over"
            return ObjectUse(name, over, keeps=False)
        in_trash = number in past.deleted
        return ObjectUse(name, "a version in the trash" if in_trash else "a version")

    def _aim(self, search: _Search, project: Project) -> bool:
        """Find out what to look for in a project; False: there is nothing."""
        key = search.key
        if key.startswith(_UPLOADS):
            return True
        if not key.startswith(layout.INDEX):
            pack = pack_of(key)
            search.packs = frozenset({bytes.fromhex(pack)} if pack else ())
            search.manifest = "" if pack else key.rpartition("/")[2]
            return True
        if search.item is None:
            return False
        packs = packs_of_segment(self._repository, project.scope, search.item)
        search.packs = frozenset(map(bytes.fromhex, packs or ()))
        search.causes.append(
            f"an index segment stays while one of its {len(search.packs)} packs does"
        )
        return True

    def _needs(
        self,
        search: _Search,
        project: Project,
        state: JournalState,
        version: Committed,
    ) -> Generator[SweepProgress, None, bool]:
        """Return whether a version needs the object; yield as pages are read."""
        if search.manifest:
            return version.manifest == search.manifest
        if not search.packs:
            return False
        manifests, scope = self._repository.manifests, project.scope
        manifest = manifests.load(scope, state.journal.artifact, version)
        if search.hit(manifests.table_refs(scope, manifest)):
            return True
        for page in manifests.pages(scope, manifest):
            mark = page_mark(page)
            hit = search.pages.get(mark)
            if hit is None:
                entries = manifests.page(scope, page)
                hit = search.hit(ref for item in entries for ref in item.chunks)
                if len(search.pages) < _MAX_PAGES:
                    search.pages[mark] = hit
                yield SweepProgress("reading file tables", len(search.pages), 0)
            if hit:
                return True
        return False

    def _repairs(self, search: _Search, project: Project) -> Iterator[ObjectUse]:
        if not search.packs:
            return
        keys = self._repository.keyring.open(project.scope)
        packs = self._repository.repairs.packs(keys)
        if any(bytes.fromhex(pack) in search.packs for pack in packs):
            yield ObjectUse(None, "a repair, which stored damaged chunks anew in it")

    def _uploads(self, search: _Search, project: Project) -> Iterator[ObjectUse]:
        """Yield the uploads under way that keep the object."""
        if search.manifest:
            return
        keys = self._repository.keyring.open(project.scope)
        after_s = search.time.store_s - self._settings.upload_age_s
        for upload in self._repository.upload_records.live(keys):
            if not self._is_meant(search, project, upload):
                continue
            journal = JournalId(project.scope.project, upload.artifact)
            past = self._repository.journals.load(journal)
            newest_s = max(item.modified_s for item in upload.objects)
            ended = ""
            if (Action.COMMIT, "", upload.request_id) in past.requests:
                ended = "its upload was committed"
            elif newest_s < after_s:
                ended = f"its upload was last active at {_time(newest_s)}"
            if not ended:
                name = past.created.name if past.entries else None
                cause = f"an upload that was last active at {_time(newest_s)}"
                yield ObjectUse(name, cause)
            elif search.key.startswith(_UPLOADS):
                search.causes.append(ended)

    def _is_meant(
        self, search: _Search, project: Project, upload: StoredUpload
    ) -> bool:
        """Return whether the object is one of an upload's, or a pack that it needs."""
        if search.key.startswith(_UPLOADS):
            return search.key.split("/")[_UPLOAD_PART] == upload.upload
        keys = self._repository.keyring.open(project.scope)
        packs = self._repository.upload_records.packs(keys, upload)
        try:
            return any(bytes.fromhex(pack) in search.packs for pack in packs)
        except IntegrityError:
            return False  # what it sent is sent again, so it keeps nothing

    def _concluded(self, search: _Search) -> ObjectExplanation:
        item, causes = search.item, search.causes
        condemn_time = self._condemned(search)
        if condemn_time is not None:
            state = ObjectState.CONDEMNED
        elif search.keeper_count:
            state = ObjectState.NEEDED
            causes += self._missed(search)
        elif not search.is_certain:
            state = ObjectState.UNKNOWN
        else:
            state = ObjectState.UNNEEDED
            only = "only what is about to be purged needs it"
            causes.append(only if search.use_count else "nothing needs it")
            if item is not None:
                from_s = item.modified_s + self._settings.min_age_s
                young = from_s > search.time.store_s
                when = f"from {_time(from_s)} on" if young else "next"
                causes.append(f"a sweep condemns it {when}")
        return ObjectExplanation(
            item is not None, state, tuple(causes), condemn_time, search.use_count
        )

    def _missed(self, search: _Search) -> list[str]:
        """Say so if what is there came after what versions read, which is gone."""
        if search.item is None or not pack_of(search.key) or not search.read:
            return []
        for version_id in search.read:
            with contextlib.suppress(BlobNotFoundError):
                self._repository.blobs.read_into(
                    search.key,
                    version_id=version_id,
                    offset_bytes=0,
                    buffer=memoryview(bytearray(1)),
                )
                return []
        later = (
            "what those versions read is gone, and what is there came later: sweeps "
            "keep it, and nothing reads it; see `strongroom verify --store`"
        )
        return [later]

    def _condemned(self, search: _Search) -> datetime | None:
        """Return when the object was condemned, if it is, and say what follows."""
        for sweep in self._repository.sweeps.log().open.values():
            for found in sweep.doomed():
                if found.key != search.key:
                    continue
                if search.item and search.item.version_id != found.version_id:
                    continue
                due_s = sweep.modified_s + self._settings.grace_s
                if sweep.rescued is not None:
                    then = "it is decided that it goes: any sweep removes it"
                elif not search.is_certain:
                    then = "what needs it cannot be told, so no sweep removes it"
                elif search.keeper_count:
                    then = "it is needed again, so the sweep that looks again keeps it"
                else:
                    then = f"a sweep removes it from {_time(due_s)} on, unless needed"
                number = f"sweep record {sweep.number} condemned it"
                search.causes += [f"{number} at {_time(sweep.modified_s)}", then]
                return datetime.fromtimestamp(sweep.modified_s, UTC)
        return None


def _check_key(key: str) -> None:
    size_bytes = len(key.encode())
    if not key.isprintable() or not 0 < size_bytes <= MAX_KEY_BYTES or key[0] == "/":
        raise InvalidArgumentError(
            f"{key[:100]!r} is no key of an object",
            reason=Reason.ARGUMENT_INVALID,
            hint="Name it as `strongroom verify` does, such as packs/ab/abcd…",
        )


def _is_swept(key: str) -> bool:
    """Return whether sweeps take objects whose key has this form."""
    if layout.is_named_by_digest(key):
        return True
    parts = key.count("/") + 1
    is_record = parts == _UPLOAD_PARTS and layout.upload_key_number(key) >= 0
    return (key.startswith(layout.INDEX) and parts == _INDEX_PARTS) or (
        key.startswith(_UPLOADS) and is_record
    )


def _permanent(key: str, *, exists: bool) -> ObjectExplanation:
    folder = key[: key.find("/") + 1] or key
    causes = [_KEPT[folder]] if folder in _KEPT else []
    unknown = "no object of this store has such a key; sweeps leave it where it is"
    return ObjectExplanation(exists, ObjectState.PERMANENT, tuple(causes) or (unknown,))


def _domain_of(project: Project) -> DomainId:
    return DomainId(project.scope.project, project.scope.domain)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
