# SPDX-License-Identifier: Apache-2.0
"""The repository: everything that use cases need, over one store."""

from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Lock
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName, RefName, VersionName
from strongroom_server.core import retention
from strongroom_server.core.history import Committed, History
from strongroom_server.core.records import ArtifactRecord, RefRecord, VersionRecord
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.selectors import resolve
from strongroom_server.core.suites import Suite
from strongroom_server.ports import (
    BlobStore,
    Clock,
    Entropy,
    Index,
    JournalHeadSink,
    KeyService,
    Signer,
)
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunk_index import ChunkIndex
from strongroom_server.repository.chunk_source import StoredChunks
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.draft_records import DraftRecords
from strongroom_server.repository.journals import JournalId, Journals
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.manifests import Manifests
from strongroom_server.repository.projects import Project, Projects
from strongroom_server.repository.purging import purge_from
from strongroom_server.repository.repairs import Repairs
from strongroom_server.repository.shreds import Shreds
from strongroom_server.repository.store import is_empty, open_store
from strongroom_server.repository.sweeps import Sweeps
from strongroom_server.repository.upload_records import UploadRecords

#: Plaintext that all downloads together fetch ahead of their readers: five at full
#: speed; further ones go on in small pieces.
READ_AHEAD_BYTES: Final = 256 * 1024 * 1024
#: Packs of all uploads together, plain and encrypted: five uploads at full speed.
UNDER_WAY_BYTES: Final = 512 * 1024 * 1024
#: What all uploads together have received and not yet sent off: a chunk of each
#: open file, and half-full packs. Thirty uploads receive at full speed.
OPEN_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that exists: its journal, its history now, its key domain."""

    name: ArtifactName
    journal: JournalId
    history: History
    scope: Scope
    #: Whether it has the key domain to itself, so that it can be shredded alone.
    exclusive: bool = False

    @property
    def record(self) -> ArtifactRecord:
        """The artifact as callers see it."""
        created = self.history.created
        return ArtifactRecord(
            self.name,
            format_id(self.journal.artifact),
            created.kind,
            created.info.time,
            self.history.latest,
            tuple(self.ref_record(ref) for ref in sorted(self.history.refs)),
            self.history.policy,
            0 in self.history.held,
            f'"{self.history.policy_number}"',
            exclusive=self.exclusive,
        )

    def ref_record(self, ref: str) -> RefRecord:
        """Return one of the artifact's refs, which exists."""
        last = self.history.refs[ref][-1]
        return RefRecord(
            RefName(self.name, ref),
            self.history.ref_version(ref),
            last.entry.info.time,
            f'"{last.number}"',
        )

    def version_record(self, version: Committed) -> VersionRecord:
        """Return one of the artifact's versions as callers see it."""
        return VersionRecord(
            self.name,
            version.version,
            version.digest,
            version.info.time,
            version.info.actor,
            version.file_count,
            version.size_bytes,
            version.stored_bytes,
            version.message,
            version.metadata,
            version.info.trace_id,
            self.history.refs_at(version.version),
            retention.state_of(self.history, version.version),
            self.history.is_held(version.version),
            retention.purge_time(self.history, version.version)
            if version.version in self.history.deleted
            else None,
            version.digested_by,
            version.lineage,
        )


@dataclass(frozen=True, slots=True)
class Repository:
    """One store's parts, wired once. Safe to use from many threads."""

    blobs: BlobStore
    clock: Clock
    entropy: Entropy
    index: Index
    suite: Suite
    executor: Executor
    read_budget: ByteBudget
    write_budget: ByteBudget
    open_budget: ByteBudget
    #: Held while the header of a safetensors file is parsed.
    header_lock: Lock
    keyring: Keyring
    chunks: ChunkReader
    chunk_index: ChunkIndex
    manifests: Manifests
    journals: Journals
    projects: Projects
    upload_records: UploadRecords
    draft_records: DraftRecords
    sweeps: Sweeps
    repairs: Repairs
    shreds: Shreds

    def artifact(self, name: ArtifactName) -> Artifact:
        """Return an artifact with its history as of now.

        Raises:
            NotFoundError: It, or its project, does not exist
                (ARTIFACT_NOT_FOUND, PROJECT_NOT_FOUND).
        """
        project = self.projects.get(ProjectName(name.project))
        journal = self.projects.journal_of(project, name)
        history = self.journals.load(journal)
        if not history.entries:
            raise NotFoundError(
                f"artifact {name.short} does not exist",
                reason=Reason.ARTIFACT_NOT_FOUND,
                hint=f"See `strongroom ls {name.project}`.",
                artifact=name.short,
            )
        return artifact_of(name, journal, history, project)

    def artifacts(self, project: Project) -> list[Artifact]:
        """Return a project's artifacts that were not shredded, by name."""
        found = [
            artifact
            for journal in self.journals.artifacts(project.scope.project)
            if (artifact := self.artifact_in(project, journal)) is not None
        ]
        return sorted(found, key=lambda item: item.name)

    def artifact_in(self, project: Project, journal: JournalId) -> Artifact | None:
        """Return a journal's artifact; None if it has none yet, or was shredded.

        Raises:
            IntegrityError: The journal is damaged.
            PreconditionError: The whole project was shredded (KEY_SHREDDED).
        """
        try:
            history = self.journals.load(journal)
        except PreconditionError as error:
            if error.reason is not Reason.KEY_SHREDDED:
                raise
            self.keyring.graves.check(project.scope)
            return None
        if not history.entries:
            return None
        return artifact_of(history.created.name, journal, history, project)

    def check_alive(self, resource: str) -> None:
        """Check that nothing that a resource is in is known to be shredded.

        Raises:
            PreconditionError: It is (KEY_SHREDDED).
        """
        root, project, _, artifact, *_ = (*resource.split("/"), "", "", "")
        if root == "projects" and project:
            project_id = self.projects.id_of(ProjectName(project))
            self.keyring.graves.check_project(project_id)
            if artifact:
                self.shreds.check_artifact(project_id, artifact)

    def check_readable(self, _name: VersionName, scope: Scope) -> None:
        """Check that what was fetched of a domain may still be handed out.

        Raises:
            PreconditionError: The domain was shredded (KEY_SHREDDED).
        """
        self.keyring.graves.check(scope)

    def version(self, name: VersionName) -> tuple[Artifact, Committed]:
        """Return the version that a selector names, with its artifact.

        Raises:
            NotFoundError: There is none.
        """
        artifact = self.artifact(name.artifact)
        return artifact, resolve(artifact.history, name.selector)


def scope_of(project: Project, past: History) -> Scope:
    """Return the key domain of an artifact: as it was made, else its project's."""
    scope = project.scope
    domain = past.created.domain if past.entries else scope.domain
    return Scope(scope.store, scope.project, domain, 0)


def artifact_of(
    name: ArtifactName, journal: JournalId, past: History, project: Project
) -> Artifact:
    """Return the artifact that a history tells of."""
    scope = scope_of(project, past)
    exclusive = scope.domain != project.scope.domain
    return Artifact(name, journal, past, scope, exclusive)


def open_keyring(
    *, blobs: BlobStore, key_service: KeyService, clock: Clock, entropy: Entropy
) -> Keyring:
    """Open the store in a bucket, or make one there, and its own key domain.

    Raises:
        UnavailableError: S3 or Vault cannot be reached.
        PreconditionError: The store's format is newer than this release, or Vault
            refuses the store's KEK.
        IntegrityError: The store's record or key slot is damaged.
    """
    store = open_store(blobs, entropy)
    keyring = Keyring(
        store, blobs=blobs, key_service=key_service, clock=clock, entropy=entropy
    )
    may_create = is_empty(blobs)
    # Under an id that was read wrongly, nobody would find what is written again.
    if may_create and open_store(blobs, entropy) != store:
        raise IntegrityError(
            "strongroom.json was read twice and differed",
            reason=Reason.RECORD_CORRUPT,
            hint="Start the server again; if that repeats, see `strongroom doctor`.",
        )
    keyring.open_store_domain(may_create=may_create)
    return keyring


def open_repository(
    *,
    keyring: Keyring,
    blobs: BlobStore,
    signer: Signer,
    index: Index,
    clock: Clock,
    entropy: Entropy,
    executor: Executor,
    suite: Suite,
    heads: JournalHeadSink | None = None,
) -> Repository:
    """Wire a store's parts; does no I/O. The keyring is the store's own."""
    repairs = Repairs(
        blobs=blobs, keyring=keyring, signer=signer, clock=clock, entropy=entropy
    )
    chunks = ChunkReader(StoredChunks(blobs=blobs, keyring=keyring, repairs=repairs))
    chunk_index = ChunkIndex(
        blobs=blobs, index=index, keyring=keyring, clock=clock, entropy=entropy
    )
    manifests = Manifests(
        blobs=blobs, keyring=keyring, chunks=chunks, repairs=repairs, executor=executor
    )
    journals = Journals(
        blobs=blobs, index=index, keyring=keyring, signer=signer, heads=heads
    )
    projects = Projects(blobs=blobs, keyring=keyring, clock=clock, entropy=entropy)
    purge = purge_from(
        keyring=keyring,
        manifests=manifests,
        journals=journals,
        projects=projects,
        repairs=repairs,
        chunk_index=chunk_index,
    )
    return Repository(
        blobs=blobs,
        clock=clock,
        entropy=entropy,
        index=index,
        suite=suite,
        executor=executor,
        read_budget=ByteBudget(READ_AHEAD_BYTES),
        write_budget=ByteBudget(UNDER_WAY_BYTES),
        open_budget=ByteBudget(OPEN_BYTES),
        header_lock=Lock(),
        keyring=keyring,
        chunks=chunks,
        chunk_index=chunk_index,
        manifests=manifests,
        journals=journals,
        projects=projects,
        upload_records=UploadRecords(blobs=blobs, keyring=keyring, entropy=entropy),
        draft_records=DraftRecords(blobs=blobs, keyring=keyring, entropy=entropy),
        sweeps=Sweeps(blobs=blobs, index=index, keyring=keyring),
        repairs=repairs,
        shreds=Shreds(
            blobs=blobs, keyring=keyring, signer=signer, clock=clock, purge=purge
        ),
    )
