# SPDX-License-Identifier: Apache-2.0
"""Explaining one stored object: what needs it, or what a sweep does with it.

It looks at what a sweep would look at, and no further: at the object's own key
domain, or at all of them if it cannot be told whose it is. What needs the object is
told as it is found; of file tables only marks are kept, and not too many.
"""

import contextlib
from collections.abc import Generator, Iterator
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
from strongroom_server.core.history import Committed, History
from strongroom_server.core.records import Action
from strongroom_server.core.scope import format_id
from strongroom_server.core.sweep import DomainId, pack_of
from strongroom_server.core.sweep_plan import SweepProgress
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.domains import Domain, domains_of
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
    Search,
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
        search = Search(key, item, SweepTime.read(self._repository))
        for domain in self._domains(search):
            try:
                for part in self._look(search, domain):
                    if isinstance(part, ObjectUse):
                        search.use_count += 1
                        search.keeper_count += part.keeps
                    yield part
            except (IntegrityError, PreconditionError) as error:
                search.doubt(refused_note(domain.told, error))
        yield self._concluded(search)

    def _domains(self, search: Search) -> list[Domain]:
        """Return the key domains whose versions may need the object."""
        self._repository.shreds.refresh()
        projects = list(self._repository.projects.all())
        own, key = None, search.key
        if layout.is_named_by_digest(key):
            try:
                own = owner_of(self._repository, search.item) if search.item else None
            except (IntegrityError, PreconditionError):
                search.doubt("its header is damaged, so no sweep condemns it")
                return self._all_of(search, projects)
            if own is None:
                search.causes.append("it is not there, so every project was asked")
                return self._all_of(search, projects)
            name = format_id(own.domain)
            projects = [item for item in projects if item.scope.project == own.project]
        else:
            name = key.split("/")[_DOMAIN_PART]
            owner = [item for item in projects if format_id(item.scope.domain) == name]
            projects = owner or projects
        before = len(search.causes)
        domains = self._all_of(search, projects)
        found = [item for item in domains if format_id(item.scope.domain) == name]
        if found:
            # Then it does not matter what else cannot be told.
            del search.causes[before:]
            search.is_certain = True
        return found or self._nobody(search, name, own)

    def _all_of(self, search: Search, projects: list[Project]) -> list[Domain]:
        """Return the key domains of projects; doubt, if some cannot be told."""
        found: list[Domain] = []
        for project in projects:
            try:
                found += domains_of(self._repository, project)
            except (IntegrityError, PreconditionError) as error:
                told = f"project {project.name.project}"
                search.doubt(refused_note(told, error))
        return found

    def _nobody(
        self, search: Search, domain: str, own: DomainId | None
    ) -> list[Domain]:
        graves, dead = self._repository.keyring.graves, None
        if own is not None:
            dead = graves.of_domain(own.project, own.domain)
        if dead is not None or self._repository.shreds.is_dead(domain):
            is_artifact = dead is not None and dead.artifact
            what = "artifact" if is_artifact else "project"
            search.causes.append(f"its {what} was shredded")
            return []
        search.doubt("no project of this store has it, so no sweep condemns it")
        return []

    def _look(self, search: Search, domain: Domain) -> Iterator[ExplainedPart]:
        """Yield what of a key domain needs the object."""
        if not self._aim(search, domain):
            return
        stage, done = f"reading {domain.told}", 0
        for journal in domain.journals:
            past = self._repository.journals.load(journal)
            for version in past.stored_versions():
                done += 1
                yield SweepProgress(stage, done, 0)
                needs = yield from self._needs(
                    search, domain, JournalState(journal, past), version
                )
                if needs:
                    yield self._version_use(search, journal, past, version)
        yield from self._repairs(search, domain)
        yield from self._uploads(search, domain)

    def _version_use(
        self, search: Search, journal: JournalId, past: History, version: Committed
    ) -> ObjectUse:
        number = version.version
        name = VersionName(past.created.name, str(number))
        if self._planner.was_purgeable(journal, past, number, search.time):
            over = "a version whose time in the trash is over"
            return ObjectUse(name, over, keeps=False)
        in_trash = number in past.deleted
        return ObjectUse(name, "a version in the trash" if in_trash else "a version")

    def _aim(self, search: Search, domain: Domain) -> bool:
        """Find out what to look for in a key domain; False: there is nothing."""
        key = search.key
        if key.startswith(layout.UPLOADS):
            return True
        if not key.startswith(layout.INDEX):
            pack = pack_of(key)
            search.packs = frozenset({bytes.fromhex(pack)} if pack else ())
            search.manifest = "" if pack else key.rpartition("/")[2]
            return True
        if search.item is None:
            return False
        packs = packs_of_segment(self._repository, domain.scope, search.item)
        search.packs = frozenset(map(bytes.fromhex, packs or ()))
        search.causes.append(
            f"an index segment stays while one of its {len(search.packs)} packs does"
        )
        return True

    def _needs(
        self,
        search: Search,
        domain: Domain,
        state: JournalState,
        version: Committed,
    ) -> Generator[SweepProgress, None, bool]:
        """Return whether a version needs the object; yield as pages are read."""
        if search.manifest:
            return version.manifest == search.manifest
        if not search.packs:
            return False
        manifests, scope = self._repository.manifests, domain.scope
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

    def _repairs(self, search: Search, domain: Domain) -> Iterator[ObjectUse]:
        if not search.packs:
            return
        keys = self._repository.keyring.open(domain.scope)
        packs = self._repository.repairs.packs(keys)
        if any(bytes.fromhex(pack) in search.packs for pack in packs):
            yield ObjectUse(None, "a repair, which stored damaged chunks anew in it")

    def _uploads(self, search: Search, domain: Domain) -> Iterator[ObjectUse]:
        """Yield the uploads under way that keep the object."""
        if search.manifest:
            return
        keys = self._repository.keyring.open(domain.scope)
        after_s = search.time.store_s - self._settings.upload_age_s
        for upload in self._repository.upload_records.live(keys):
            if not self._is_meant(search, domain, upload):
                continue
            journal = JournalId(domain.scope.project, upload.artifact)
            past = self._repository.journals.load(journal)
            newest_s = max(item.modified_s for item in upload.objects)
            ended = _ended(upload, past, newest_s, after_s)
            if not ended:
                name = past.created.name if past.entries else None
                cause = f"an upload that was last active at {_time(newest_s)}"
                yield ObjectUse(name, cause)
            elif search.key.startswith(layout.UPLOADS):
                search.causes.append(ended)

    def _is_meant(self, search: Search, domain: Domain, upload: StoredUpload) -> bool:
        """Return whether the object is one of an upload's, or a pack that it needs."""
        if search.key.startswith(layout.UPLOADS):
            return search.key.split("/")[_UPLOAD_PART] == upload.upload
        keys = self._repository.keyring.open(domain.scope)
        packs = self._repository.upload_records.packs(keys, upload)
        try:
            return any(bytes.fromhex(pack) in search.packs for pack in packs)
        except IntegrityError:
            return False  # what it sent is sent again, so it keeps nothing

    def _concluded(self, search: Search) -> ObjectExplanation:
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

    def _missed(self, search: Search) -> list[str]:
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

    def _condemned(self, search: Search) -> datetime | None:
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


def _ended(upload: StoredUpload, past: History, newest_s: float, after_s: float) -> str:
    """Say why an upload keeps nothing any more; "" if it does."""
    if (Action.COMMIT, "", upload.request_id) in past.requests:
        return "its upload was committed"
    if upload.is_over:
        return "its draft was discarded, or has ended"
    if newest_s < after_s:
        return f"its upload was last active at {_time(newest_s)}"
    return ""


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
        key.startswith(layout.UPLOADS) and is_record
    )


def _permanent(key: str, *, exists: bool) -> ObjectExplanation:
    folder = key[: key.find("/") + 1] or key
    causes = [_KEPT[folder]] if folder in _KEPT else []
    unknown = "no object of this store has such a key; sweeps leave it where it is"
    return ObjectExplanation(exists, ObjectState.PERMANENT, tuple(causes) or (unknown,))


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
