# SPDX-License-Identifier: Apache-2.0
"""A whole engine over memory adapters, with the clock and entropy in hand."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from strongroom.format.digest import VersionDigester, path_order
from strongroom.format.names import ArtifactName, RefName, VersionName
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import (
    MemoryBlobRemover,
    MemoryBlobStore,
    MemoryIndex,
)
from strongroom_server.adapters.memory_keys import (
    MemoryKeyAdmin,
    MemoryKeyDestroyer,
    MemoryKeyService,
    MemorySigner,
)
from strongroom_server.core.records import (
    Caller,
    FileBlock,
    FileEnded,
    FileStarted,
    Kind,
    RefRecord,
    VerifyFinding,
    VerifyReport,
)
from strongroom_server.core.suites import DEFAULT_SUITE, Suite
from strongroom_server.ports import BlobStore, Clock, Entropy, Index
from strongroom_server.repository.approvals import ApprovalRecords
from strongroom_server.repository.repository import (
    Repository,
    open_keyring,
    open_repository,
)
from strongroom_server.services.approving import ApprovalSettings, Approving
from strongroom_server.services.artifacts import Artifacts
from strongroom_server.services.diffs import Diffs
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.index_rebuild import IndexRebuild
from strongroom_server.services.keys import KeyLife
from strongroom_server.services.lineage import Lineages
from strongroom_server.services.refs import Refs
from strongroom_server.services.repairing import Repairing
from strongroom_server.services.retention import Retention
from strongroom_server.services.shredding import Shredding
from strongroom_server.services.store_verification import StoreVerification
from strongroom_server.services.sweeping import Sweeping, SweepSettings
from strongroom_server.services.uploads import (
    CommitResult,
    Drafts,
    Upload,
    Uploads,
    UploadStart,
)
from strongroom_server.services.verification import Verification

CALLER = Caller("spiffe://test/ns/a/sa/b/job/c", "0" * 32, "log-1")
ARTIFACT = ArtifactName("demo", "minilm")


@dataclass
class World:
    """One store with an engine on it; `reopened` gives a fresh engine."""

    blobs: BlobStore = field(default_factory=lambda: MemoryBlobStore(SystemClock()))
    key_service: MemoryKeyService = field(
        default_factory=lambda: MemoryKeyService(entropy=SystemEntropy())
    )
    signer: MemorySigner = field(
        default_factory=lambda: MemorySigner(entropy=SystemEntropy())
    )
    index: Index = field(default_factory=MemoryIndex)
    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = field(default_factory=SystemEntropy)
    suite: Suite = DEFAULT_SUITE
    executor: Executor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def __post_init__(self) -> None:
        keyring = open_keyring(
            blobs=self.blobs,
            key_service=self.key_service,
            clock=self.clock,
            entropy=self.entropy,
        )
        self.repository: Repository = open_repository(
            keyring=keyring,
            blobs=self.blobs,
            signer=self.signer,
            index=self.index,
            clock=self.clock,
            entropy=self.entropy,
            executor=self.executor,
            suite=self.suite,
        )
        self.approving = Approving(
            ApprovalRecords(self.blobs, keyring),
            None,
            ApprovalSettings(),
            clock=self.clock,
            entropy=self.entropy,
        )
        self.uploads = Uploads(self.repository)
        self.drafts = Drafts(self.repository)
        self.downloads = Downloads(self.repository)
        self.artifacts = Artifacts(self.repository)
        self.refs = Refs(self.repository)
        self.retention = Retention(self.repository)
        self.lineages = Lineages(self.repository)
        # At once: tests of the time that a sweep waits say so themselves.
        self.remover = MemoryBlobRemover(self.bucket) if self._is_memory() else None
        self.sweeping = Sweeping(
            self.repository, self.remover, SweepSettings(0.0, 0.0, 0.0)
        )
        self.index_rebuild = IndexRebuild(self.repository)
        self.diffs = Diffs(self.repository)
        self.verification = Verification(self.repository)
        self.store_verification = StoreVerification(self.repository)
        self.repairing = Repairing(self.repository)
        self.destroyer = MemoryKeyDestroyer(self.key_service)
        self.shredding = Shredding(
            self.repository, self.key_service, self.destroyer, self.remover
        )
        self.key_life = KeyLife(
            self.repository, self.key_service, MemoryKeyAdmin(self.key_service)
        )

    def reopened(
        self, *, blobs: BlobStore | None = None, suite: Suite | None = None
    ) -> "World":
        """Return a fresh engine on the same store, with an empty index."""
        return World(
            blobs=blobs or self.blobs,
            key_service=self.key_service,
            signer=self.signer,
            clock=self.clock,
            entropy=self.entropy,
            suite=suite or self.suite,
            executor=self.executor,
        )

    def _is_memory(self) -> bool:
        return isinstance(self.blobs, MemoryBlobStore)

    @property
    def bucket(self) -> MemoryBlobStore:
        """The store with its back doors."""
        assert isinstance(self.blobs, MemoryBlobStore)
        return self.blobs

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects below a prefix, once a version."""
        return [
            item.key for item, _ in self.bucket.objects() if item.key.startswith(prefix)
        ]

    def begin(
        self,
        artifact: ArtifactName = ARTIFACT,
        *,
        kind: Kind | None = None,
        message: str = "a message",
        metadata: Mapping[str, str] | None = None,
        request_id: str = "",
        may_create_project: bool = True,
        exclusive: bool = False,
    ) -> Upload:
        """Begin an upload, to go on by hand."""
        start = UploadStart(
            artifact,
            kind,
            message,
            {"run": "1"} if metadata is None else metadata,
            request_id or str(uuid.uuid4()),
            may_create_project,
            exclusive=exclusive,
        )
        return self.uploads.begin(start, caller=CALLER)

    def push(
        self,
        files: Mapping[str, bytes],
        artifact: ArtifactName = ARTIFACT,
        *,
        executables: frozenset[str] = frozenset(),
        request_id: str = "",
        kind: Kind | None = None,
        block_bytes: int = 1024 * 1024,
        exclusive: bool = False,
    ) -> CommitResult:
        """Push files as one version."""
        digester = VersionDigester()
        with self.begin(
            artifact, kind=kind, request_id=request_id, exclusive=exclusive
        ) as upload:
            for path in sorted(files, key=path_order):
                data = files[path]
                upload.start_file(
                    path, size_bytes=len(data), executable=path in executables
                )
                for offset in range(0, len(data), block_bytes):
                    upload.write(
                        data[offset : offset + block_bytes], offset_bytes=offset
                    )
                digest = "sha256:" + hashlib.sha256(data).hexdigest()
                upload.end_file(digest)
                digester.add(path, len(data), digest)
            return upload.commit(file_count=len(files), digest=digester.digest())

    def pull(
        self,
        selector: str = "latest",
        artifact: ArtifactName = ARTIFACT,
        *,
        paths: tuple[str, ...] = (),
        offset_bytes: int = 0,
        length_bytes: int = 0,
    ) -> dict[str, bytes]:
        """Return the files of a version."""
        name = VersionName(artifact, selector)
        files: dict[str, bytes] = {}
        path, parts = "", [b""]
        opened = self.downloads.open(
            name, paths=paths, offset_bytes=offset_bytes, length_bytes=length_bytes
        )
        with opened as download:
            for item in download.items:
                match item:
                    case FileStarted():
                        path, parts = item.path, []
                    case FileBlock():
                        parts.append(bytes(item.data))
                    case FileEnded():
                        files[path] = b"".join(parts)
                    case _:  # nobody shares memory here
                        raise AssertionError(item)
        return files

    def move(
        self,
        ref: str,
        version: str,
        artifact: ArtifactName = ARTIFACT,
        *,
        etag: str = "",
        request_id: str = "",
        validate_only: bool = False,
    ) -> RefRecord:
        """Point a ref at a version."""
        return self.refs.move(
            RefName(artifact, ref),
            version=version,
            etag=etag,
            reason="a reason",
            request_id=request_id or str(uuid.uuid4()),
            validate_only=validate_only,
            caller=CALLER,
        )

    def verify(
        self, name: ArtifactName | VersionName = ARTIFACT
    ) -> tuple[list[VerifyFinding], VerifyReport]:
        """Verify an artifact or version; return what was found, and the report."""
        items = list(self.verification.verify(name))
        report = items.pop()
        assert isinstance(report, VerifyReport)
        return [item for item in items if isinstance(item, VerifyFinding)], report

    def versions(self, artifact: ArtifactName = ARTIFACT) -> list[int]:
        """Return the numbers of all versions, newest first."""
        page = self.artifacts.list_versions(artifact, page_size=0, page_token="")
        return [record.number for record in page.items]


@contextmanager
def memory_world(
    *, suite: Suite = DEFAULT_SUITE, clock: Clock | None = None
) -> Iterator[World]:
    """Yield a world whose threads end with it."""
    clock = clock or SystemClock()
    with ThreadPoolExecutor(4) as executor:
        yield World(
            blobs=MemoryBlobStore(clock), executor=executor, suite=suite, clock=clock
        )
